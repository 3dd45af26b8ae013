// A line over time, as SVG, with its last value and its ends in words beside it.

import { el } from "./dom.js";

const WIDTH = 600;
const HEIGHT = 160;

const svg = (tag, attributes) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
};

export class Plot {
  /**
   * In `element`: a plot with this title. `show` makes text of a value; `series` are the names of one line or two;
   * the scale begins at zero and ends at `least` or above.
   */
  constructor(element, { title, show, series = [], least = 0, ends = ["", "now"] }) {
    this.show = show;
    this.least = least;
    this.title = title;
    this.names = series;
    this.value = el("output", {}, "–");
    const keys = series.map((name, at) => el("span", { className: at ? "key second" : "key" }, name));
    this.top = el("span", {}, "");
    this.picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
    for (const y of [0.25, 0.5, 0.75]) {
      this.picture.append(svg("line", { class: "gridline", x1: 0, x2: WIDTH, y1: y * HEIGHT, y2: y * HEIGHT }));
    }
    this.area = svg("path", { class: "area" });
    this.lines = [svg("path", { class: "line" }), svg("path", { class: "line second" })];
    this.picture.append(this.area, ...this.lines);
    this.left = el("span", {}, ends[0]);
    element.replaceChildren(
      el("h3", {}, el("span", {}, title), ...keys, this.value),
      this.picture,
      el("div", { className: "ends" }, this.left, this.top, el("span", {}, ends[1])),
    );
  }

  /** Draws `lines`, each a list of values, the newest last; `places` is how many fit. */
  draw(lines, places, left) {
    const most = Math.max(this.least, ...lines.flat().filter(Number.isFinite)) * 1.08 || 1;
    const path = (values) => {
      const first = places - values.length;
      let pen = "M";
      return values
        .map((value, at) => {
          if (!Number.isFinite(value)) {
            pen = "M";
            return "";
          }
          const x = ((first + at) / Math.max(places - 1, 1)) * WIDTH;
          const y = HEIGHT - (value / most) * HEIGHT;
          const step = `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
          pen = "L";
          return step;
        })
        .join("");
    };
    this.lines.forEach((line, at) => line.setAttribute("d", lines[at] ? path(lines[at]) : ""));
    const whole = lines.length === 1 && lines[0].every(Number.isFinite) && lines[0].length > 1;
    const start = ((places - (lines[0]?.length ?? 0)) / Math.max(places - 1, 1)) * WIDTH;
    this.area.setAttribute("d", whole ? `${path(lines[0])}L${WIDTH} ${HEIGHT}L${start.toFixed(1)} ${HEIGHT}Z` : "");
    const last = lines.map((values) => values.findLast(Number.isFinite));
    const words = last.map((value) => (value === undefined ? "–" : this.show(value)));
    this.value.textContent = words.join(" / ");
    this.top.textContent = `scale to ${this.show(most)}`;
    if (left !== undefined) this.left.textContent = left;
    this.picture.setAttribute("aria-label", `${this.title}: now ${words.join(" and ")}, scale to ${this.show(most)}`);
  }
}
