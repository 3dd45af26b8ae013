// Two peer connections in this page that may use nothing but one relay: what one sends goes to the server, through the
// relay of one to the relay of the other, and back here.

import { quantile, sleep } from "./dom.js";

/** Bytes of a bulk message: a full packet, and no more. */
const BULK = 1100;
/** Messages sent between two looks at the clock. */
const BURST_MS = 10;
/** Bytes that may wait to be sent. */
const WAITING = 256 * 1024;
export const SAMPLE_MS = 250;

export class Loop {
  #near;
  #far;
  #ping;
  #bulk;
  #echoes = new Map();

  /** Connects; rejects with a reason for a person. */
  static async connect(server, { stream = null, signal, patience = 12_000 } = {}) {
    const loop = new Loop();
    try {
      await loop.#connect(server, stream, signal, patience);
      return loop;
    } catch (error) {
      loop.close();
      throw error;
    }
  }

  async #connect(server, stream, signal, patience) {
    const configuration = { iceServers: [server], iceTransportPolicy: "relay" };
    this.#near = new RTCPeerConnection(configuration);
    this.#far = new RTCPeerConnection(configuration);
    const [near, far] = [this.#near, this.#far];
    // A candidate waits for the other side's description.
    const described = Promise.withResolvers();
    for (const [one, other] of [[near, far], [far, near]]) {
      one.addEventListener("icecandidate", async ({ candidate }) => {
        await described.promise;
        if (other.signalingState !== "closed") await other.addIceCandidate(candidate);
      });
    }
    this.received = new MediaStream();
    far.addEventListener("track", ({ track }) => this.received.addTrack(track));
    this.#ping = near.createDataChannel("ping");
    this.#bulk = near.createDataChannel("bulk", { ordered: false, maxRetransmits: 0 });
    const channels = new Promise((resolve) => {
      const seen = {};
      far.addEventListener("datachannel", ({ channel }) => {
        seen[channel.label] = channel;
        if (channel.label === "ping") channel.addEventListener("message", ({ data }) => channel.send(data));
        if (seen.ping && seen.bulk) resolve(seen);
      });
    });
    stream?.getTracks().forEach((track) => near.addTrack(track, stream));
    await near.setLocalDescription();
    await far.setRemoteDescription(near.localDescription);
    await far.setLocalDescription();
    await near.setRemoteDescription(far.localDescription);
    described.resolve();

    const failed = new Promise((_, reject) => {
      for (const one of [near, far]) {
        one.addEventListener("connectionstatechange", () => {
          if (one.connectionState === "failed") reject(new Error("no packet came through the relay"));
        });
      }
      setTimeout(() => reject(new Error(`nothing came through the relay within ${patience / 1000} s`)), patience);
      signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
    // Whoever waits no longer is not to be told.
    failed.catch(() => {});
    const opened = Promise.all([this.#ping, this.#bulk].map(whenOpen));
    const [{ bulk }] = await Promise.race([Promise.all([channels, opened]), failed]);
    this.incoming = bulk;
    this.incoming.binaryType = "arraybuffer";
    this.#ping.addEventListener("message", ({ data }) => {
      this.#echoes.get(Number(data))?.(performance.now());
      this.#echoes.delete(Number(data));
    });
  }

  /** One round trip, from here through the relay and back, twice; ms. NaN when it does not come. */
  async ping(number, patience = 5000) {
    const sent = performance.now();
    const echoed = new Promise((resolve) => this.#echoes.set(number, resolve));
    this.#ping.send(`${number}`);
    return (await Promise.race([echoed, sleep(patience).then(() => NaN)])) - sent;
  }

  /**
   * Sends data at `rate` bits/s (0: as much as goes) for so long, and pings. `sample` hears every quarter of a second
   * `{bits, ms, loss}`; returns the whole: `{seconds, bytes, bits, ms, ms95, loss, picture, broken}`, the last when
   * a ping did not come back.
   */
  async measure({ rate, seconds, sample, signal }) {
    const message = new Uint8Array(BULK);
    const number = new DataView(message.buffer);
    const seen = { messages: 0, bytes: 0, highest: 0 };
    this.incoming.addEventListener("message", ({ data }) => {
      seen.messages += 1;
      seen.bytes += data.byteLength;
      seen.highest = Math.max(seen.highest, new DataView(data).getUint32(0));
    });
    let sent = 0;
    const started = performance.now();
    const due = () => (rate ? ((performance.now() - started) / 1000) * (rate / 8 / BULK) : Infinity);
    const sender = setInterval(() => {
      while (sent < due() && this.#bulk.bufferedAmount < WAITING && this.#bulk.readyState === "open") {
        sent += 1;
        number.setUint32(0, sent);
        this.#bulk.send(message);
      }
    }, BURST_MS);
    const trips = [];
    let [before, at, pings, broken] = [{ ...seen }, started, 0, false];
    try {
      while (performance.now() - started < seconds * 1000 && !signal?.aborted && !broken) {
        const [ms] = await Promise.all([this.ping((pings += 1)), sleep(SAMPLE_MS)]);
        const now = performance.now();
        broken = !Number.isFinite(ms);
        if (!broken) trips.push(ms / 2);
        const expected = seen.highest - before.highest;
        sample({
          bits: ((seen.bytes - before.bytes) * 8000) / (now - at),
          ms: ms / 2,
          loss: expected > 0 ? Math.max(0, 1 - (seen.messages - before.messages) / expected) : 0,
        });
        [before, at] = [{ ...seen }, now];
      }
    } finally {
      clearInterval(sender);
    }
    const lasted = (performance.now() - started) / 1000;
    return {
      seconds: lasted,
      bytes: seen.bytes,
      bits: (seen.bytes * 8) / lasted,
      ms: quantile(trips),
      ms95: quantile(trips, 0.95),
      loss: seen.highest ? Math.max(0, 1 - seen.messages / seen.highest) : 1,
      picture: await this.#picture(),
      broken,
    };
  }

  /** What came of the picture: `{frames, width, height, lost}`, or null without one. */
  async #picture() {
    for (const report of (await this.#far.getStats()).values()) {
      if (report.type === "inbound-rtp" && report.kind === "video") {
        const { framesDecoded: frames = 0, frameWidth: width = 0, frameHeight: height = 0, packetsLost: lost = 0 } = report;
        return { frames, width, height, lost };
      }
    }
    return null;
  }

  close() {
    this.#near?.close();
    this.#far?.close();
  }
}

function whenOpen(channel) {
  return new Promise((resolve) => channel.addEventListener("open", resolve, { once: true }));
}
