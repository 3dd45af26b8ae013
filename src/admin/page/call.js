// The Call page: enters a room, shows both sides and what the connection does. How a call is made is in peer.js.

import { changes, invitation, request, requestInvited, visitor } from "./access.js";
import * as chat from "./chat.js";
import { $, el, milliseconds, say } from "./dom.js";
import { spoken } from "./ice.js";
import * as media from "./media.js";
import { Peer } from "./peer.js";
import { share } from "./share.js";
import { SignalingChannel } from "./signaling.js";

const form = $("call-form");
const field = (name) => form.elements.namedItem(name);
const LOOK_MS = 1000;

/** The call under way: `{signaling, peer, stream, looking}`. */
let call = null;

export function start(parameters) {
  field("room").value = parameters.get("room") || invitation()?.room || someName();
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    enter();
  });
  $("call-leave").addEventListener("click", () => leave("Left."));
  $("call-invite").addEventListener("click", invite);
  $("call-insecure").hidden = media.mayUseCamera();
  if (!media.mayUseCamera()) {
    field("media").value = "made";
    field("media").querySelector("[value=camera]").disabled = true;
  }
  chat.start();
  changes.addEventListener("change", tellAccess);
  tellAccess();
  for (const name of ["signaling", "peer"]) {
    $("source").addEventListener("toggle", () => showSource(name), { once: true });
  }
  addEventListener("pagehide", () => call?.peer?.close());
}

export function opened(parameters) {
  if (!call && parameters.has("room")) field("room").value = parameters.get("room");
  tellAccess();
}

const someName = () => `room-${Math.floor(Math.random() * 1e6).toString().padStart(6, "0")}`;

/** What lets this visitor into a room: an invitation, which a holder of a key makes for it. */
async function ticket(room) {
  if (visitor.access === "key") {
    return (await request("POST", `/api/page/invitation?room=${encodeURIComponent(room)}`)).invitation;
  }
  const invited = invitation();
  if (invited?.room === room) return invited.invitation;
  throw new Error("a room takes a key (above), or an invitation by one who has one");
}

function tellAccess() {
  const invited = invitation()?.room === field("room").value;
  const may = visitor.access === "key" || invited;
  $("call-invite").hidden = visitor.access !== "key";
  $("call-login").hidden = visitor.mint;
  if (!visitor.mint && may) $("call-options").open = true;
  if (!call) say($("call-status"), may ? "" : "A room takes a key (above), or an invitation by one who has one.");
}

async function enter() {
  const room = field("room").value.trim();
  enabled(false);
  try {
    const key = await ticket(room);
    const configuration = await configurationFor(room, key);
    const stream = await openMedia();
    call = { signaling: null, peer: null, stream, looking: setInterval(look, LOOK_MS) };
    showLocal(stream);
    const signaling = new SignalingChannel(room, { key, over: field("channel").value });
    call.signaling = signaling;
    watchSignaling(signaling);
    call.peer = new Peer(signaling, configuration, stream);
    watchPeer(call.peer);
    $("call-leave").hidden = false;
    $("call-enter").hidden = true;
    $("call-leave").focus();
  } catch (error) {
    leave(`${error.message}`);
  }
}

async function configurationFor(room, key) {
  const iceTransportPolicy = field("policy").value;
  const { iceServers } = await requestInvited("POST", `/api/page/ice?room=${encodeURIComponent(room)}`, key);
  const login = visitor.mint ? {} : { username: field("username").value, credential: field("credential").value };
  if (login.username === "") throw new Error("a username and its password are needed: see the options");
  return { iceServers: iceServers.map((one) => ({ ...one, ...login, urls: spoken(one.urls) })), iceTransportPolicy };
}

/** No camera is no reason not to call. */
async function openMedia() {
  try {
    return await media.open(field("media").value);
  } catch (error) {
    chat.note(`${error.message}: the page's own picture is sent instead.`);
    return media.open("made");
  }
}

