// The Test page: every URL on its own, then data and a picture through the relay and back.

import { changes, request, visitor } from "./access.js";
import { $, badge, bits, bytes, confirmOn, copy, duration, el, milliseconds, percent, quantile, say } from "./dom.js";
import { gather, kindOf } from "./ice.js";
import { Loop, SAMPLE_MS } from "./loop.js";
import * as media from "./media.js";
import { Plot } from "./plot.js";
import { share } from "./share.js";
import { explain } from "./words.js";

const KINDS = {
  stun: { title: "STUN", offered: "no STUN URL" },
  udp: { title: "TURN over UDP", offered: "no TURN URL over UDP" },
  tcp: { title: "TURN over TCP", offered: "no TURN URL over TCP" },
  tls: { title: "TURN over TLS", offered: "no TURN URL over TLS" },
};
const STATES = { ok: "✓ works", warn: "! works in part", fail: "✗ fails", off: "not offered" };
/** Pings through the relay for one verdict. */
const PINGS = 5;
/** The form of another server, for a reload of this tab. */
const OTHER = "floe-test-server";

const form = $("test-form");
const field = (name) => form.elements.namedItem(name);
let report = null;
let running = null;

/** A shared test, in a tab that has the page already. */
export const opened = takeShared;

export function start(parameters) {
  for (const kind of Object.keys(KINDS)) show(kind, "off", { note: "Not tested yet.", label: "–" });
  $("test-start").textContent = "Test this server";
  takeShared(parameters);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  form.addEventListener("input", () => {
    if (document.activeElement?.name === "urls") field("whose").value = "other";
    keepOther();
  });
  $("test-stop").addEventListener("click", () => running?.abort(new Error("stopped")));
  $("test-copy").addEventListener("click", async () => {
    await copy(inWords(report));
    confirmOn($("test-copy"), "Copied");
  });
  $("test-share").addEventListener("click", shareTest);
  changes.addEventListener("change", tellAccess);
  tellAccess();
}

/** Another server's URLs and login come by a shared link, or are those of before a reload. */
function takeShared(parameters) {
  const kept = JSON.parse(sessionStorage.getItem(OTHER) ?? "null");
  const shared = parameters.has("u")
    ? { urls: parameters.getAll("u"), username: parameters.get("n") ?? "", credential: parameters.get("c") ?? "" }
    : kept;
  if (!shared) return;
  field("whose").value = "other";
  field("urls").value = shared.urls.join("\n");
  field("username").value = shared.username;
  field("credential").value = shared.credential;
  keepOther();
  if (parameters.has("u")) $("test-options").open = true;
}

function keepOther() {
  if (field("whose").value === "other") sessionStorage.setItem(OTHER, JSON.stringify(typedServer()));
  else sessionStorage.removeItem(OTHER);
}

function typedServer() {
  const urls = field("urls").value.split(/[\s,]+/).filter(Boolean);
  return { urls, username: field("username").value.trim(), credential: field("credential").value.trim() };
}

function tellAccess() {
  if (running || report) return;
  const own = field("whose").value !== "other";
  const told = {
    key: "",
    loopback: "",
    none: "From another machine, the test of this server takes a key (above), or a shared link.",
  };
  let text = own ? told[visitor.access] : "";
  if (own && !visitor.mint) text = "This server has no shared secret to make logins with: type one in the options.";
  say($("test-status"), text);
}

/** The server to test, as `RTCPeerConnection` takes it. */
async function server() {
  if (field("whose").value === "other") {
    const typed = typedServer();
    if (typed.urls.length === 0) throw new Error("type at least one URL in the options");
    const wrong = typed.urls.find((url) => kindOf(url) === null);
    if (wrong) throw new Error(`${wrong} is no STUN or TURN URL; write turn:HOST:PORT?transport=udp`);
    return typed;
  }
  const { iceServers } = await request("POST", "/api/page/ice");
  if (visitor.mint) return iceServers[0];
  const { username, credential } = typedServer();
  if (!username) throw new Error("this server has no shared secret to make logins with: type one in the options");
  return { ...iceServers[0], username, credential };
}

