// The dialog that gives a link away: as text, and as a QR code for a phone.

import { $, say } from "./dom.js";
import { encode } from "./uqr.js";

/** The address by which others reach this page, when it is not the one shown here. */
const BASE = "floe-base";
const QUIET = 4;

let fragment = "";

/** `fragment` goes behind the `#`: it is not sent to any server. */
export function share({ title, text, fragment: shared }) {
  fragment = shared;
  say($("share-title"), title);
  say($("share-text"), text);
  $("share-base").value = localStorage.getItem(BASE) ?? location.origin;
  update();
  $("share-dialog").showModal();
}

export function start() {
  $("share-base").addEventListener("input", () => {
    localStorage.setItem(BASE, $("share-base").value);
    update();
  });
  $("share-link").addEventListener("focus", () => $("share-link").select());
}

function update() {
  const base = $("share-base").value.trim().replace(/\/+$/, "") || location.origin;
  const link = `${base}/#${fragment}`;
  const local = /^https?:\/\/(localhost|127\.[\d.]+|\[::1\])(:\d+)?$/i.test(base);
  $("share-local").hidden = !local;
  $("share-link").value = link;
  $("share-qr").replaceChildren(code(link));
}

/** The link as a QR code. */
function code(link) {
  const { data, size } = encode(link, { border: QUIET, ecc: "L" });
  const space = "http://www.w3.org/2000/svg";
  const picture = document.createElementNS(space, "svg");
  picture.setAttribute("viewBox", `0 0 ${size} ${size}`);
  picture.setAttribute("role", "img");
  picture.setAttribute("aria-label", "QR code of the link below");
  picture.setAttribute("shape-rendering", "crispEdges");
  const path = document.createElementNS(space, "path");
  const squares = data.flatMap((row, y) => row.map((dark, x) => (dark ? `M${x} ${y}h1v1h-1z` : "")));
  path.setAttribute("d", squares.join(""));
  picture.append(path);
  return picture;
}
