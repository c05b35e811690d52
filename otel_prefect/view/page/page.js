// Connects what is drawn with pointer and keys.
const byId = (id) => document.getElementById(id);
const foundBox = byId('found');
const searchBox = byId('search');
const overview = byId('overview');
const overviewRow = byId('overview-row');

function select(span, { focus = false } = {}) {
  if (!(span >= 0 && span < count)) return;
  if (!rowOf.has(span)) {
    if (isChosen()) clearChoice();
    unfoldTo(span);
    choose();
  }
  chosen = span;
  reveal(span);
  draw();
  showDetails(span);
  history.replaceState(null, '', `#${spans.id[span]}`);
  if (focus) {
    byId('split').scrollIntoView({ block: 'nearest' });
    rowsBox.focus({ preventScroll: true });
  }
}

// --- which spans ---------------------------------------------------------------------------------

function apply() {
  choose();
  const all = count.toLocaleString('en');
  foundBox.textContent = isChosen() ? `${found.length.toLocaleString('en')} of ${all} spans` : `${all} spans`;
  byId('nothing').hidden = shown.length > 0;
  if (!rowOf.has(chosen) && found.length) chosen = found[0];
  reveal(chosen);
  draw();
  showDetails(chosen);
}

function boxes(fieldset, titles, counts, colour) {
  const made = titles.map((title, number) => {
    const box = element('input', { type: 'checkbox', value: number, onchange: readChoice });
    const parts = [box];
    if (colour) {
      const dot = element('span', { class: 'dot' });
      dot.style.background = `var(--p${number % 8})`;
      parts.push(dot);
    }
    return counts[number] ? element('label', {}, ...parts, `${title} (${counts[number].toLocaleString('en')})`) : '';
  });
  fieldset.append(...made);
}

function counted(column, length) {
  const counts = new Array(length).fill(0);
  for (const number of column) counts[number]++;
  return counts;
}

function checked(fieldset) {
  const numbers = [...fieldset.querySelectorAll('input:checked')].map((box) => Number(box.value));
  return numbers.length ? new Set(numbers) : null;
}

function readChoice() {
  choice.words = searchBox.value.toLowerCase().split(/\s+/).filter(Boolean);
  choice.processes = checked(byId('processes'));
  choice.statuses = checked(byId('states'));
  apply();
}

function clearChoice() {
  byId('choice').reset();
  readChoice();
}

// To the next, or the one before, of those that are asked for; from the end to the start.
function step(isWanted, by) {
  for (let n = 1; n <= count; n++) {
    const span = (chosen + by * n + count * 2) % count;
    if (isWanted(span)) return select(span);
  }
}

const nextFailure = (by = 1) => step((span) => isCause[span] && (!isChosen() || matches(span)), by);

// --- keys ----------------------------------------------------------------------------------------

function fold(span, isFold) {
  if (isFold) folded.add(span);
  else folded.delete(span);
  apply();
}

function left(span) {
  if (hasChildren(span) && !isFolded(span) && !isChosen()) fold(span, true);
  else if (parents[span] >= 0) select(parents[span]);
}

function right(span) {
  if (isFolded(span)) fold(span, false);
  else if (hasChildren(span)) select(shown[rowOf.get(span) + 1]);
}

const moveBy = (rows) => select(shown[Math.min(Math.max((rowOf.get(chosen) ?? 0) + rows, 0), shown.length - 1)]);
const page = () => Math.max(Math.floor(rowsBox.clientHeight / ROW) - 1, 1);

const KEYS_OF_ROWS = {
  ArrowUp: () => moveBy(-1),
  ArrowDown: () => moveBy(1),
  PageUp: () => moveBy(-page()),
  PageDown: () => moveBy(page()),
  Home: () => moveBy(-count),
  End: () => moveBy(count),
  ArrowLeft: () => left(chosen),
  ArrowRight: () => right(chosen),
};
const KEYS = {
  e: () => nextFailure(1),
  E: () => nextFailure(-1),
  n: () => isChosen() && step(matches, 1),
  N: () => isChosen() && step(matches, -1),
  z: () => lookAt(chosen),
  '+': () => zoom(0.5),
  '=': () => zoom(0.5),
  '-': () => zoom(2),
  0: () => look(0, whole),
  ',': () => pan(-0.25),
  '.': () => pan(0.25),
  '/': () => searchBox.focus(),
  '?': () => byId('keys').showModal(),
};

document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || byId('keys').open) return;
  const isTyping = event.target instanceof HTMLInputElement && event.target.type === 'search';
  if (event.key === 'Escape') {
    clearChoice();
    rowsBox.focus({ preventScroll: true });
    return;
  }
  if (isTyping) {
    if (event.key === 'Enter') {
      event.preventDefault();
      step(matches, event.shiftKey ? -1 : 1);
    } else if (event.key === 'ArrowDown') rowsBox.focus({ preventScroll: true });
    return;
  }
  const act = KEYS[event.key] ?? (event.target === rowsBox ? KEYS_OF_ROWS[event.key] : undefined);
  if (act) {
    event.preventDefault();
    act();
  }
});

// --- pointer -------------------------------------------------------------------------------------