async function run() {
  running = new AbortController();
  const { signal } = running;
  report = { at: new Date(), verdicts: {}, candidates: [], errors: [], loop: null };
  prepare();
  let worst = "ok";
  try {
    say($("test-status"), "Asking for a login…");
    const { urls, ...login } = await server();
    report.urls = urls;
    report.login = login;
    for (const kind of Object.keys(KINDS)) {
      const own = urls.filter((url) => kindOf(url) === kind);
      say($("test-status"), own.length ? `Testing ${KINDS[kind].title}…` : "");
      const verdict = own.length ? await judge(kind, own, login, signal) : { state: "off", note: KINDS[kind].offered };
      report.verdicts[kind] = verdict;
      show(kind, verdict.state, verdict);
    }
    await loop(login, signal);
    worst = worstOf(report);
    say($("test-status"), "");
  } catch (error) {
    worst = "fail";
    say($("test-status"), signal.aborted ? "Stopped." : `${error.message ?? error}`);
    finishCards();
  }
  running = null;
  report.state = worst;
  const text = { ok: "Done: all works", warn: "Done: works in part", fail: "Done: something fails" }[worst];
  badge($("test-done"), worst, signal.aborted ? "Stopped" : text);
  $("test-done").hidden = false;
  $("test-start").hidden = false;
  $("test-stop").hidden = true;
  $("test-copy").disabled = !report.urls;
}

function prepare() {
  for (const id of ["loop", "loop-pictures", "wrong", "found-table", "test-done"]) $(id).hidden = true;
  $("found-empty").hidden = false;
  $("test-start").hidden = true;
  $("test-stop").hidden = false;
  $("test-stop").focus();
  $("found").replaceChildren();
  $("wrong-list").replaceChildren();
  for (const kind of Object.keys(KINDS)) show(kind, "off", { note: "Waiting.", label: "…" });
}

/** Cards that wait for what will not come. */
function finishCards() {
  for (const kind of Object.keys(KINDS)) {
    if (!report.verdicts[kind]) show(kind, "off", { note: "Not tested.", label: "–" });
  }
}

async function judge(kind, urls, login, signal) {
  show(kind, "off", { note: "Testing…", label: "…", busy: true });
  const outcomes = [];
  for (const url of urls) {
    const found = (candidate) => addCandidate(url, candidate);
    const failed = (error) => addError(kind, url, error);
    const one = kind === "stun" ? { urls: url } : { urls: url, ...login };
    const policy = kind === "stun" ? "all" : "relay";
    const gathered = await gather(one, policy, { found, failed, signal });
    outcomes.push(kind === "stun" ? judgeStun(gathered) : await judgeTurn(one, gathered, signal));
  }
  return combine(outcomes);
}

/** Good when gathering ends without error 701: without a NAT between, the address seen is a host's own, and not told. */
function judgeStun({ candidates, errors, complete }) {
  const reflexive = candidates.find((candidate) => candidate.type === "srflx");
  const unanswered = errors.some((error) => error.code === 701);
  if (!complete || (unanswered && !reflexive)) return { state: "fail", note: lastWord(errors, "Gathering did not end.") };
  // Without a reflexive candidate the browser does not tell when the answer came.
  const time = reflexive?.ms;
  const note = reflexive
    ? `Your address out there: ${hostPort(reflexive)}.`
    : "Answered; no NAT between, the address seen is this machine's own.";
  if (unanswered) return { state: "warn", time, note: `${note} Not from every interface of this machine.` };
  return { state: "ok", time, note };
}

async function judgeTurn(one, { candidates, errors, ms }, signal) {
  const relay = candidates.find((candidate) => candidate.type === "relay");
  if (!relay) return { state: "fail", note: lastWord(errors, `No relay within ${duration(ms / 1000)}.`) };
  const where = `Relay ${hostPort(relay)}`;
  let connected;
  try {
    connected = await Loop.connect(one, { signal });
    const trips = [];
    for (let number = 1; number <= PINGS; number += 1) trips.push((await connected.ping(number)) / 2);
    const time = quantile(trips);
    if (!Number.isFinite(time)) throw new Error("no ping came back");
    return { state: "ok", time, note: `${where}; data goes through it and back.`, server: one };
  } catch (error) {
    if (signal.aborted) throw error;
    addError("relay", one.urls, { code: 0, text: error.message });
    return { state: "warn", time: relay.ms, note: `${where} was given, but ${error.message}.` };
  } finally {
    connected?.close();
  }
}

