// Messages and files over the data channels of a call.

import { $, badge, bytes, el, say } from "./dom.js";

/** Bytes of a file's message; every browser takes so many. */
const CHUNK = 16 * 1024;
/** Bytes that may wait to be sent. */
const WAITING = 1024 * 1024;
/** Received files are kept in memory until they are saved: so many bytes of all of them. */
const LARGEST_FILE = 512 * 1024 * 1024;
/** How long a saved file can still be read by what saves it. */
const SAVING_MS = 60_000;

let channel = null;
let peer = null;
/** The file that comes just now; one at a time. */
let coming = null;
/** Bytes of received files that are not saved yet. */
let kept = 0;

export function start() {
  $("chat-form").addEventListener("submit", (event) => {
    event.preventDefault();
    send($("chat-text").value, $("chat-kind").value);
    $("chat-text").value = "";
    $("chat-text").focus();
  });
  $("file-input").addEventListener("change", () => {
    const [file] = $("file-input").files;
    if (file) sendFile(file);
    $("file-input").value = "";
  });
  enable(false);
}

/** A data channel of the call, opened here or there. */
export function attach(call, opened) {
  opened.binaryType = "arraybuffer";
  if (opened.label === "file") return receiveFile(opened);
  if (opened.label === "floe-pair") return echo(opened);
  // On this one it would speak to another `floe pair`.
  if (opened.label === "floe-pair-notes") return;
  peer = call;
  channel = opened;
  const show = () => {
    const open = opened.readyState === "open";
    badge($("chat-state"), open ? "ok" : "off", open ? "open" : opened.readyState);
    enable(open);
  };
  show();
  opened.addEventListener("open", () => {
    show();
    note("The channel is open.");
  });
  opened.addEventListener("closing", show);
  opened.addEventListener("close", () => {
    show();
    note("The channel is closed.");
  });
  opened.addEventListener("message", ({ data }) => add(describe(data)));
}

/** `floe pair` checks that what it sends comes back as it was. */
function echo(opened) {
  let messages = 0;
  opened.addEventListener("message", ({ data }) => {
    messages += 1;
    opened.send(data);
  });
  opened.addEventListener("open", () => note("floe pair is here: it gets back what it sends."));
  opened.addEventListener("close", () => note(`floe pair has gone; ${messages} messages went back to it.`));
}

function enable(open) {
  for (const id of ["chat-text", "chat-kind", "chat-send", "file-input"]) $(id).disabled = !open;
}

async function send(text, kind) {
  if (channel?.readyState !== "open" || text === "") return;
  const encoded = new TextEncoder().encode(text);
  const data = {
    text: () => text,
    blob: () => new Blob([text], { type: "text/plain" }),
    buffer: () => encoded.buffer,
    bytes: () => encoded,
    floats: () => Float32Array.from(text, (letter) => letter.codePointAt(0)),
  }[kind]();
  try {
    channel.send(data);
  } catch (error) {
    // Browsers have learnt late to send a Blob.
    if (!(data instanceof Blob)) return note(`Not sent: ${error.message}`);
    channel.send(await data.arrayBuffer());
  }
  add([text, kind === "text" ? "" : `sent as ${data.constructor.name}`], "own");
}

/** `[text, what it was]` of a message. */
function describe(data) {
  if (typeof data === "string") return [data, ""];
  const list = new Uint8Array(data);
  const hex = Array.from(list.subarray(0, 24), (byte) => byte.toString(16).padStart(2, "0")).join(" ");
  const kind = `binary, ${bytes(list.length)}: ${hex}${list.length > 24 ? " …" : ""}`;
  try {
    return [new TextDecoder("utf-8", { fatal: true }).decode(list), kind];
  } catch {
    return ["(no text)", kind];
  }
}

function add([text, kind], ...classes) {
  const item = el("li", { className: classes.join(" ") }, text);
  if (kind) item.append(el("small", {}, kind));
  return append(item);
}

export function note(text) {
  append(el("li", { className: "note" }, text));
}

function append(item) {
  const log = $("chat-log");
  log.append(item);
  // A long talk does not fill the memory.
  while (log.childElementCount > 500) log.firstElementChild.remove();
  const box = log.parentElement;
  box.scrollTop = box.scrollHeight;
  return item;
}

