// The stretch of time that is shown, in milliseconds from the start of the run.
const whole = Math.max(data.took, 0.001);
const LEAST_MS = Math.min(0.01, whole);
const view = { from: 0, to: whole };
let onMove = () => {};

function look(from, to) {
  const length = Math.min(Math.max(to - from, LEAST_MS), whole);
  view.from = Math.min(Math.max(from, 0), whole - length);
  view.to = view.from + length;
  onMove();
}

// `at`: what stays where it is, as a share of what is shown.
function zoom(factor, at = 0.5) {
  const length = view.to - view.from;
  const fixed = view.from + length * at;
  look(fixed - length * factor * at, fixed + length * factor * (1 - at));
}

function pan(share) {
  const by = (view.to - view.from) * share;
  look(view.from + by, view.to + by);
}

function lookAt(span) {
  const room = Math.max(spans.took[span] * 0.1, LEAST_MS);
  look(spans.start[span] - room, endOf(span) + room);
}

const shareOf = (ms) => (ms - view.from) / (view.to - view.from);

// Round times, far enough from each other to be read.
function ticks(width) {
  const least = ((view.to - view.from) / Math.max(width, 1)) * 80;
  let step = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600].find((s) => s * 1000 >= least);
  if (least < 1000) {
    const power = 10 ** Math.floor(Math.log10(least));
    step = ([1, 2, 5, 10].find((s) => s * power >= least) * power) / 1000;
  }
  step = (step ?? 86400) * 1000;
  const at = [];
  for (let n = Math.ceil(view.from / step); n * step <= view.to && at.length < 200; n++) at.push(n * step);
  return at;
}

function tickText(ms) {
  if (ms === 0) return '0';
  if (ms < 1) return `${Number(ms.toPrecision(6))} ms`;
  if (ms < 1000) return `${Number(ms.toFixed(3))} ms`;
  const seconds = ms / 1000;
  if (seconds < 60) return `${Number(seconds.toFixed(6))} s`;
  const rest = Number((seconds % 60).toFixed(6));
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  const parts = [hours ? `${hours} h` : '', minutes % 60 ? `${minutes % 60} min` : '', rest ? `${rest} s` : ''];
  return parts.filter(Boolean).join(' ');
}