function lastWord(errors, otherwise) {
  const error = errors.findLast((one) => one.code !== 701) ?? errors.at(-1);
  if (!error) return otherwise;
  const { name, text } = explain(error.code);
  return `${error.code} ${name}: ${text}`;
}

/** One verdict of several URLs: the best of them, with what the others lack. */
function combine(outcomes) {
  const order = ["ok", "warn", "fail"];
  const best = outcomes.toSorted((a, b) => order.indexOf(a.state) - order.indexOf(b.state))[0];
  const bad = outcomes.filter((outcome) => outcome.state === "fail");
  if (outcomes.length === 1) return best;
  if (bad.length === 0 || bad.length === outcomes.length) {
    return { ...best, note: `${best.note} ${outcomes.length} URLs, all alike.`.replace("all alike", bad.length ? "none works" : "all work") };
  }
  return { ...best, state: "warn", note: `${best.note} But ${bad.length} of ${outcomes.length} URLs fail: ${bad[0].note}` };
}

/** The long loop, over the best way there is. */
async function loop(login, signal) {
  const ways = ["udp", "tcp", "tls"].map((kind) => report.verdicts[kind]).filter((verdict) => verdict.state === "ok" || verdict.server);
  const way = ways.find((verdict) => verdict.server)?.server;
  if (!way) return;
  const [rate, seconds] = ["rate", "seconds"].map((name) => Number(field(name).value));
  say($("test-status"), "Sending through the relay…");
  let stream = null;
  let connected;
  try {
    stream = await openMedia();
    connected = await Loop.connect(way, { stream, signal });
    $("loop").hidden = false;
    say($("loop-text"), `Over ${way.urls}, at ${rate ? bits(rate * 1e6) : "full speed"}, both ends relayed.`);
    showPictures(stream, connected.received);
    const places = Math.ceil((seconds * 1000) / SAMPLE_MS);
    const draw = plots(places);
    report.loop = { url: way.urls, ...(await connected.measure({ rate: rate * 1e6, seconds, sample: draw, signal })) };
    if (!signal.aborted) say($("loop-text"), loopInWords(report.loop));
  } catch (error) {
    if (signal.aborted) throw error;
    addError("relay", way.urls, { code: 0, text: error.message });
    report.loop = { url: way.urls, failed: error.message };
  } finally {
    connected?.close();
    media.stop(stream);
    $("loop-pictures").hidden = true;
  }
}

/** A camera that is refused is no reason not to test. */
async function openMedia() {
  const kind = field("media").value;
  try {
    return await media.open(kind);
  } catch (error) {
    addError("camera", "", { code: 0, text: `${error.message} The page's own picture is sent instead.` });
    return media.open("made");
  }
}

function showPictures(sent, received) {
  $("loop-pictures").hidden = !sent;
  $("loop-sent").srcObject = sent;
  $("loop-received").srcObject = sent ? received : null;
}

function plots(places) {
  const ends = [`${-(places * SAMPLE_MS) / 1000} s`, "now"];
  const throughput = new Plot($("plot-throughput"), { title: "Throughput", show: bits, ends });
  const latency = new Plot($("plot-latency"), { title: "Round trip to the server", show: milliseconds, least: 1, ends });
  const loss = new Plot($("plot-loss"), { title: "Loss", show: percent, least: 0.05, ends });
  const samples = [];
  return (sample) => {
    samples.push(sample);
    if (samples.length > places) samples.shift();
    const of = (name) => [samples.map((one) => one[name])];
    throughput.draw(of("bits"), places);
    latency.draw(of("ms"), places);
    loss.draw(of("loss"), places);
  };
}

function loopInWords({ url, seconds, bytes: moved, bits: rate, ms, ms95, loss, picture, failed, broken }) {
  if (failed) return `${url}: ${failed}`;
  const seen = picture ? ` Picture: ${picture.frames} frames of ${picture.width} × ${picture.height} came back.` : "";
  return (
    `${bytes(moved)} in ${duration(seconds)}, ${bits(rate)}; round trip to the server ${milliseconds(ms)}` +
    ` (95 % within ${milliseconds(ms95)}); ${percent(loss)} lost.${seen}${broken ? " Then nothing came any more." : ""}`
  );
}

