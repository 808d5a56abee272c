// Small charts on canvases, in the page's own colours.

const SPAN_S = 60;
const SLOTS = 120;
const KEY = 1;
const PROPAGATED = 2;
const FROZEN = 4;

const probe = document.createElement("i");
probe.hidden = true;
document.documentElement.append(probe);

function color(name) {
  probe.style.color = `var(--${name})`;
  return getComputedStyle(probe).color;
}

function prepared(canvas) {
  const scale = devicePixelRatio || 1;
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  const [columns, rows] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== columns || canvas.height !== rows) Object.assign(canvas, { width: columns, height: rows });
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

function ceiling(value) {
  if (!(value > 0)) return 1;
  const unit = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((step) => step * unit >= value) * unit;
}

// `series`: [{ values, color, fill }], each value at the time of the same place in `times`, null where unknown.
export function lines(canvas, times, series) {
  const { context, width, height } = prepared(canvas);
  const [left, right, top, bottom] = [36, 2, 6, 16];
  const known = series.flatMap(({ values }) => values.filter((value) => value !== null));
  const most = ceiling(Math.max(0, ...known) * 1.05);
  const now = times.at(-1) ?? 0;
  const x = (time) => width - right - ((now - time) / SPAN_S) * (width - right - left);
  const y = (value) => height - bottom - (value / most) * (height - bottom - top);
  context.font = `11px ${getComputedStyle(canvas).fontFamily}`;
  grid(context, { left, width: width - right, most, y });
  context.fillStyle = color("quiet");
  context.textBaseline = "alphabetic";
  for (const [ago, align] of [[60, "left"], [30, "center"], [0, "right"]]) {
    context.textAlign = align;
    context.fillText(ago ? `−${ago} s` : "now", x(now - ago), height - 2);
  }
  context.save();
  context.beginPath();
  context.rect(left, 0, width - left, height);
  context.clip();
  for (const one of series) line(context, times, one, { x, y, floor: height - bottom });
  context.restore();
  canvas.dataset.points = known.length;
}

function grid(context, { left, width, most, y }) {
  context.lineWidth = 1;
  context.strokeStyle = color("line");
  context.fillStyle = color("quiet");
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const share of [0, 0.5, 1]) {
    const row = Math.round(y(most * share)) + 0.5;
    context.beginPath();
    context.moveTo(left, row);
    context.lineTo(width, row);
    context.stroke();
    context.fillText(most * share < 10 ? +(most * share).toFixed(2) : Math.round(most * share), left - 6, row);
  }
}

function line(context, times, { values, color: name, fill }, { x, y, floor }) {
  const stroke = color(name);
  let begun = false;
  let first = 0;
  let last = 0;
  context.beginPath();
  values.forEach((value, place) => {
    if (value === null) {
      begun = false;
      return;
    }
    last = x(times[place]);
    if (begun) context.lineTo(last, y(value));
    else context.moveTo((first = last), y(value));
    begun = true;
  });
  context.strokeStyle = stroke;
  context.lineWidth = 1.6;
  context.lineJoin = "round";
  context.stroke();
  if (fill && begun) {
    context.lineTo(last, floor);
    context.lineTo(first, floor);
    context.globalAlpha = 0.07;
    context.fillStyle = stroke;
    context.fill();
    context.globalAlpha = 1;
  }
}

// `frames`: [[index, flags, age, work, latency, guessed], ...] in order; a gap in the index is a dropped frame.
export function ticks(canvas, frames) {
  const { context, width, height } = prepared(canvas);
  const step = width / SLOTS;
  const wide = Math.max(1.5, Math.min(step - 1.5, 7));
  const colors = { [KEY]: color("key"), [PROPAGATED]: color("propagated"), 0: color("quiet") };
  const bad = color("bad");
  const base = height - 6;
  frames.slice(-SLOTS).forEach(([index, flags, , , , guessed], place, shown) => {
    const left = width - (shown.length - place) * step + (step - wide) / 2;
    const kind = flags & (KEY | PROPAGATED);
    const tall = kind === KEY ? base : base * 0.36;
    context.globalAlpha = flags & FROZEN ? 0.35 : 1;
    context.fillStyle = colors[kind];
    context.beginPath();
    context.roundRect(left, base - tall, wide, tall, Math.min(2, wide / 2));
    context.fill();
    context.globalAlpha = 1;
    if (place > 0 && !guessed && index - shown[place - 1][0] > 1) {
      context.fillStyle = bad;
      context.fillRect(left - (step - wide) / 2 - 1, height - 4, 2.5, 4);
    }
  });
  canvas.dataset.points = Math.min(frames.length, SLOTS);
}
