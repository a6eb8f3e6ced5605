// Samples of the last minutes, kept by the module; the page reads what is new.

import { get } from "./api.js";
import { SPAN } from "./chart.js";
import { parseTime } from "./format.js";

let samples = new Map();
let after = "";
let interval = 5_000;

/** Forgets the samples of a module that has been restarted. */
export function forgetHistory() {
  samples = new Map();
  after = "";
}

export async function updateHistory() {
  const answer = await get("history", after ? { after } : {});
  interval = answer.interval_seconds * 1000;
  for (const { name, samples: fresh } of answer.secondaries) {
    const known = samples.get(name) ?? [];
    const added = fresh.map((sample) => ({ ...sample, at: parseTime(sample.at) }));
    const all = [...known, ...added];
    const oldest = (all.at(-1)?.at ?? 0) - SPAN - interval;
    samples.set(name, all.filter((sample) => sample.at > oldest));
    after = fresh.at(-1)?.at ?? after;
  }
}

/** The samples of a secondary, the oldest first, and the time between two. */
export const historyOf = (name) => ({ samples: samples.get(name) ?? [], interval });