function worstOf({ verdicts, loop: outcome }) {
  const states = Object.values(verdicts).map((verdict) => verdict.state);
  if (states.every((state) => state === "off") || outcome?.failed || outcome?.broken) return "fail";
  if (states.includes("fail")) return states.some((state) => state === "ok") ? "warn" : "fail";
  return states.includes("warn") ? "warn" : "ok";
}

// Showing.

function show(kind, state, { note, time, label, busy = false }) {
  const card = $("verdicts").querySelector(`[data-kind="${kind}"]`);
  card.dataset.state = state;
  card.toggleAttribute("data-running", busy);
  const mark = el("span", { className: "badge" });
  badge(mark, state, label ?? STATES[state]);
  const trip = el("span", { className: "time" }, Number.isFinite(time) ? milliseconds(time) : "");
  card.replaceChildren(el("h2", {}, KINDS[kind].title), el("div", { className: "result" }, mark, trip), el("p", {}, note));
}

function hostPort({ address, port }) {
  const host = address ?? "(hidden)";
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function addCandidate(url, candidate) {
  report.candidates.push({ url, ...candidate });
  const { ms, type, protocol, relayProtocol, address, port, priority } = candidate;
  const over = relayProtocol && relayProtocol !== protocol ? `${protocol} over ${relayProtocol}` : protocol;
  const cells = [milliseconds(ms), type, over, address ?? "(hidden)", `${port}`, split(priority), url];
  $("found").append(el("tr", {}, ...cells.map((cell) => el("td", {}, cell))));
  $("found-table").hidden = false;
  $("found-empty").hidden = true;
}

/** A priority's parts (RFC 8445 §5.1.2.1): type, local preference, component. */
const split = (priority) => `${priority >>> 24} | ${(priority >>> 8) & 0xffff} | ${256 - (priority & 0xff)}`;

function addError(kind, url, error) {
  report.errors.push({ url, ...error });
  const { name, text } = error.code ? explain(error.code) : { name: "", text: "" };
  const from = error.address ? ` from ${hostPort(error)}` : "";
  const said = error.text ? ` (“${error.text}”)` : "";
  const what = error.code ? `${error.code} ${name}. ` : "";
  const line = error.code ? `${text}${said}` : error.text;
  $("wrong-list").append(el("li", {}, el("strong", {}, what), line, el("div", { className: "muted" }, `${url}${from}`)));
  $("wrong").hidden = false;
}

/** The report as text, for a mail or an issue; the credential is left out. */
function inWords({ at, urls, verdicts, candidates, errors, loop: outcome }) {
  const lines = [`floe test, ${at.toISOString()}`, navigator.userAgent, "", ...urls.map((url) => `  ${url}`), ""];
  for (const [kind, { title }] of Object.entries(KINDS)) {
    const verdict = verdicts[kind];
    if (!verdict) continue;
    const time = Number.isFinite(verdict.time) ? `, ${milliseconds(verdict.time)}` : "";
    lines.push(`${title}: ${verdict.state}${time}. ${verdict.note}`);
  }
  if (outcome) lines.push("", `Through the relay: ${loopInWords(outcome)}`);
  lines.push("", "Candidates:");
  for (const { ms, type, protocol, address, port, priority, url } of candidates) {
    lines.push(`  ${milliseconds(ms)}  ${type}  ${protocol}  ${hostPort({ address, port })}  ${priority}  ${url}`);
  }
  if (errors.length) lines.push("", "Errors:");
  for (const { code, text, url } of errors) {
    lines.push(`  ${code || "-"}  ${text}  ${code ? explain(code).text : ""}  ${url}`);
  }
  return `${lines.join("\n")}\n`;
}

async function shareTest() {
  try {
    const { urls, username = "", credential = "" } = await server();
    const parameters = new URLSearchParams([...[urls].flat().map((url) => ["u", url]), ["n", username], ["c", credential]]);
    const expires = Number(/^(\d{9,11})(:|$)/.exec(username)?.[1]);
    const left = expires ? ` It holds for ${duration(expires - Date.now() / 1000)}.` : "";
    share({
      title: "Test from another device",
      text: `Opens this page with the server and a login in it, for a phone on another network.${left}`,
      fragment: `/test?${parameters}`,
    });
  } catch (error) {
    say($("test-status"), error.message);
  }
}
