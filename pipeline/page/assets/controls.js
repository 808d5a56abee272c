// Controls: what is moved acts at once; what others move is shown, but not under the hand.

const byId = (id) => document.getElementById(id);
const HELD_MS = 700;
const SEND_EVERY_MS = 60;

function slide(range, value) {
  range.value = value;
  range.style.setProperty("--at", (range.value - range.min) / (range.max - range.min));
}

export class Controls {
  constructor(change) {
    this.send = change;
    this.touched = new Map();
    this.pending = {};
    this.timer = null;
    this.knobs = {};
    this.most = 1000;
    this.barred = "";
    this.listen();
  }

  listen() {
    byId("controls").addEventListener("submit", (event) => event.preventDefault());
    byId("interval").addEventListener("input", (event) => this.setInterval(event.target.valueAsNumber));
    byId("interval-number").addEventListener("input", (event) => {
      if (Number.isInteger(event.target.valueAsNumber)) this.setInterval(event.target.valueAsNumber);
    });
    byId("interval-number").addEventListener("blur", () => this.draw("interval", this.knobs.interval));
    byId("opacity").addEventListener("input", (event) => this.set("opacity", event.target.valueAsNumber));
    for (const name of ["level", "flow"]) {
      byId(name).addEventListener("change", (event) => this.set(name, event.target.value));
    }
    for (const name of ["aggregate", "enabled"]) {
      byId(name).addEventListener("change", (event) => this.set(name, event.target.checked));
    }
    byId("paused").addEventListener("click", () => this.toggle("paused"));
    byId("recording").addEventListener("click", () => this.toggle("recording"));
    byId("snapshot").addEventListener("click", () => this.snapshot());
    document.addEventListener("keydown", (event) => this.key(event));
  }

  choices({ choices, most_interval: most }) {
    this.most = most;
    byId("interval-number").max = most;
    for (const [name, values] of Object.entries(choices)) {
      const current = byId(name).value;
      byId(name).replaceChildren(...values.map((value) => new Option(value, value, false, value === current)));
    }
  }

  show(knobs, abilities) {
    this.knobs = knobs;
    this.bar(abilities.aggregate ?? "");
    const free = (name) => performance.now() - (this.touched.get(name) ?? -HELD_MS) >= HELD_MS;
    for (const name of Object.keys(knobs)) if (free(name)) this.draw(name, knobs[name]);
    byId("recording").disabled = abilities.record === false;
    byId("recording").title = abilities.record === false ? "this run has no output to record to: --sink record:FILE.mp4" : "";
  }

  bar(reason) {
    if (reason === this.barred) return;
    this.barred = reason;
    byId("aggregate").disabled = reason !== "";
    byId("barred").hidden = reason === "";
    byId("barred").textContent = reason && `Key frames cannot be aggregated: ${reason}`;
    this.draw("aggregate", this.knobs.aggregate);
  }

  draw(name, value) {
    if (name === "interval") {
      slide(byId("interval"), value);
      if (document.activeElement !== byId("interval-number")) byId("interval-number").value = value;
    } else if (name === "opacity") {
      slide(byId("opacity"), value);
      byId("opacity-value").textContent = `${Math.round(value * 100)} %`;
    } else if (name === "aggregate") {
      byId("aggregate").checked = value && this.barred === "";
    } else if (name === "enabled") {
      byId("enabled").checked = value;
    } else if (name === "paused" || name === "recording") {
      byId(name).setAttribute("aria-pressed", String(value));
    } else if (name === "level" || name === "flow") {
      this.select(byId(name), value);
    }
  }

  select(list, value) {
    if (![...list.options].some((option) => option.value === value)) list.add(new Option(value, value));
    list.value = value;
  }

  set(name, value) {
    this.touched.set(name, performance.now());
    this.knobs = { ...this.knobs, [name]: value };
    this.draw(name, value);
    this.pending[name] = value;
    if (this.timer === null) {
      this.flush();
      this.timer = setTimeout(() => this.rest(), SEND_EVERY_MS);
    }
  }

  rest() {
    this.timer = null;
    if (Object.keys(this.pending).length > 0) {
      this.flush();
      this.timer = setTimeout(() => this.rest(), SEND_EVERY_MS);
    }
  }

  flush() {
    this.send(this.pending);
    this.pending = {};
  }

  setInterval(value) {
    this.set("interval", Math.max(1, Math.min(this.most, value)));
  }

  toggle(name) {
    if (!byId(name).disabled) this.set(name, !this.knobs[name]);
  }

  answered({ ok, error }) {
    byId("trouble").textContent = ok ? "" : error;
    if (!ok) this.touched.clear(); // back to what is
  }

  async snapshot() {
    const trouble = byId("trouble");
    try {
      const response = await fetch("snapshot.jpg", { cache: "no-store" });
      if (!response.ok) throw new Error(await response.text());
      const link = document.createElement("a");
      link.href = URL.createObjectURL(await response.blob());
      link.download = `keywarp-${new Date().toISOString().slice(0, 19).replaceAll(":", "")}.jpg`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
      trouble.textContent = "";
    } catch (error) {
      trouble.textContent = `no snapshot: ${error.message}`;
    }
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { tagName = "" } = event.target;
    if (tagName === "SELECT" || tagName === "INPUT") return;
    const step = event.shiftKey ? 10 : 1;
    const actions = {
      " ": tagName === "BUTTON" ? null : () => this.toggle("paused"),
      s: () => this.snapshot(),
      r: () => this.toggle("recording"),
      ArrowLeft: () => this.setInterval((this.knobs.interval ?? 10) - step),
      ArrowRight: () => this.setInterval((this.knobs.interval ?? 10) + step),
    };
    const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action || (event.repeat && !event.key.startsWith("Arrow"))) return;
    event.preventDefault();
    action();
  }
}
