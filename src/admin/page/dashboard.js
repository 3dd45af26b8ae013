// The Dashboard: what the server does now and did in the last hour, who is on it, and an end to a session.

import { changes, request, visitor } from "./access.js";
import { $, bits, bytes, count, duration, el, percent, say } from "./dom.js";
import { Plot } from "./plot.js";
import { explain } from "./words.js";

const LOOK_MS = 2000;
const SHOWN = 100;
/** A certificate is to be renewed when it has so long left. */
const SOON_DAYS = 14;
const DAY = 86_400;
/** Answers that every login begins with are no trouble. */
const ANSWERS = { 401: "asked for a login", 438: "asked for a newer login" };

let timer = null;
let shown = false;
let looking = false;
let before = null;
let history = { interval: 5, started: 0, series: null };
let plots = null;
let session = null;
/** The list of sessions that is asked for; a newer one takes its place. */
let listing = null;

export function start() {
  changes.addEventListener("change", update);
  document.addEventListener("visibilitychange", update);
  $("sessions-form").addEventListener("submit", (event) => event.preventDefault());
  $("sessions-form").addEventListener("input", () => sessions().catch(noNews));
  $("session-kick").addEventListener("click", kick);
}

export function show() {
  shown = true;
  update();
}

export function hide() {
  shown = false;
  update();
}

/** Looks again and again while somebody can see it. */
function update() {
  const may = visitor.administrator;
  $("dashboard-gate").hidden = may;
  $("dashboard-body").hidden = !may;
  const on = shown && may && !document.hidden;
  if (on && !timer) {
    before = null;
    look();
    timer = setInterval(look, LOOK_MS);
  } else if (!on) {
    clearInterval(timer);
    timer = null;
  }
}

async function look() {
  if (looking) return;
  looking = true;
  try {
    const at = history.series?.at.at(-1) ?? 0;
    const [status, users, more] = await Promise.all([
      request("GET", "/api/status"),
      request("GET", "/api/users?limit=8"),
      request("GET", `/api/history?since=${at}`),
      sessions(),
    ]);
    $("dashboard-error").hidden = true;
    extend(more, status.started);
    tiles(status);
    shards(status);
    topUsers(users);
    trouble(status);
    about(status);
    before = { status, at: performance.now() };
  } catch (error) {
    noNews(error);
  } finally {
    looking = false;
  }
}

function noNews(error) {
  say($("dashboard-error"), `No news from the server: ${error.message}`);
  $("dashboard-error").hidden = false;
}

/** What came about per second since the look before; NaN at the first. */
function rate(status, of) {
  if (!before) return NaN;
  const seconds = (performance.now() - before.at) / 1000;
  return Math.max(0, of(status) - of(before.status)) / seconds;
}

function tiles(status) {
  const { state, allocations, counts, relays, certificates, process } = status;
  const live = Object.values(allocations).reduce((sum, number) => sum + number, 0);
  const by = Object.entries(allocations).filter(([, number]) => number).map(([name, number]) => `${number} ${name}`);
  const used = relays.reduce((sum, relay) => sum + relay.ports_used, 0);
  const ports = relays.reduce((sum, relay) => sum + relay.ports, 0);
  const inward = rate(status, ({ counts: c }) => c.from_clients.bytes + c.from_peers.bytes) * 8;
  const outward = rate(status, ({ counts: c }) => c.to_clients.bytes + c.to_peers.bytes) * 8;
  const packets = rate(status, ({ counts: c }) => c.from_clients.packets + c.from_peers.packets);
  const errors = errorsOf(counts);
  const known = (number, text) => (Number.isFinite(number) ? text(number) : "–");
  const list = [
    ["State", state, `for ${duration(status.uptime)}`, state === "serving" ? "ok" : "warn"],
    ["Allocations", count(live), by.join(", ") || "none live"],
    ["Traffic in", known(inward, bits), `out ${known(outward, bits)}`],
    ["Packets in", known(packets, (number) => `${count(number)}/s`), `${count(counts.hairpin.packets)} from relay to relay`],
    ["Errors", count(errors), `${count(counts.failed_logins)} failed logins`, errors ? "" : "ok"],
    ["Relay ports", count(used), `of ${count(ports)}`, used > 0.9 * ports ? "fail" : used > 0.75 * ports ? "warn" : ""],
    ["Certificate", ...certificate(certificates)],
    ["Memory", bytes(process.resident_bytes ?? 0), `${count(process.open_descriptors ?? 0)} descriptors of ${count(process.max_descriptors ?? 0)}`],
  ];
  const tile = ([name, big, small, mark = ""]) => {
    const value = el("dd", { className: "big" }, big);
    value.dataset.state = mark;
    return el("dl", { className: "tile" }, el("dt", {}, name), value, el("dd", {}, small));
  };
  $("tiles").replaceChildren(...list.map(tile));
}