function watchSignaling(signaling) {
  const state = (text) => say($("fact-signaling"), text);
  state("entering…");
  signaling.addEventListener("open", () => state("in the room"));
  signaling.addEventListener("message", ({ peers, left }) => {
    if (peers === 1) {
      state("in the room, alone");
      say($("call-status"), "Waiting for the other one. Invite somebody, or enter the same room elsewhere.");
    }
    if (peers === 2) state("two in the room");
    if (left) chat.note("The other one has left the room.");
  });
  signaling.addEventListener("close", () => {
    // That of a call before may end late.
    if (call?.signaling !== signaling) return;
    // A connected pair needs no signaling.
    if (call.peer?.connection?.connectionState === "connected") return state("closed; the call goes on");
    leave($("call-status").dataset.reason || "The room is closed.");
  });
}

function watchPeer(peer) {
  delete $("call-status").dataset.reason;
  peer.addEventListener("connection", ({ connection }) => {
    say($("call-status"), "Somebody is there; connecting…");
    const show = () => {
      say($("fact-gathering"), connection.iceGatheringState);
      say($("fact-connection"), connection.connectionState);
      if (connection.connectionState === "connected") say($("call-status"), "Connected.");
      if (connection.connectionState === "failed") say($("call-status"), "No way was found between the two.");
      look();
    };
    for (const name of ["icegatheringstatechange", "connectionstatechange"]) connection.addEventListener(name, show);
    show();
  });
  peer.addEventListener("stream", ({ stream }) => {
    // Its second track is of the same stream.
    if ($("call-remote").srcObject === stream) return;
    $("call-remote").srcObject = stream;
    say($("fact-received"), stream.id);
  });
  peer.addEventListener("channel", ({ channel }) => chat.attach(peer, channel));
  peer.addEventListener("gone", () => {
    $("call-remote").srcObject = null;
    for (const id of ["fact-received", "fact-way", "fact-rtt"]) say($(id), "–");
    say($("fact-connection"), "closed");
    if (call) say($("call-status"), "The other one has gone. Waiting for the next.");
  });
  peer.addEventListener("problem", ({ reason }) => {
    $("call-status").dataset.reason = reason;
    say($("call-status"), reason);
    chat.note(reason);
  });
}

function showLocal(stream) {
  $("call-local").srcObject = stream;
  say($("fact-sent"), stream?.id ?? "none");
}

/** Which way the packets take, and how long they need. */
async function look() {
  const connection = call?.peer?.connection;
  if (connection?.connectionState !== "connected") return;
  const reports = await connection.getStats();
  const transport = [...reports.values()].find((report) => report.type === "transport");
  const pair = reports.get(transport?.selectedCandidatePairId);
  if (!pair) return;
  const [local, remote] = [reports.get(pair.localCandidateId), reports.get(pair.remoteCandidateId)];
  const over = local?.relayProtocol ? ` over ${local.relayProtocol}` : "";
  say($("fact-way"), `${local?.candidateType} to ${remote?.candidateType}${over}`);
  if (pair.currentRoundTripTime !== undefined) say($("fact-rtt"), milliseconds(pair.currentRoundTripTime * 1000));
}

function leave(reason) {
  const ended = call;
  call = null;
  ended?.peer?.close();
  clearInterval(ended?.looking);
  media.stop(ended?.stream);
  $("call-local").srcObject = null;
  $("call-remote").srcObject = null;
  for (const id of ["fact-sent", "fact-received", "fact-way", "fact-rtt"]) say($(id), "–");
  say($("fact-signaling"), "not entered");
  say($("call-status"), reason);
  $("call-leave").hidden = true;
  $("call-enter").hidden = false;
  enabled(true);
}

function enabled(on) {
  for (const one of form.querySelectorAll("input, select, #call-enter")) one.disabled = !on;
}

async function invite() {
  const room = field("room").value.trim();
  try {
    const invited = await ticket(room);
    share({
      title: `Invite to ${room}`,
      text: "Whoever opens this link may enter this room for twelve hours, and nothing else.",
      fragment: `/call?${new URLSearchParams({ room, invitation: invited })}`,
    });
  } catch (error) {
    say($("call-status"), error.message);
  }
}

async function showSource(name) {
  const response = await fetch(`/page/${name}.js`);
  $(`source-${name}`).replaceChildren(el("span", {}, await response.text()));
}
