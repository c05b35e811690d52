// The spans of the page's data as a tree in the order of its rows, and which of them are shown.
const data = JSON.parse(document.getElementById('data').textContent);
const spans = data.spans;
const count = spans.id.length;
const OK = data.statuses.indexOf('ok');
const IN_PROGRESS = data.statuses.indexOf('in progress');
const isBad = (span) => spans.status[span] !== OK && spans.status[span] !== IN_PROGRESS;
const nameOf = (span) => data.names[spans.name[span]];
const processOf = (span) => data.processes[spans.process[span]];
const isFirst = (span) => spans.first[span] === span;
const endOf = (span) => spans.start[span] + spans.took[span];

// By span: the one that it is under, -1 at the top; and the first one after all that are under it.
const parents = new Int32Array(count);
const ends = new Int32Array(count);
{
  const above = [];
  for (let span = 0; span < count; span++) {
    while (above.length > spans.depth[span]) ends[above.pop()] = span;
    parents[span] = above.length ? above[above.length - 1] : -1;
    above.push(span);
  }
  for (const span of above) ends[span] = count;
}
// Those that have failed, and have it from nobody below them.
const isCause = new Uint8Array(count);
{
  const hasBadBelow = new Uint8Array(count);
  for (let span = count - 1; span >= 0; span--) {
    isCause[span] = isBad(span) && !hasBadBelow[span];
    if (parents[span] >= 0 && (isBad(span) || hasBadBelow[span])) hasBadBelow[parents[span]] = 1;
  }
}
const hasChildren = (span) => ends[span] > span + 1;

const numbers = new Map(spans.id.map((id, span) => [id, span]));

function grouped(items, keyOf) {
  const found = new Map();
  for (const item of items) {
    const key = keyOf(item);
    if (found.has(key)) found.get(key).push(item);
    else found.set(key, [item]);
  }
  return found;
}
const stepsOf = grouped(data.steps, (step) => step[0]);
const linesOf = grouped(data.lines, (line) => line[3]);

// What is searched in, made when somebody searches for the first time.
let texts = null;
function searched() {
  if (texts) return texts;
  const pairs = data.pairs.map(([key, value]) => `${key}=${value}`.toLowerCase());
  const names = data.names.map((name) => name.toLowerCase());
  const processes = data.processes.map((name) => name.toLowerCase());
  texts = new Array(count);
  for (let span = 0; span < count; span++) {
    const parts = [names[spans.name[span]], processes[spans.process[span]], spans.id[span]];
    for (const pair of spans.attributes[span]) parts.push(pairs[pair]);
    for (const caught of data.exceptions[span] ?? []) parts.push(`${caught.type}: ${caught.message}`.toLowerCase());
    for (const line of linesOf.get(span) ?? []) parts.push(line[2].toLowerCase());
    texts[span] = parts.join('\n');
  }
  return texts;
}

// What is asked for, and what of the spans is shown of it: `shown` by row, `found` those that are asked for.
const choice = { words: [], processes: null, statuses: null };
const folded = new Set();
let shown = [];
let found = [];
let rowOf = new Map();
const isChosen = () => choice.words.length > 0 || choice.processes !== null || choice.statuses !== null;

function matches(span) {
  if (choice.processes && !choice.processes.has(spans.process[span])) return false;
  if (choice.statuses && !choice.statuses.has(spans.status[span])) return false;
  return choice.words.every((word) => searched()[span].includes(word));
}

function choose() {
  shown = [];
  found = [];
  if (isChosen()) {
    // With what they were done for, or nobody could tell where they belong.
    const wanted = new Uint8Array(count);
    for (let span = count - 1; span >= 0; span--) {
      if (matches(span)) {
        wanted[span] = 1;
        found.push(span);
      }
      if (wanted[span] && parents[span] >= 0) wanted[parents[span]] ||= 2;
    }
    found.reverse();
    for (let span = 0; span < count; span++) if (wanted[span]) shown.push(span);
  } else {
    for (let span = 0; span < count; span = folded.has(span) ? ends[span] : span + 1) shown.push(span);
  }
  rowOf = new Map(shown.map((span, row) => [span, row]));
}

function unfoldTo(span) {
  for (let above = parents[span]; above >= 0; above = parents[above]) folded.delete(above);
}

// As otel_prefect.view.words has it, of milliseconds.
function duration(ms) {
  if (ms < 1000) return `${ms > 0 && ms < 1 ? ms.toFixed(3) : Math.round(ms)} ms`;
  if (ms < 100000) return `${Number((ms / 1000).toPrecision(3))} s`;
  const seconds = Math.round(ms / 1000);
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  return hours ? `${hours} h ${minutes % 60} min` : `${minutes} min ${seconds % 60} s`;
}