function certificate(certificates) {
  if (certificates.length === 0) return ["none", "TLS is off"];
  const first = certificates.toSorted((a, b) => a.expires - b.expires)[0];
  const left = first.expires - Date.now() / 1000;
  const mark = left <= 0 ? "fail" : left < SOON_DAYS * DAY ? "warn" : "ok";
  return [left > 0 ? duration(left) : "expired", `left of ${first.file.split("/").at(-1)}`, mark];
}

/** Error responses but for those that every login begins with. */
const errorsOf = ({ errors }) =>
  Object.entries(errors).reduce((sum, [code, number]) => (["401", "438"].includes(code) ? sum : sum + number), 0);

function shards(status) {
  const rows = status.shards.map((shard) => {
    const load = rate(status, ({ shards: all }) => all[shard.shard]?.cpu_seconds ?? 0);
    const meter = el("meter", { min: 0, max: 1, high: 0.8, value: Number.isFinite(load) ? load : 0 });
    meter.setAttribute("aria-label", `CPU of shard ${shard.shard}`);
    const text = Number.isFinite(load) ? percent(load) : "–";
    return el("div", { className: "meter" }, el("span", {}, `${shard.shard}: ${count(shard.allocations)} live`), meter, el("span", {}, text));
  });
  $("shards").replaceChildren(...rows);
}

function topUsers({ users }) {
  if (users.length === 0) return $("users").replaceChildren(el("p", { className: "empty" }, "Nobody is on it now."));
  const most = Math.max(1, ...users.map((user) => user.up_bytes + user.down_bytes));
  const rows = users.map(({ user, sessions: number, up_bytes: up, down_bytes: down }) => {
    const meter = el("meter", { min: 0, max: most, value: up + down });
    meter.setAttribute("aria-label", `Traffic of ${user}`);
    return el("div", { className: "meter" }, el("span", { title: user }, `${user} (${number})`), meter, el("span", {}, bytes(up + down)));
  });
  $("users").replaceChildren(...rows);
}

function trouble({ counts }) {
  const rows = [
    ...Object.entries(counts.errors).map(([code, number]) => [`${code}: ${ANSWERS[code] ?? explain(code).name}`, number]),
    ...Object.entries(counts.drops).map(([reason, number]) => [`dropped: ${reason.replaceAll("_", " ")}`, number]),
    ...(counts.failed_logins ? [["failed logins", counts.failed_logins]] : []),
    ...(counts.tls_handshakes_failed ? [["failed TLS handshakes", counts.tls_handshakes_failed]] : []),
  ];
  if (rows.length === 0) return $("trouble").replaceChildren(el("p", { className: "empty" }, "None."));
  const row = ([name, number]) => el("tr", {}, el("td", {}, name), el("td", { className: "number" }, count(number)));
  $("trouble").replaceChildren(el("table", {}, el("tbody", {}, ...rows.map(row))));
}

function about(status) {
  const rows = [
    ["Version", status.version],
    ["Realm", status.realm],
    ["Listens", status.listeners.map(({ transport, address }) => `${transport} ${address}`).join(", ")],
    ["Relays", status.relays.map((relay) => relay.external_address).join(", ")],
    ["Since", new Date(status.started * 1000).toLocaleString()],
    ["Opened", `${count(status.counts.opened)} allocations`],
  ];
  $("about").replaceChildren(...rows.flatMap(([name, text]) => [el("dt", {}, name), el("dd", {}, text)]));
}

/** Adds what is new of the last hour, and draws it. */
function extend({ interval, series }, started) {
  const places = 3600 / interval;
  // A server that was started anew begins a new hour.
  const old = history.started === started ? history.series : null;
  const join = (name) => [...(old?.[name] ?? []), ...series[name]].slice(-places);
  const joined = Object.fromEntries(Object.keys(series).map((name) => [name, join(name)]));
  history = { interval, started, series: joined };
  plots ??= hour();
  const all = history.series;
  const perSecond = (name, factor = 1) => all[name].map((number) => (number * factor) / interval);
  const sum = (a, b) => a.map((number, at) => number + b[at]);
  const left = all.at.length ? new Date(all.at[0] * 1000).toLocaleTimeString([], { timeStyle: "short" }) : "";
  const draw = (name, ...lines) => plots[name].draw(lines, Math.max(all.at.length, 60), left);
  draw("allocations", all.allocations);
  draw(
    "traffic",
    sum(perSecond("bytes_from_clients", 8), perSecond("bytes_from_peers", 8)),
    sum(perSecond("bytes_to_clients", 8), perSecond("bytes_to_peers", 8)),
  );
  draw("packets", sum(perSecond("packets_from_clients"), perSecond("packets_from_peers")));
  draw("errors", all.errors, all.failed_logins);
  draw("cpu", perSecond("cpu_millis", 0.001));
  draw("ports", all.relay_ports);
}

