// What is known of the span that is chosen, and what was said in it.
const detailsBox = document.getElementById('details');
const MOST_LINES = 300;
let linesScope = 'below';

function facts(pairs) {
  const list = element('dl');
  for (const [key, value] of pairs) list.append(element('dt', {}, key), element('dd', {}, value));
  return list;
}

function clock(ms, day = false) {
  const text = new Date(data.began * 1000 + ms).toISOString();
  return day ? `${text.slice(0, 10)} ${text.slice(11, 23)} UTC` : text.slice(11, 23);
}

function localClock(ms) {
  const at = new Date(data.began * 1000 + ms);
  if (at.getTimezoneOffset() === 0) return '';
  return ` (${at.toLocaleString(undefined, { timeStyle: 'medium', dateStyle: 'short' })} here)`;
}

function aboutSpan(span) {
  const took = `${duration(spans.took[span])}${spans.status[span] === IN_PROGRESS ? ' so far' : ''}`;
  const pairs = [
    ['process', processOf(span)],
    ['state', data.statuses[spans.status[span]]],
    ['began', `${clock(spans.start[span], true)}${localClock(spans.start[span])}, ${duration(spans.start[span])} into the run`],
    ['took', took],
  ];
  if (spans.waited[span] > 0) pairs.push(['waited for', duration(spans.waited[span])]);
  for (const [, , ms, waits] of stepsOf.get(span) ?? []) if (waits) pairs.push(['', `${duration(ms)} ${waits}`]);
  const attempt = data.attempts[span];
  if (attempt) pairs.push(['attempt', `${attempt[0]} of ${attempt[1]}`]);
  if (parents[span] >= 0) {
    const up = element('button', { type: 'button', onclick: () => select(parents[span]) }, nameOf(parents[span]));
    pairs.push(['done for', up]);
  }
  pairs.push(['span id', element('span', { class: 'mono' }, spans.id[span])]);
  return facts(pairs.slice(0, 40));
}

function exceptionParts(span) {
  return (data.exceptions[span] ?? []).flatMap((caught) => [
    element('p', { class: 'said' }, marked(caught.message ? `${caught.type}: ${caught.message}` : caught.type)),
    ...(caught.stack.length ? [element('pre', { tabindex: '0' }, caught.stack.join('\n'))] : []),
  ]);
}

function scopes(span) {
  const below = [];
  for (let each = span; each < ends[span]; each++) below.push(...(linesOf.get(each) ?? []));
  const isOfProcess = ([, , , said]) => said >= 0 && spans.first[said] === spans.first[span];
  return {
    own: ['of this span', linesOf.get(span) ?? []],
    below: ['and of what is below it', below.sort((a, b) => a[0] - b[0])],
    process: ['of its process', data.lines.filter(isOfProcess)],
  };
}

function lineParts(span) {
  if (!data.lines.length) return [];
  const all = scopes(span);
  const choose = element('div', { class: 'choose', role: 'radiogroup', 'aria-label': 'which lines' });
  for (const [scope, [title, lines]] of Object.entries(all)) {
    const radio = element('input', { type: 'radio', name: 'lines', value: scope, onchange: () => rescope(scope) });
    radio.checked = scope === linesScope;
    choose.append(element('label', {}, radio, ` ${title} (${lines.length.toLocaleString('en')})`));
  }
  const table = element('table', { class: 'log' });
  const more = element('button', { type: 'button' });
  const lines = all[linesScope][1];
  let shownLines = 0;
  const showMore = () => {
    for (const line of lines.slice(shownLines, shownLines + MOST_LINES)) table.append(lineRow(line));
    shownLines = Math.min(shownLines + MOST_LINES, lines.length);
    more.hidden = shownLines >= lines.length;
    more.textContent = `${(lines.length - shownLines).toLocaleString('en')} more`;
  };
  more.addEventListener('click', showMore);
  showMore();
  return [element('h4', {}, 'Log (UTC)'), choose, table, more];
}

function lineRow([at, level, message]) {
  return element(
    'tr',
    { class: level.toLowerCase() },
    element('td', {}, clock(at)),
    element('td', {}, level),
    element('td', {}, marked(message)),
  );
}

function rescope(scope) {
  linesScope = scope;
  showDetails(chosen);
  detailsBox.querySelector(`input[value="${scope}"]`)?.focus();
}

function attributeParts(span) {
  const own = spans.attributes[span].map((pair) => data.pairs[pair]);
  const of = isFirst(span) ? [] : spans.attributes[spans.first[span]].map((pair) => data.pairs[pair]);
  const list = (title, pairs) =>
    pairs.length ? [element('h4', {}, title), facts(pairs.map(([key, value]) => [marked(key), marked(value)]))] : [];
  return [...list('Attributes', own), ...list('Attributes of its process', of)];
}

function showDetails(span) {
  if (!count) return;
  const title = element('h3', {}, element('span', { class: 'under' }, `${processOf(span)} ▸ `), nameOf(span));
  const zoomTo = element('button', { type: 'button', title: 'z', onclick: () => lookAt(span) }, 'zoom to it');
  detailsBox.replaceChildren(
    title,
    zoomTo,
    ...exceptionParts(span),
    aboutSpan(span),
    ...lineParts(span),
    ...attributeParts(span),
  );
  detailsBox.scrollTop = 0;
}
