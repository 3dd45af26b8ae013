// What a browser finds at one STUN or TURN URL.

/** `stun`, `udp`, `tcp`, `tls`, or `dtls`, which no browser speaks; null for what is no such URL. */
export function kindOf(url) {
  const parts = /^(stuns?|turns?):[^?]+(?:\?transport=(udp|tcp))?$/i.exec(url.trim());
  if (!parts) return null;
  const [, scheme, transport] = parts.map((part) => part?.toLowerCase());
  if (scheme.startsWith("stun")) return "stun";
  if (scheme === "turns") return transport === "udp" ? "dtls" : "tls";
  return transport ?? "udp";
}

/** Those that browsers speak: one URL that they do not would spoil the others. */
export const spoken = (urls) => urls.filter((url) => !["dtls", null].includes(kindOf(url)));

/**
 * Gathers from one server. `found` and `failed` hear of candidates and errors as they come.
 * Returns `{candidates, errors, complete, ms}`.
 */
export async function gather(server, policy, { found = () => {}, failed = () => {}, signal, patience = 20_000 }) {
  const started = performance.now();
  const candidates = [];
  const errors = [];
  const connection = new RTCPeerConnection({ iceServers: [server], iceTransportPolicy: policy });
  try {
    const complete = await new Promise((resolve, reject) => {
      const timer = setTimeout(() => resolve(false), patience);
      signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
      connection.addEventListener("icegatheringstatechange", () => {
        if (connection.iceGatheringState !== "complete") return;
        clearTimeout(timer);
        resolve(true);
      });
      connection.addEventListener("icecandidate", ({ candidate }) => {
        if (!candidate?.candidate) return;
        candidates.push(describe(candidate, performance.now() - started));
        found(candidates.at(-1));
      });
      connection.addEventListener("icecandidateerror", ({ errorCode, errorText, url, address, port }) => {
        errors.push({ code: errorCode, text: errorText, url, address, port });
        failed(errors.at(-1));
      });
      connection.createDataChannel("gather");
      connection.setLocalDescription().catch(reject);
    });
    return { candidates, errors, complete, ms: performance.now() - started };
  } finally {
    connection.close();
  }
}

function describe(candidate, ms) {
  const { type, protocol, address, port, priority, relatedAddress, relayProtocol, foundation } = candidate;
  return { ms, type, protocol, address, port, priority, relatedAddress, relayProtocol, foundation };
}
