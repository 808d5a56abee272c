// The page: brings link, picture, charts, panels and controls together.

import { lines, ticks } from "./charts.js";
import { Controls } from "./controls.js";
import { Link } from "./link.js";
import { showFigures, showHeadline, showOffline, showOnline, showStages, showState } from "./panels.js";
import { startTheme } from "./theme.js";
import { View } from "./view.js";

const MOST_POINTS = 240;
const MOST_FRAMES = 120;
const KEY = 1;
const FROZEN = 4;
const GUESSED = true; // until news tell of the frame, and of those that this viewer did not get

const view = new View(document.getElementById("picture"));
let points = [];
let frames = [];
let flags = 0;

function addFrame(frame) {
  const after = frames.findLastIndex(([index]) => index <= frame[0]);
  const known = after >= 0 && frames[after][0] === frame[0];
  frames.splice(known ? after : after + 1, known ? 1 : 0, frame);
  if (frames.length > MOST_FRAMES) frames.shift();
}

function drawTrends() {
  const times = points.map(([time]) => time);
  const column = (place) => points.map((point) => point[place]);
  lines(document.getElementById("fps"), times, [{ values: column(1), color: "ink", fill: true }]);
  lines(document.getElementById("latency"), times, [
    { values: column(3), color: "quiet" },
    { values: column(2), color: "ink", fill: true },
  ]);
}

function drawFrames() {
  ticks(document.getElementById("ticks"), frames);
}

function redraw() {
  drawTrends();
  drawFrames();
}

const link = new Link({
  hello(message) {
    showOnline();
    document.title = `${message.title} · keywarp`;
    document.getElementById("title").textContent = message.title;
    view.setSize(message.size);
    controls.choices(message);
    points = message.trend;
    frames = message.ticks;
    redraw();
  },
  news(message) {
    message.ticks.forEach(addFrame);
    if (message.point) points.push(message.point);
    points = points.slice(-MOST_POINTS);
    const newest = frames.at(-1);
    if (newest) flags = newest[1];
    showState(message, (flags & FROZEN) !== 0);
    showHeadline(message.point, newest?.[2] ?? message.health.key_age);
    showStages(message.stages);
    showFigures(message);
    controls.show(message.knobs, message.abilities);
    redraw();
  },
  picture(picture) {
    const last = frames.at(-1);
    if (!last || picture.index > last[0]) {
      const age = picture.flags & KEY ? 0 : (last?.[2] ?? 0) + 1;
      addFrame([picture.index, picture.flags, age, 0, picture.ageMs, GUESSED]);
      drawFrames();
    }
    view.show(picture);
  },
  answer(message) {
    controls.answered(message);
  },
  lost: showOffline,
});
const controls = new Controls((set) => link.change(set));
startTheme(redraw);
addEventListener("resize", redraw);
