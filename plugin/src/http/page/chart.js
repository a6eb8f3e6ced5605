// Small charts of the last minutes.

import { drawing, element, setAttribute, setText } from "./dom.js";
import { clock } from "./format.js";

const WIDTH = 300;
const HEIGHT = 48;
/** Room for the stroke at the top and at the bottom. */
const MARGIN = 2;
/** How long the x axis is, in milliseconds. */
export const SPAN = 15 * 60_000;

/**
 * A chart of points `{at, value}` with a caption. A value may be null: nothing
 * was measured. Returns `{node, update(points, now, interval, current)}`.
 */
export function createChart(label, format) {
  const area = drawing("path", { class: "area" });
  const line = drawing("path", { class: "line" });
  const cursor = drawing("line", { class: "cursor", y1: 0, y2: HEIGHT, visibility: "hidden" });
  const picture = drawing(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" },
    area,
    line,
    cursor,
  );
  const value = element("strong");
  const most = element("span", { class: "most" });
  const left = element("span");
  const node = element(
    "figure",
    { class: "chart" },
    element("figcaption", {}, element("span", { class: "muted" }, label), value),
    picture,
    element("div", { class: "axis muted", "aria-hidden": "true" }, left, most, element("span", {}, "now")),
  );
  let shown = { points: [], now: 0, current: null };
  let pointed = null;

  const xOf = (at) => ((at - (shown.now - SPAN)) / SPAN) * WIDTH;
  const caption = () => {
    const at = pointed === null ? null : nearest(shown.points, shown.now - SPAN + pointed * SPAN);
    const seen = at ? at.value : shown.current;
    setText(value, seen === null ? "–" : format(seen));
    setText(left, at ? clock(at.at) : "−15 min");
    setAttribute(cursor, "visibility", at ? "visible" : "hidden");
    if (at) for (const side of ["x1", "x2"]) setAttribute(cursor, side, xOf(at.at).toFixed(1));
  };
  picture.addEventListener("pointermove", (event) => {
    const { left: from, width } = picture.getBoundingClientRect();
    pointed = (event.clientX - from) / width;
    caption();
  });
  picture.addEventListener("pointerleave", () => {
    pointed = null;
    caption();
  });

  const update = (points, now, interval, current) => {
    const visible = points.filter(({ at, value: y }) => y !== null && at > now - SPAN && at <= now + interval);
    shown = { points: visible, now, current };
    const highest = Math.max(0, ...visible.map((point) => point.value));
    const yOf = (y) => HEIGHT - MARGIN - (highest > 0 ? y / highest : 0) * (HEIGHT - 2 * MARGIN);
    const place = (point) => `${xOf(point.at).toFixed(1)} ${yOf(point.value).toFixed(1)}`;
    const runs = split(visible, interval * 3);
    setAttribute(line, "d", runs.map((run) => `M${run.map(place).join("L")}`).join(""));
    const under = (run) => {
      const ends = [run.at(-1), run[0]].map((point) => `${xOf(point.at).toFixed(1)} ${HEIGHT}`);
      return `M${run.map(place).join("L")}L${ends.join("L")}Z`;
    };
    setAttribute(area, "d", runs.map(under).join(""));
    setText(most, visible.length > 0 ? `max ${format(highest)}` : "no data yet");
    const said = current === null ? "unknown" : format(current);
    setAttribute(picture, "aria-label", `${label} over the last 15 minutes: now ${said}, at most ${format(highest)}`);
    caption();
  };
  return { node, update };
}

/** The runs of points between gaps in time; one point alone is drawn as a dash. */
function split(points, gap) {
  const runs = [];
  for (const point of points) {
    const run = runs.at(-1);
    if (run && point.at - run.at(-1).at <= gap) run.push(point);
    else runs.push([point]);
  }
  return runs.map((run) => (run.length > 1 ? run : [run[0], { ...run[0], at: run[0].at + gap / 3 }]));
}

function nearest(points, at) {
  let best = null;
  for (const point of points) {
    if (best === null || Math.abs(point.at - at) < Math.abs(best.at - at)) best = point;
  }
  return best;
}
