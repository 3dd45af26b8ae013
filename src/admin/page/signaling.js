// The channel by which two peers find each other: a room of a floe server. Copy it into your application; it needs
// nothing else.
//
//   const signalingChannel = new SignalingChannel("tea", { key });
//   signalingChannel.addEventListener("message", async (message) => {
//     if (message.answer) await peerConnection.setRemoteDescription(message.answer);
//   });
//   signalingChannel.send({ offer });
//
// Events: `open`; `message`, which has one of `offer`, `answer` and `new-ice-candidate` (null after the last one) from
// the other peer, or from the room `peers` (how many are in it), `left` (the other has gone) or `error`; `close`.
// Whoever hears `peers: 1` first was there first, and makes the offer. A message to an empty room is lost.

const NAMES = ["offer", "answer", "new-ice-candidate", "peers", "left", "error"];

export class SignalingChannel extends EventTarget {
  #socket;
  #member;
  #sending = Promise.resolve();
  #ending = new AbortController();
  #url;

  /**
   * Enters a room: 1 to 64 letters, digits, `-`, `_` and `.`; two peers a room. `key` is an API key, the run's token or
   * an invitation. `over` is `websocket`, or `http` for where none can pass.
   */
  constructor(room, { key, server = location.origin, over = "websocket" } = {}) {
    super();
    this.#url = `${server}/signal/${encodeURIComponent(room)}`;
    if (over === "http") this.#listen(key);
    else this.#connect(key);
  }

  /** Sends `{offer}`, `{answer}` or `{"new-ice-candidate": candidate}` to the other peer. */
  send(message) {
    const text = JSON.stringify(message);
    if (this.#socket) this.#socket.send(text);
    else this.#post(text);
  }

  /** Leaves the room. */
  close() {
    this.#socket?.close();
    this.#ending.abort();
  }

  #connect(key) {
    // A header can't be set on a WebSocket, but a subprotocol can; it is in no log, as a URL would be.
    this.#socket = new WebSocket(this.#url.replace(/^http/, "ws"), ["floe-signal", `token.${key}`]);
    this.#socket.addEventListener("open", () => this.dispatchEvent(new Event("open")));
    this.#socket.addEventListener("message", ({ data }) => this.#hear(data));
    this.#socket.addEventListener("close", () => this.dispatchEvent(new Event("close")));
  }

  #hear(text) {
    const message = JSON.parse(text);
    const event = new Event("message");
    for (const name of NAMES) if (name in message) event[name] = message[name];
    this.dispatchEvent(event);
  }

  // The same over plain HTTP: messages come as server-sent events and go as POST.

  async #listen(key) {
    try {
      const response = await fetch(`${this.#url}/events`, {
        headers: { Authorization: `Bearer ${key}` },
        signal: this.#ending.signal,
      });
      if (!response.ok) throw new Error((await response.json()).error);
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        const events = (text + value).split("\n\n");
        text = events.pop();
        events.forEach((event) => this.#event(event));
      }
    } catch (error) {
      if (!this.#ending.signal.aborted) this.#hear(JSON.stringify({ error: error.message }));
    }
    this.dispatchEvent(new Event("close"));
  }

  #event(text) {
    const lines = text.split("\n");
    const data = lines.filter((line) => line.startsWith("data: ")).map((line) => line.slice(6));
    if (data.length === 0) return;
    if (lines[0] === "event: joined") {
      this.#member = JSON.parse(data.join("\n")).member;
      this.dispatchEvent(new Event("open"));
    } else {
      this.#hear(data.join("\n"));
    }
  }

  /** One after the other, so that their order is kept. */
  #post(text) {
    this.#sending = this.#sending.then(async () => {
      const headers = { "Floe-Member": this.#member };
      const signal = this.#ending.signal;
      const response = await fetch(`${this.#url}/messages`, { method: "POST", headers, body: text, signal });
      if (!response.ok) this.#hear(JSON.stringify({ error: (await response.json()).error }));
    }).catch(() => {}); // Closed meanwhile.
  }
}
