// Recent events, the latest first.

import { get } from "./api.js";
import { byId, element, setAttribute, setText, showList, showText } from "./dom.js";
import { clock } from "./format.js";

/** As many as the module keeps. */
const LIMIT = 200;
const LEVELS = { info: ["·", "info"], warn: ["▲", "warning"], error: ["✕", "error"] };
/** Fields that stand elsewhere in the line. */
const SHOWN = new Set(["secondary", "from", "to"]);

let events = [];
let after = 0;
let elapsed = Date.parse;

function createEvent() {
  const time = element("time");
  const symbol = element("span", { class: "symbol", "aria-hidden": "true" });
  const level = element("span", { class: "for-readers" });
  const about = element("strong");
  const change = element("span", { class: "change" });
  const message = element("span");
  const repeated = element("span", { class: "muted" });
  const details = element("span", { class: "muted details" });
  const node = element("li", {}, time, symbol, level, element("span", { class: "what" }, about, change, message, repeated, details));
  const update = (event) => {
    const { fields } = event;
    const [sign, word] = LEVELS[event.level] ?? ["?", event.level];
    node.className = `level-${event.level}`;
    setText(time, clock(elapsed(event.at)));
    setAttribute(time, "datetime", event.at);
    setText(symbol, sign);
    setText(level, `${word}: `);
    setText(about, fields.secondary ? `${fields.secondary}: ` : "");
    setText(change, fields.to ? `${fields.from} → ${fields.to}: ` : "");
    setText(message, event.message);
    setText(repeated, event.count > 1 ? ` (${event.count} times)` : "");
    const rest = Object.entries(fields).filter(([name]) => !SHOWN.has(name));
    setText(details, rest.map(([name, value]) => `${name}: ${typeof value === "string" ? value : JSON.stringify(value)}`).join(" · "));
  };
  return { node, update };
}

function show() {
  const onlyProblems = byId("events-level").value === "warn";
  const shown = events.filter((event) => !onlyProblems || event.level !== "info");
  showText(byId("no-events"), shown.length > 0 ? null : "None yet.");
  showList(byId("events"), shown, (event) => event.id, createEvent, byId("events-heading"));
}

/** Forgets the events of a module that has been restarted. */
export function forgetEvents() {
  events = [];
  after = 0;
}

export async function updateEvents(toLocal) {
  elapsed = toLocal;
  const answer = await get("events", { after });
  // The latest one comes again while it repeats.
  const fresh = new Map(answer.events.map((event) => [event.id, event]));
  const kept = events.filter((event) => !fresh.has(event.id));
  events = [...[...fresh.values()].reverse(), ...kept].slice(0, LIMIT);
  after = answer.next;
  show();
}

export function startEvents() {
  byId("events-level").addEventListener("change", show);
}
