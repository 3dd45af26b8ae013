// Small helpers around the document: elements, numbers for people, copying.

export const $ = (id) => document.getElementById(id);

/** An element with properties and children; text is text, never markup. */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element && name !== "list") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** Puts text in place when it has changed, so that screen readers hear changes only. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function badge(element, state, text) {
  element.dataset.state = state;
  say(element, text);
}

function scaled(number, units, step) {
  let at = 0;
  while (number >= step && at < units.length - 1) {
    number /= step;
    at += 1;
  }
  return `${number >= 100 || at === 0 ? Math.round(number) : number.toPrecision(3).replace(/\.?0+$/, "")} ${units[at]}`;
}

export const bytes = (number) => scaled(number, ["B", "kB", "MB", "GB", "TB", "PB"], 1000);
export const bits = (number) => scaled(number, ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"], 1000);
export const count = (number) => (number < 10_000 ? `${Math.round(number)}` : scaled(number, ["", "k", "M", "G"], 1000).trim());
export const milliseconds = (ms) => (ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`);
export const percent = (share) => `${share > 0 && share < 0.1 ? (share * 100).toFixed(1) : Math.round(share * 100)} %`;

export function duration(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 2 * 86_400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  if (seconds < 2 * 365 * 86_400) return `${Math.floor(seconds / 86_400)} days`;
  return `${Math.floor(seconds / (365 * 86_400))} years`;
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** The middle one, or the one at `share`; NaN of none. */
export function quantile(numbers, share = 0.5) {
  if (numbers.length === 0) return NaN;
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

/** Copies text; without a secure context there is no clipboard, but the old way still works. */
export async function copy(text) {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return;
    } catch {
      // Not allowed here: the old way.
    }
  }
  const area = el("textarea", { value: text, className: "unseen" });
  (document.querySelector("dialog[open]") ?? document.body).append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

/** Says on a button that it was done, for a moment. */
export async function confirmOn(button, text) {
  const before = button.textContent;
  button.textContent = text;
  await sleep(1500);
  if (button.textContent === text) button.textContent = before;
}
