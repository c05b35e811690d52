// Draws the rows that are in sight, and no others: so many spans cost no more than a screenful.
const ROW = 24;
const MORE = 6;
const rowsBox = document.getElementById('rows');
const spacer = document.getElementById('spacer');
let chosen = 0;
let pool = [];

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === 'class') made.className = value;
    else if (key.startsWith('on')) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function newRow() {
  const row = element('div', { role: 'row', class: 'row' });
  for (const name of ['name', 'bars', 'took', 'status']) row.append(element('div', { role: 'gridcell', class: name }));
  spacer.append(row);
  return row;
}

// Text with what is searched for marked in it.
function marked(text) {
  const parts = document.createDocumentFragment();
  const lower = text.toLowerCase();
  let done = 0;
  while (done < text.length && lower.length === text.length) {
    const hits = choice.words.map((word) => [lower.indexOf(word, done), word]).filter(([at]) => at >= 0);
    if (!hits.length) break;
    const [at, word] = hits.reduce((a, b) => (b[0] < a[0] ? b : a));
    parts.append(text.slice(done, at), element('mark', {}, text.slice(at, at + word.length)));
    done = at + word.length;
  }
  parts.append(text.slice(done));
  return parts;
}

const colourOf = (span) => `var(--p${spans.process[span] % 8})`;
const isFolded = (span) => !isChosen() && folded.has(span);

function nameParts(span) {
  const fold = element('span', { class: 'fold', 'aria-hidden': 'true' });
  if (hasChildren(span)) fold.textContent = isFolded(span) ? '▸' : '▾';
  const parts = [fold];
  if (isFirst(span)) {
    const dot = element('span', { class: 'dot' });
    dot.style.background = colourOf(span);
    parts.push(dot, element('b', {}, marked(processOf(span))));
  }
  if (!isFirst(span) || nameOf(span) !== processOf(span)) {
    parts.push(element('span', { class: isFirst(span) ? 'what dim' : 'what' }, marked(nameOf(span))));
  }
  const attempt = data.attempts[span];
  if (attempt) parts.push(element('span', { class: 'badge' }, `attempt ${attempt[0]} of ${attempt[1]}`));
  if (isFolded(span)) parts.push(element('span', { class: 'badge' }, `${ends[span] - span - 1} folded`));
  return parts;
}

// Within the stretch that is shown; null where nothing is of it.
function placed(made, start, end) {
  const left = Math.max(shareOf(start), 0);
  const right = Math.min(shareOf(end), 1);
  if (right < 0 || left > 1) return null;
  made.style.left = `${Math.min(left, 0.999) * 100}%`;
  made.style.width = `${Math.max(right - left, 0) * 100}%`;
  return made;
}

function barParts(span, width) {
  const bar = placed(element('div', { class: 'bar' }), spans.start[span], endOf(span));
  if (!bar) {
    const earlier = endOf(span) < view.from;
    return [element('span', { class: `beyond ${earlier ? 'earlier' : 'later'}` }, earlier ? '‹' : '›')];
  }
  bar.style.setProperty('--colour', colourOf(span));
  return [bar, ...stepParts(span, width)];
}

// What was waited for, as a line under the bar. Steps closer than a pixel are drawn as one.
function stepParts(span, width) {
  const pixel = (view.to - view.from) / Math.max(width, 1);
  const joined = [];
  for (const [, start, took, waits] of stepsOf.get(span) ?? []) {
    const end = start + took;
    if (end < view.from || start > view.to) continue;
    const before = joined[joined.length - 1];
    if (before && start - before.end < pixel && (before.waits === waits || took < pixel)) before.end = end;
    else joined.push({ start, end, waits });
  }
  return joined
    .map(({ start, end, waits }) => {
      const step = element('div', { class: waits ? 'step waits' : 'step' });
      if (waits) step.title = waits;
      return placed(step, start, end);
    })
    .filter(Boolean);
}

function drawRow(row, at, width) {
  const span = shown[at];
  const [name, bars, took, status] = row.children;
  const state = data.statuses[spans.status[span]];
  const classes = ['row'];
  if (span === chosen) classes.push('chosen');
  if (isBad(span)) classes.push('bad');
  if (isCause[span]) classes.push('cause');
  if (spans.status[span] === IN_PROGRESS) classes.push('going');
  if (isChosen() && !matches(span)) classes.push('other');
  row.className = classes.join(' ');
  row.id = `row-${span}`;
  row.dataset.span = span;
  row.style.top = `${at * ROW}px`;
  row.setAttribute('aria-rowindex', at + 1);
  row.setAttribute('aria-level', spans.depth[span] + 1);
  row.setAttribute('aria-selected', span === chosen);
  if (hasChildren(span)) row.setAttribute('aria-expanded', !isFolded(span));
  else row.removeAttribute('aria-expanded');
  name.style.paddingLeft = `${6 + Math.min(spans.depth[span], 30) * 13}px`;
  name.replaceChildren(...nameParts(span));
  name.title = `${processOf(span)} ▸ ${nameOf(span)}`;
  bars.setAttribute('aria-label', `began at ${duration(spans.start[span])}`);
  bars.replaceChildren(...barParts(span, width));
  took.textContent = duration(spans.took[span]);
  status.textContent = state === 'ok' ? '' : state;
}

let waiting = false;
function draw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    drawNow();
  });
}

function drawNow() {
  spacer.style.height = `${shown.length * ROW}px`;
  rowsBox.setAttribute('aria-rowcount', shown.length);
  const first = Math.max(Math.floor(rowsBox.scrollTop / ROW) - MORE, 0);
  const last = Math.min(Math.ceil((rowsBox.scrollTop + rowsBox.clientHeight) / ROW) + MORE, shown.length);
  while (pool.length < last - first) pool.push(newRow());
  const width = pool[0]?.children[1].clientWidth ?? 1;
  pool.forEach((row, n) => {
    row.hidden = first + n >= last;
    row.style.display = row.hidden ? 'none' : '';
    if (row.hidden) row.removeAttribute('id');
    else drawRow(row, first + n, width);
  });
  const inSight = rowOf.get(chosen);
  if (inSight >= first && inSight < last) rowsBox.setAttribute('aria-activedescendant', `row-${chosen}`);
  else rowsBox.removeAttribute('aria-activedescendant');
}

// Scrolls as little as it takes.
function reveal(span) {
  const at = rowOf.get(span);
  if (at === undefined) return;
  const top = at * ROW;
  const height = rowsBox.clientHeight;
  if (top < rowsBox.scrollTop) rowsBox.scrollTop = Math.max(top - ROW, 0);
  else if (top + ROW > rowsBox.scrollTop + height) rowsBox.scrollTop = top + 2 * ROW - height;
}
