// The WebSocket to the server: reconnects by itself, says why it cannot, answers commands.

const FIRST_WAIT_MS = 300;
const LONGEST_WAIT_MS = 3000;
const SILENCE_MS = 5000; // news come four times a second
const REASON_MS = 3000;
const HEADER_BYTES = 24;

export class Link {
  constructor(handlers) {
    this.handlers = handlers;
    this.tries = 0;
    this.commands = 0;
    this.heard = 0;
    this.socket = null;
    setInterval(() => this.watch(), 1000);
    document.addEventListener("visibilitychange", () => this.say({ want: !document.hidden }));
    this.connect();
  }

  connect() {
    const address = new URL("ws", location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    address.search = "";
    const socket = new WebSocket(address);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.heard = performance.now();
    socket.addEventListener("message", (event) => this.take(event.data));
    socket.addEventListener("close", () => this.lost(socket));
  }

  take(data) {
    this.heard = performance.now();
    if (typeof data === "string") {
      const message = JSON.parse(data);
      if (message.type === "hello") {
        this.tries = 0;
        if (document.hidden) this.say({ want: false });
      }
      this.handlers[message.type]?.(message);
      return;
    }
    const view = new DataView(data);
    const number = view.getUint32(0, true);
    this.handlers.picture({
      flags: view.getUint32(4, true),
      index: Number(view.getBigUint64(8, true)),
      ageMs: view.getUint32(16, true) / 1000,
      jpeg: new Uint8Array(data, HEADER_BYTES),
      drawn: () => this.say({ ack: number }),
    });
  }

  async lost(socket) {
    if (socket !== this.socket) return;
    this.socket = null;
    this.tries += 1;
    this.handlers.lost(this.tries, this.tries > 1 ? await this.reason() : "the connection was lost");
    const wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (this.tries - 1));
    setTimeout(() => this.connect(), wait);
  }

  async reason() {
    try {
      const { status } = await fetch("ws", { cache: "no-store", signal: AbortSignal.timeout(REASON_MS) });
      if (status === 503) return "all viewers' seats are taken";
      if (status === 401) return "the token is no longer valid; open the address that keywarp printed";
      return "the connection was refused";
    } catch {
      return "the server cannot be reached; the run may have ended";
    }
  }

  watch() {
    // Also one that is still connecting: where packets vanish, the browser alone would wait for minutes.
    if (this.socket && performance.now() - this.heard > SILENCE_MS) {
      const silent = this.socket;
      silent.close();
      this.lost(silent);
    }
  }

  say(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  change(set) {
    this.commands += 1;
    this.say({ set, id: this.commands });
  }
}
