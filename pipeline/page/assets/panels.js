// Panels of figures: state, stages, frames.

const byId = (id) => document.getElementById(id);
const put = (id, text) => {
  const element = byId(id);
  if (element.textContent !== text) element.textContent = text;
};
const count = new Intl.NumberFormat("en").format;
const short = (value, digits = 1) => (value == null ? "–" : value >= 99.95 ? String(Math.round(value)) : value.toFixed(digits));

function since(seconds) {
  if (seconds == null) return "";
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

const WORDS = {
  opening: "opening", live: "live", lost: "signal lost", ended: "ended", stalled: "not answering", paused: "paused",
};

let announced = "";

function announce(text) {
  if (text !== announced) put("news", text);
  announced = text;
}

export function showState(news, frozen) {
  const { health, knobs, stalled } = news;
  const source = stalled ? "stalled" : health.state ?? "opening";
  const state = source === "live" && knobs.paused ? "paused" : source;
  byId("state").dataset.state = state;
  put("state-word", WORDS[state] ?? state);
  const more = state === "live" || state === "paused" ? "" : [since(health.since_s), health.reason].filter(Boolean).join(" · ");
  put("state-more", more);
  announce([WORDS[state] ?? state, health.reason].filter(Boolean).join(": "));
  showBadge(state, frozen, health);
}

function showBadge(state, frozen, health) {
  const badge = byId("badge");
  const lost = state === "lost";
  badge.hidden = !(lost || frozen || state === "paused" || state === "ended");
  badge.dataset.kind = lost ? "lost" : state;
  const ago = since(health.since_s);
  const text = lost ? `Signal lost${ago ? ` ${ago} ago` : ""} · this is the last picture`
    : state === "paused" ? "Paused" : state === "ended" ? "The stream has ended" : "Frozen · this is the last picture";
  if (badge.textContent !== text) badge.textContent = text;
}

export function showOffline(tries, reason) {
  byId("state").dataset.state = "offline";
  put("state-word", "disconnected");
  put("state-more", "");
  const veil = byId("veil");
  veil.hidden = false;
  veil.textContent = `No connection to keywarp: ${reason}. Trying again (${tries}) …`;
  announce(`disconnected: ${reason}`);
}

export function showOnline() {
  byId("veil").hidden = true;
}

export function showHeadline(point, age) {
  put("now-fps", short(point?.[1]));
  put("now-latency", short(point?.[2]));
  put("now-age", age == null ? "–" : String(age));
}

const rows = new Map();

export function showStages(stages) {
  const list = byId("stages");
  const active = stages.filter(({ key, propagated }) => key !== null || propagated !== null);
  const order = new Map(active.map(({ name }, place) => [name, place]));
  const parents = new Set(active.map(({ name }) => name));
  // The parts of a stage come after it, though their times are known before its own.
  const rank = ({ name }) => {
    const parent = name.split(".")[0];
    return [order.get(parent) ?? order.get(name), name.includes(".") ? 1 + order.get(name) : 0];
  };
  active.sort((a, b) => rank(a)[0] - rank(b)[0] || rank(a)[1] - rank(b)[1]);
  const most = Math.max(0.001, ...active.flatMap(({ key, propagated }) => [key ?? 0, propagated ?? 0]));
  active.forEach((stage) => {
    const row = rows.get(stage.name) ?? addRow(stage.name, parents);
    row.fill(stage, most);
  });
  const wanted = active.map(({ name }) => rows.get(name).element);
  if (wanted.some((element, place) => list.children[place] !== element) || list.children.length !== wanted.length) {
    list.replaceChildren(...wanted);
  }
}

function addRow(name, parents) {
  const element = document.createElement("li");
  const [parent, ...rest] = name.split(".");
  const isPart = rest.length > 0 && parents.has(parent);
  const label = document.createElement("span");
  label.className = isPart ? "name part" : "name";
  label.textContent = (isPart ? rest.join(".") : name).replaceAll("_", " ");
  label.title = name;
  const bars = document.createElement("span");
  bars.className = "bars";
  const [key, propagated] = ["is-key", "is-propagated"].map((kind) => {
    const bar = document.createElement("i");
    bar.className = kind;
    bars.append(bar);
    const value = document.createElement("span");
    value.className = "value";
    return { bar, value };
  });
  element.append(label, bars, key.value, propagated.value);
  const row = {
    element,
    fill(stage, most) {
      for (const [shown, value] of [[key, stage.key], [propagated, stage.propagated]]) {
        shown.bar.style.setProperty("--share", ((value ?? 0) / most).toFixed(3));
        shown.value.textContent = short(value, value < 10 ? 2 : 1);
        shown.value.classList.toggle("none", value === null);
      }
    },
  };
  rows.set(name, row);
  return row;
}

let shownFigures = "";

export function showFigures({ health, page, stages }) {
  const frames = health.frames ?? {};
  const dropped = frames.dropped ?? {};
  const total = Object.values(dropped).reduce((sum, value) => sum + value, 0);
  const entries = [
    ["In", frames.in], ["Out", frames.out], ["Dropped", total, total ? "some" : ""], ["Frozen", frames.frozen],
    ["Key age", health.key_age], ["Reconnects", health.reconnects],
    ["Viewers", page.viewers], ["To screen p95", page.delivery_ms.p95 === null ? null : `${short(page.delivery_ms.p95)} ms`],
    ...(health.key_agreement == null ? [] : [["Carried as in a full run", `${short(100 * health.key_agreement, 1)} %`, "all"]]),
    ...Object.entries(dropped).map(([cause, value]) => [`Dropped: ${cause}`, value, "all"]),
  ];
  const text = JSON.stringify(entries);
  if (text === shownFigures) return;
  shownFigures = text;
  byId("figures").replaceChildren(...entries.map(([name, value, kind]) => figure(name, value, kind)));
}

function figure(name, value, kind = "") {
  const row = document.createElement("div");
  row.className = kind;
  const term = document.createElement("dt");
  term.textContent = name;
  const shown = document.createElement("dd");
  shown.textContent = value == null ? "–" : typeof value === "number" ? count(value) : value;
  row.append(term, shown);
  return row;
}