// A file has a channel of its own: first `{name, size, type}` as text, then its bytes, then from the receiver `done`, or
// at any time why it does not take it.

async function sendFile(file) {
  const own = peer.open("file");
  const line = progress(file.name, file.size, "own");
  own.bufferedAmountLowThreshold = WAITING / 4;
  let answer = "";
  const answered = once(own, "message").then(({ data }) => (answer = `${data}`.slice(0, 200)));
  // It is waited for at the end; the channel may be closed before.
  answered.catch(() => {});
  try {
    await once(own, "open");
    own.send(JSON.stringify({ name: file.name, size: file.size, type: file.type }));
    for (let at = 0; at < file.size && !answer; at += CHUNK) {
      if (own.bufferedAmount > WAITING) await once(own, "bufferedamountlow");
      own.send(await file.slice(at, at + CHUNK).arrayBuffer());
      line.to(Math.min(at + CHUNK, file.size) - own.bufferedAmount);
    }
    await answered;
    line.end(answer === "done" ? "delivered" : answer);
  } catch (error) {
    line.end(answer || `not delivered: ${error.message}`);
  } finally {
    own.close();
  }
}

function receiveFile(opened) {
  let head = null;
  let line = null;
  let got = 0;
  let over = false;
  const parts = [];
  const end = (words, ...more) => {
    over = true;
    parts.length = 0;
    if (coming === opened) coming = null;
    line?.end(words, ...more);
  };
  const refuse = (why) => {
    end(why);
    opened.send(`refused: ${why}`);
    opened.close();
  };
  opened.addEventListener("message", ({ data }) => {
    if (over) return;
    if (!head) {
      head = headOf(data);
      if (!head) return refuse("this is no file");
      if (head.size > LARGEST_FILE) return refuse(`larger than ${bytes(LARGEST_FILE)}`);
      if (coming) return refuse("one file at a time");
      if (kept + head.size > LARGEST_FILE) return refuse("earlier files are not saved yet");
      coming = opened;
      line = progress(head.name, head.size);
      if (head.size === 0) finish();
      return;
    }
    // Neither text nor nothing adds up to its size.
    const size = data instanceof ArrayBuffer ? data.byteLength : 0;
    if (size === 0 || got + size > head.size) return refuse("this is not what was announced");
    got += size;
    parts.push(data);
    line.to(got);
    if (got === head.size) finish();
  });
  opened.addEventListener("close", () => {
    if (!over) end("not all of it came");
  });
  function finish() {
    const { name, size } = head;
    const url = URL.createObjectURL(new Blob(parts, { type: "application/octet-stream" }));
    kept += size;
    const save = el("a", { href: url, download: name }, "Save it");
    const forget = () => {
      URL.revokeObjectURL(url);
      kept -= size;
      save.remove();
    };
    save.addEventListener("click", () => setTimeout(forget, SAVING_MS), { once: true });
    end("", save);
    opened.send("done");
  }
}

/** `{name, size}` of what a file begins with; null when it is none. */
function headOf(data) {
  try {
    const { name, size } = JSON.parse(data);
    return Number.isSafeInteger(size) && size >= 0 ? { name: `${name}`.slice(0, 255), size } : null;
  } catch {
    return null;
  }
}

function progress(name, size, ...classes) {
  const bar = el("progress", { max: Math.max(size, 1), value: 0 });
  bar.setAttribute("aria-label", name);
  const text = el("small", {}, bytes(size));
  append(el("li", { className: classes.join(" ") }, name, bar, text));
  return {
    to: (value) => (bar.value = Math.max(0, value)),
    end: (words, ...more) => {
      bar.remove();
      say(text, `${bytes(size)} ${words} `);
      text.append(...more);
    },
  };
}

/** The next event of this name; rejects when the channel closes before. */
function once(target, name) {
  return new Promise((resolve, reject) => {
    if (name === "open" && target.readyState === "open") return resolve();
    target.addEventListener(name, resolve, { once: true });
    target.addEventListener("close", () => reject(new Error("the channel is closed")), { once: true });
  });
}
