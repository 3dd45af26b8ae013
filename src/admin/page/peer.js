// One side of a call between two peers: offer and answer, trickle ICE, tracks and data channels, with a signaling
// channel of your choice. Copy it into your application; it needs nothing else.
//
//   const peer = new Peer(new SignalingChannel("tea", { key }), { iceServers }, localStream);
//   peer.addEventListener("stream", ({ stream }) => (video.srcObject = stream));
//   peer.addEventListener("channel", ({ channel }) => (channel.onmessage = ({ data }) => console.log(data)));
//
// Events: `connection` (a new RTCPeerConnection: somebody came), `stream` (the other side's), `channel` (the data channel
// `chat`, which whoever calls opens, or any that the other side opens), `gone` (the other side), `problem` (with `reason`).

export class Peer extends EventTarget {
  #signaling;
  #configuration;
  #first = false;
  #offering = false;
  #ignoring = false;
  #alone = false;

  /** The RTCPeerConnection, while somebody is there. */
  connection = null;

  /** `configuration` is an RTCPeerConnection's; `stream` is what to send, or null. */
  constructor(signaling, configuration, stream) {
    super();
    this.#signaling = signaling;
    this.#configuration = configuration;
    this.stream = stream;
    // One message after the other: a candidate must not overtake the description before it.
    let last = Promise.resolve();
    signaling.addEventListener("message", (message) => {
      last = last.then(() => this.#hear(message)).catch((error) => this.#tell("problem", { reason: error.message }));
    });
  }

  /** Opens a data channel to the other side. */
  open(label, options) {
    return this.connection.createDataChannel(label, options);
  }

  /** Ends the call and leaves the room. */
  close() {
    this.#end();
    this.#signaling.close();
  }

  async #hear(message) {
    if (message.peers === 1) this.#first = true;
    if (message.peers === 2 && this.#first) this.#call();
    if (message.offer) await this.#describe(message.offer);
    if (message.answer) await this.#describe(message.answer);
    if ("new-ice-candidate" in message) await this.#candidate(message["new-ice-candidate"]);
    if (message.left) this.#left();
    if (message.error) this.#tell("problem", { reason: message.error });
  }

  /** Whoever was there first calls: the data channel and the tracks make the browser ask for an offer. */
  #call() {
    this.#end();
    this.#connect();
    this.#tell("channel", { channel: this.open("chat") });
    this.#addTracks();
  }

  #connect() {
    const connection = new RTCPeerConnection(this.#configuration);
    this.connection = connection;
    this.#alone = false;
    connection.addEventListener("icecandidate", ({ candidate }) => {
      this.#signaling.send({ "new-ice-candidate": candidate });
    });
    connection.addEventListener("negotiationneeded", async () => {
      try {
        this.#offering = true;
        await connection.setLocalDescription();
        this.#signaling.send({ [connection.localDescription.type]: connection.localDescription });
      } catch (error) {
        this.#tell("problem", { reason: error.message });
      } finally {
        this.#offering = false;
      }
    });
    connection.addEventListener("connectionstatechange", () => {
      const lost = ["disconnected", "failed", "closed"].includes(connection.connectionState);
      if (lost && this.#alone) this.#end();
      else if (connection.connectionState === "failed" && this.#first) connection.restartIce();
    });
    connection.addEventListener("track", ({ streams: [stream] }) => stream && this.#tell("stream", { stream }));
    connection.addEventListener("datachannel", ({ channel }) => this.#tell("channel", { channel }));
    this.#tell("connection", { connection });
  }

  #addTracks() {
    if (this.stream) {
      this.stream.getTracks().forEach((track) => this.connection.addTrack(track, this.stream));
    } else {
      // Nothing to send is no reason not to see the other.
      for (const kind of ["audio", "video"]) this.connection.addTransceiver(kind, { direction: "recvonly" });
    }
  }

  /** Takes an offer or an answer. Should both sides offer at once, the first one's holds. */
  async #describe(description) {
    const isOffer = description.type === "offer";
    const isNew = isOffer && (!this.connection || this.#isOver());
    if (isNew) {
      this.#end();
      this.#connect();
    }
    if (!this.connection) return;
    const clash = isOffer && (this.#offering || this.connection.signalingState !== "stable");
    this.#ignoring = this.#first && clash;
    if (this.#ignoring) return;
    await this.connection.setRemoteDescription(description);
    if (!isOffer) return;
    // An answer's tracks take the places that the offer made for them.
    if (isNew && this.stream) this.#addTracks();
    await this.connection.setLocalDescription();
    this.#signaling.send({ answer: this.connection.localDescription });
  }

  async #candidate(candidate) {
    try {
      await this.connection?.addIceCandidate(candidate);
    } catch (error) {
      // It belongs to an offer that was passed over.
      if (!this.#ignoring) throw error;
    }
  }

  /** The other side has left the room. Its connection may go on without. */
  #left() {
    this.#alone = true;
    if (this.connection?.connectionState !== "connected") this.#end();
  }

  #isOver() {
    return ["closed", "failed"].includes(this.connection.connectionState);
  }

  #end() {
    if (!this.connection) return;
    const { connection } = this;
    this.connection = null;
    connection.close();
    this.#tell("gone");
  }

  #tell(name, details = {}) {
    this.dispatchEvent(Object.assign(new Event(name), details));
  }
}