rowsBox.addEventListener('click', (event) => {
  const row = event.target.closest('.row');
  if (!row) return;
  const span = Number(row.dataset.span);
  if (event.target.closest('.fold') && hasChildren(span) && !isChosen()) fold(span, !isFolded(span));
  select(span);
});
rowsBox.addEventListener('dblclick', (event) => {
  const row = event.target.closest('.row');
  if (row && !event.target.closest('.fold')) lookAt(Number(row.dataset.span));
});
rowsBox.addEventListener('scroll', draw, { passive: true });
rowsBox.addEventListener(
  'wheel',
  (event) => {
    const box = pool[0]?.children[1].getBoundingClientRect();
    if (!box || !(event.ctrlKey || event.metaKey || event.shiftKey || event.deltaX)) return;
    event.preventDefault();
    if (event.ctrlKey || event.metaKey) {
      const at = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
      zoom(1.0015 ** event.deltaY, at);
    } else pan((event.deltaX || event.deltaY) / box.width);
  },
  { passive: false },
);

// A stretch is chosen by drawing over all of the time; a double click shows all again.
let drawnFrom = null;
const timeAt = (event) => {
  const box = overviewRow.getBoundingClientRect();
  return (Math.min(Math.max(event.clientX - box.left, 0), box.width) / box.width) * whole;
};
overviewRow.addEventListener('pointerdown', (event) => {
  drawnFrom = timeAt(event);
  overviewRow.setPointerCapture(event.pointerId);
});
overviewRow.addEventListener('pointermove', (event) => {
  if (drawnFrom === null) return;
  const to = timeAt(event);
  if (Math.abs(to - drawnFrom) > whole / 200) look(Math.min(drawnFrom, to), Math.max(drawnFrom, to));
});
overviewRow.addEventListener('pointerup', () => (drawnFrom = null));
overviewRow.addEventListener('dblclick', () => look(0, whole));

// --- all of the time, and the axis ---------------------------------------------------------------

function drawOverview() {
  const { clientWidth: width, clientHeight: height } = overviewRow;
  const scale = window.devicePixelRatio || 1;
  overview.width = width * scale;
  overview.height = height * scale;
  const canvas = overview.getContext('2d');
  // A canvas knows no custom properties, and light-dark() is resolved only where it is a colour.
  const probe = element('span');
  document.body.append(probe);
  const resolved = (name) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };
  const colours = Array.from({ length: 8 }, (_, n) => resolved(`--p${n}`));
  const bad = resolved('--bad');
  probe.remove();
  canvas.scale(scale, scale);
  const deepest = Math.min(spans.depth.reduce((a, b) => Math.max(a, b), 0) + 1, 12);
  const lane = height / deepest;
  for (const pass of [0, 1]) {
    for (let span = 0; span < count; span++) {
      if (isCause[span] !== pass) continue;
      canvas.fillStyle = pass ? bad : colours[spans.process[span] % 8];
      const top = Math.min(spans.depth[span], deepest - 1) * lane;
      const x = (spans.start[span] / whole) * width;
      canvas.fillRect(x, top + 1, Math.max((spans.took[span] / whole) * width, 1), Math.max(lane - 1, 1));
    }
  }
}

function drawAxis() {
  const cell = pool[0]?.children[1];
  if (!cell) return;
  const box = cell.getBoundingClientRect();
  const left = box.left - byId('axis').getBoundingClientRect().left;
  byId('axis').replaceChildren(
    ...ticks(box.width).map((ms) => {
      const tick = element('span', { class: 'tick' }, tickText(ms));
      tick.style.left = `${left + shareOf(ms) * box.width}px`;
      return tick;
    }),
  );
  const shownWindow = byId('window');
  shownWindow.style.left = `${(view.from / whole) * 100}%`;
  shownWindow.style.width = `${((view.to - view.from) / whole) * 100}%`;
  shownWindow.hidden = view.from <= 0 && view.to >= whole;
  shownWindow.style.display = shownWindow.hidden ? 'none' : '';
}

// --- the start -----------------------------------------------------------------------------------

function changeTheme() {
  const root = document.documentElement;
  const isDark = root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  root.dataset.theme = isDark ? 'light' : 'dark';
  drawOverview();
}

onMove = () => {
  draw();
  drawAxis();
};
byId('no-script').hidden = true;
document.querySelector('.facts .began').append(localClock(0));
byId('drawn').hidden = false;
byId('split').style.setProperty('--all-rows', `${count * ROW + 100}px`);
boxes(byId('processes'), data.processes, counted(spans.process, data.processes.length), true);
boxes(byId('states'), data.statuses, counted(spans.status, data.statuses.length), false);
byId('choice').addEventListener('submit', (event) => event.preventDefault());
let typed = 0;
searchBox.addEventListener('input', () => {
  clearTimeout(typed);
  typed = setTimeout(readChoice, 120);
});
byId('theme').addEventListener('click', changeTheme);
byId('next-failure').addEventListener('click', () => nextFailure(1));
byId('next-failure').hidden = !isCause.includes(1);
byId('zoom-in').addEventListener('click', () => zoom(0.5));
byId('zoom-out').addEventListener('click', () => zoom(2));
byId('zoom-all').addEventListener('click', () => look(0, whole));
byId('help').addEventListener('click', () => byId('keys').showModal());
for (const button of document.querySelectorAll('.go')) {
  button.addEventListener('click', () => select(numbers.get(button.dataset.span), { focus: true }));
}
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', drawOverview);
new ResizeObserver(() => {
  reveal(chosen);
  drawNow();
  drawAxis();
  drawOverview();
}).observe(byId('waterfall'));

apply();
drawNow();
const firstFailure = document.querySelector('.failure:not(.recovered) .go')?.dataset.span;
select(numbers.get(decodeURIComponent(location.hash.slice(1))) ?? numbers.get(firstFailure) ?? 0);
