// Numbers, sizes and times for people. English throughout, like the page.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const precise = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

/** 12,345 or 3.4 */
export function number(value) {
  if (!Number.isFinite(value)) return "–";
  return Math.abs(value) < 100 ? precise.format(value) : whole.format(value);
}

/** "1 row", "12,345 rows" */
export function count(value, one, many = `${one}s`) {
  return `${whole.format(value)} ${value === 1 ? one : many}`;
}

export function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  let size = value;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${number(size)} ${units[unit]}`;
}

/** A length of time, given in seconds, in its two largest units. */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 0.0005) return "0 s";
  if (seconds < 1) return `${number(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds < 10 ? precise.format(seconds) : whole.format(seconds)} s`;
  const total = Math.round(seconds);
  const parts = [
    [Math.floor(total / 86_400), "d"],
    [Math.floor(total / 3600) % 24, "h"],
    [Math.floor(total / 60) % 60, "min"],
    [total % 60, "s"],
  ];
  const first = parts.findIndex(([value]) => value > 0);
  return parts
    .slice(first, first + 2)
    .filter(([value]) => value > 0)
    .map(([value, unit]) => `${value} ${unit}`)
    .join(" ");
}

/** How long ago, in whole seconds, so that it does not flicker. */
export function age(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  return seconds === 0 ? "0 s" : duration(seconds);
}

const time = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });

/** The local time of day, with the date unless that is today's. */
export function clock(milliseconds) {
  const at = new Date(milliseconds);
  if (Number.isNaN(at.getTime())) return "–";
  const isToday = at.toDateString() === new Date().toDateString();
  return isToday ? time.format(at) : `${day.format(at)}, ${time.format(at)}`;
}

/** Milliseconds since 1970 of a time in an answer. */
export const parseTime = (text) => Date.parse(text);
