// Error codes of STUN and TURN in words: what it means, and what to do.

const WORDS = {
  300: ["Go elsewhere", "The server is full or draining and names another one."],
  400: ["Bad request", "The server did not understand the request."],
  401: [
    "Not let in",
    "Username or credential are wrong or have expired. Time-limited ones also fail when a clock is wrong.",
  ],
  403: ["Forbidden", "This login may not do that here, or the peer is one that the server does not relay to."],
  420: ["Unknown attribute", "The browser asked for something that this server does not know."],
  437: ["Allocation mismatch", "There is an allocation from this port already, or none any more. Try again."],
  438: ["Stale nonce", "The login was too old and is repeated. Only if it goes on is something wrong."],
  440: ["Address family", "The server has no relay address of this family (IPv4 or IPv6)."],
  441: ["Wrong credentials", "The allocation belongs to another login."],
  442: ["Unsupported transport", "The server does not relay this transport."],
  486: ["Quota reached", "This user has as many allocations as allowed. Close other calls, or wait until they end."],
  508: ["No room", "The server has no port or capacity left, or is draining."],
  701: [
    "No answer",
    "Nothing came back: a firewall is between, the port or name is wrong, the server is down, or the browser does not" +
      " believe its certificate.",
  ],
};

/** `{name, text}` of an error code. */
export function explain(code) {
  const [name, text] = WORDS[code] ?? ["Error", "The server gave no reason that this page knows."];
  return { name, text };
}
