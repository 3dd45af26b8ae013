// The frame of the page: which view is shown, the key, the colours.

import { changes, hasKey, refresh, setInvitation, setKey, visitor } from "./access.js";
import * as call from "./call.js";
import * as dashboard from "./dashboard.js";
import { $, confirmOn, copy, say } from "./dom.js";
import * as share from "./share.js";
import * as test from "./test.js";

const VIEWS = { test, call, dashboard };
const THEMES = [
  ["", "◐", "Colours: as the system has them"],
  ["light", "☀", "Colours: light"],
  ["dark", "☾", "Colours: dark"],
];
const THEME = "floe-theme";
let shown = "";

/** `#/view?name=value`, or `#token=…` as the server prints it. What is secret in it is taken out at once. */
function takeFragment() {
  const text = location.hash.slice(1);
  const [path, query = ""] = text.startsWith("/") ? text.slice(1).split("?", 2) : ["", text];
  const parameters = new URLSearchParams(query);
  const before = parameters.has("token") ? setKey(parameters.get("token")) : "";
  if (parameters.has("invitation")) setInvitation(parameters.get("room") ?? "", parameters.get("invitation"));
  const view = Object.hasOwn(VIEWS, path) ? path : "test";
  const clean = new URLSearchParams(parameters.has("room") ? { room: parameters.get("room") } : {});
  history.replaceState(null, "", `#/${view}${clean.size ? `?${clean}` : ""}`);
  return { view, parameters, before };
}

/** Learns what the key opens. One that opens nothing makes way for the one before it. */
async function settle(before) {
  if (!(await tryRefresh()) || !hasKey() || visitor.access === "key") return;
  setKey(before);
  if (hasKey()) await settle("");
}

function show(view, focus) {
  if (view !== shown) {
    VIEWS[shown]?.hide?.();
    for (const name of Object.keys(VIEWS)) $(`view-${name}`).hidden = name !== view;
    for (const link of document.querySelectorAll("nav a")) {
      if (link.dataset.view === view) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    shown = view;
    VIEWS[view].show?.();
  }
  const section = $(`view-${view}`);
  document.title = `floe: ${section.dataset.title}`;
  // Only after a choice: a page that has just come begins at its beginning.
  if (focus) section.querySelector("h1").focus();
}

function theme(at) {
  const [name, sign, label] = THEMES[at];
  if (name) document.documentElement.dataset.theme = name;
  else delete document.documentElement.dataset.theme;
  say($("theme-button"), sign);
  $("theme-button").setAttribute("aria-label", label);
  $("theme-button").title = label;
}

function themes() {
  let at = Math.max(0, THEMES.findIndex(([name]) => name === (localStorage.getItem(THEME) ?? "")));
  theme(at);
  $("theme-button").addEventListener("click", () => {
    at = (at + 1) % THEMES.length;
    localStorage.setItem(THEME, THEMES[at][0]);
    theme(at);
  });
}

function keys() {
  const dialog = $("key-dialog");
  const open = () => {
    $("key-input").value = "";
    $("key-error").hidden = true;
    $("key-forget").hidden = !hasKey();
    dialog.showModal();
    $("key-input").focus();
  };
  $("access-button").addEventListener("click", open);
  $("dashboard-key").addEventListener("click", open);
  $("key-forget").addEventListener("click", async () => {
    setKey("");
    await tryRefresh();
    dialog.close();
  });
  $("key-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    setKey($("key-input").value.trim());
    const reached = await tryRefresh();
    if (reached && visitor.access === "key") return dialog.close();
    setKey("");
    say($("key-error"), reached ? "The server does not know this key." : "The server does not answer.");
    $("key-error").hidden = false;
    $("key-input").select();
  });
  changes.addEventListener("change", () => {
    const text = { key: "Key: known", loopback: "Key…", none: "Key…" }[visitor.access];
    say($("access-button"), text);
    say($("version"), `floe ${visitor.version}`);
    const may = {
      key: "The key of this tab is known to the server.",
      loopback: "On this machine the test takes no key; rooms and the dashboard do.",
      none: "Without a key.",
    };
    const less = visitor.access === "key" && !visitor.administrator ? " It is for tests and rooms, not for the dashboard." : "";
    say($("access-text"), `${may[visitor.access]}${less}`);
  });
}

/** False when the server does not answer, or has heard too many wrong keys. */
async function tryRefresh() {
  try {
    await refresh();
    return true;
  } catch (error) {
    say($("access-text"), `${error.message}`);
    return false;
  }
}

function dialogs() {
  for (const dialog of document.querySelectorAll("dialog")) {
    for (const button of dialog.querySelectorAll("[data-close]")) {
      button.addEventListener("click", () => dialog.close());
    }
  }
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", async () => {
      const source = $(button.dataset.copy);
      await copy(source.value ?? source.textContent);
      confirmOn(button, "Copied");
    });
  }
  $("skip").addEventListener("click", (event) => {
    event.preventDefault();
    $("main").focus();
  });
}

const { view, parameters, before } = takeFragment();
themes();
keys();
dialogs();
share.start();
await settle(before);
for (const one of Object.values(VIEWS)) one.start(parameters);
show(view, false);
window.addEventListener("hashchange", () => {
  const next = takeFragment();
  show(next.view, true);
  if (next.parameters.has("token") || (hasKey() && visitor.access !== "key")) settle(next.before);
  VIEWS[next.view].opened?.(next.parameters);
});
document.documentElement.dataset.ready = "";
