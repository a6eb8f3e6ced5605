// How long a resync still takes, from the pace that this page has seen.

/** The pace is that of the last minute, in milliseconds. */
const WINDOW = 60_000;
/** Less than this says nothing about the pace. */
const LEAST = 4_000;

const seen = new Map();

/**
 * Seconds until a table is scanned; null while that is unknown. To be called
 * with each answer.
 */
export function timeLeft({ secondary, table, started, scanned, total, now }) {
  const key = JSON.stringify([secondary, table]);
  let known = seen.get(key);
  if (!known || known.started !== started) {
    known = { started, points: [] };
    seen.set(key, known);
  }
  known.points.push({ now, scanned });
  // The first point is the latest one that is older than the window.
  while (known.points.length > 2 && now - known.points[1].now >= WINDOW) known.points.shift();
  if (scanned >= total) return 0;
  const [first] = known.points;
  const rows = scanned - first.scanned;
  if (now - first.now < LEAST || rows <= 0) return null;
  return ((total - scanned) * (now - first.now)) / rows / 1000;
}