function hour() {
  const make = (title, show, more = {}) => {
    const element = el("div", { className: "plot" });
    $("hour").append(element);
    return new Plot(element, { title, show, least: 1, ...more });
  };
  return {
    allocations: make("Allocations", count),
    traffic: make("Traffic", bits, { series: ["in", "out"], least: 1000 }),
    packets: make("Packets in", (number) => `${count(number)}/s`),
    errors: make("Every 5 s", count, { series: ["errors", "failed logins"] }),
    cpu: make("CPU", percent, { least: 0.1 }),
    ports: make("Relay ports used", count),
  };
}

// Sessions.

async function sessions() {
  listing?.abort(new Error("a newer list is asked for"));
  const own = new AbortController();
  listing = own;
  const form = $("sessions-form").elements;
  const query = new URLSearchParams({ limit: SHOWN, sort: form.namedItem("sort").value });
  const search = form.namedItem("search").value.trim();
  if (search) query.set("search", search);
  const answer = await request("GET", `/api/sessions?${query}`, own.signal).catch((error) => {
    if (!own.signal.aborted) throw error;
  });
  if (own.signal.aborted) return;
  const { total, matched, sessions: list } = answer;
  const shownOf = matched > list.length ? `, the first ${list.length} shown` : "";
  say($("sessions-count"), search ? `${count(matched)} of ${count(total)}${shownOf}` : `${count(total)}${shownOf}`);
  say($("sessions-empty"), search ? `No session has “${search}” in it.` : "No session now. A call or a test makes some.");
  $("sessions-empty").hidden = list.length > 0;
  $("sessions-table").hidden = list.length === 0;
  const focused = document.activeElement?.closest?.("#sessions button")?.dataset.key;
  $("sessions").replaceChildren(...list.map(row));
  // The list is made anew at every look; whoever was at a button stays there.
  if (focused) $("sessions").querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

function row(one) {
  const show = el("button", { type: "button", className: "link" }, one.user);
  show.dataset.key = `show ${one.id}`;
  show.addEventListener("click", () => detail(one.id));
  const end = el("button", { type: "button", className: "small danger" }, "Disconnect");
  end.setAttribute("aria-label", `Disconnect ${one.user}, ${one.client}`);
  end.dataset.key = `end ${one.id}`;
  end.addEventListener("click", () => detail(one.id));
  const cell = (content, number = false) => el("td", { className: number ? "number" : "" }, content);
  return el(
    "tr",
    {},
    cell(show),
    cell(one.client),
    cell(one.transport),
    cell(one.relays.join(", ")),
    cell(duration(one.seconds)),
    cell(bytes(one.up.bytes), true),
    cell(bytes(one.down.bytes), true),
    cell(end),
  );
}

async function detail(id) {
  try {
    const one = await request("GET", `/api/sessions/${id}`);
    session = id;
    const rows = [
      ["Id", one.id],
      ["Username", one.username],
      ["Client", `${one.client} over ${one.transport} to ${one.server}`],
      ["Relay", one.relays.join(", ")],
      ["Since", `${new Date(one.opened * 1000).toLocaleString()} (${duration(one.seconds)})`],
      ["Ends in", `${duration(one.expires_in)}, unless refreshed`],
      ["Up", `${count(one.up.packets)} packets, ${bytes(one.up.bytes)}`],
      ["Down", `${count(one.down.packets)} packets, ${bytes(one.down.bytes)}`],
      ["Permissions", one.permission_list.map(({ peer }) => peer).join(", ") || "none"],
      ["Channels", one.channel_list.map(({ number, peer }) => `${number} to ${peer}`).join(", ") || "none"],
    ];
    if (one.connection_list.length) rows.push(["TCP peers", one.connection_list.map(({ peer }) => peer).join(", ")]);
    const list = rows.flatMap(([name, text]) => [el("dt", {}, name), el("dd", {}, text)]);
    $("session-body").replaceChildren(el("dl", { className: "about" }, ...list));
    $("session-kick").hidden = false;
    say($("session-title"), `Session of ${one.user}`);
  } catch (error) {
    say($("session-title"), "Session");
    $("session-body").replaceChildren(el("p", {}, error.status === 404 ? "It has ended meanwhile." : error.message));
    $("session-kick").hidden = true;
  }
  $("session-dialog").showModal();
}

async function kick() {
  try {
    await request("DELETE", `/api/sessions/${session}`);
  } catch (error) {
    // Ended by itself: just as well.
    if (error.status !== 404) return $("session-body").append(el("p", { className: "wrong-key" }, error.message));
  }
  $("session-dialog").close();
  look();
}
