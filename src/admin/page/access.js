// What this visitor may do, and requests to the server with the key that allows it. The key comes by the address's
// fragment or the key dialog and stays in this tab: it is in no URL that is sent, and in no cookie.

const KEY = "floe-key";
const INVITATION = "floe-invitation";

/** What the server said of this visitor: `key`, `loopback` (may test) or `none`; a key may be for less than the dashboard. */
export const visitor = { version: "", access: "none", administrator: false, mint: false };

/** Told whenever `visitor` has changed. */
export const changes = new EventTarget();

export class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

const key = () => sessionStorage.getItem(KEY) ?? "";

/** Keeps this key, or none; answers with the one before. */
export function setKey(text) {
  const before = key();
  if (text) sessionStorage.setItem(KEY, text);
  else sessionStorage.removeItem(KEY);
  return before;
}

export const hasKey = () => key() !== "";

export function setInvitation(room, invitation) {
  sessionStorage.setItem(INVITATION, JSON.stringify({ room, invitation }));
}

/** `{room, invitation}`, or null. */
export function invitation() {
  return JSON.parse(sessionStorage.getItem(INVITATION) ?? "null");
}

/** Asks the server what this visitor may do. */
export async function refresh() {
  const shown = key();
  const answer = await send("GET", "/api/page", shown);
  Object.assign(visitor, answer);
  changes.dispatchEvent(new Event("change"));
  return visitor;
}

/** A request with the key, when it is a good one; the answer's JSON, or `Refused`. */
export function request(method, path, signal) {
  return send(method, path, visitor.access === "key" ? key() : "", signal);
}

/** The same with an invitation in the key's place. */
export function requestInvited(method, path, shown, signal) {
  return send(method, path, shown, signal);
}

async function send(method, path, shown, signal) {
  // A header carries Latin-1 only; the server knows no such key.
  const headers = /^[\x20-\x7e]+$/.test(shown) ? { Authorization: `Bearer ${shown}` } : {};
  const response = await fetch(path, { method, headers, signal, cache: "no-store", credentials: "omit" });
  const json = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refused(response.status, json.error ?? `the server says ${response.status}`);
  return json;
}
