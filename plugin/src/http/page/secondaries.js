// Each secondary: its state, its charts, its resyncs.

import { createChart } from "./chart.js";
import { ask, announce, command } from "./dialog.js";
import { byId, element, setAttribute, setText, showList, showText } from "./dom.js";
import { age, bytes, clock, count, duration, number, parseTime } from "./format.js";
import { timeLeft } from "./resyncs.js";

/** How a state looks: a symbol and a tone beside its name. */
const STATES = {
  connecting: ["…", "busy"],
  reconciling: ["…", "busy"],
  backfilling: ["↻", "busy"],
  streaming: ["✓", "good"],
  paused: ["‖", "warn"],
  unreachable: ["!", "bad"],
  rejected: ["✕", "bad"],
  stopped: ["■", "bad"],
};

const CHARTS = [
  { label: "Backlog", field: "backlog", format: (value) => `${number(value)} ${value === 1 ? "op" : "ops"}` },
  { label: "Lag", field: "lag_seconds", format: duration },
  { label: "Throughput", field: "rate", format: (value) => `${number(value)} ops/s` },
  { label: "Apply latency", field: "apply_ms", format: (value) => duration(value / 1000) },
];

function createSecondary(first) {
  const { name } = first.secondary;
  const state = element("span", { class: "badge" });
  const since = element("span", { class: "muted since" });
  const place = element("p", { class: "muted place" });
  const facts = element("dl", { class: "facts" });
  const failure = element("p", { class: "muted failure" });
  const charts = CHARTS.map((chart) => ({ ...chart, ...createChart(chart.label, chart.format) }));
  const resync = element("button", { type: "button", "aria-label": `Resync ${name}` }, "Resync…");
  const heading = element("h3", { tabindex: -1 }, name);
  const rows = element("tbody");
  const resyncs = element(
    "div",
    { class: "resyncs" },
    element("table", { class: "stack" },
      element("caption", {}, "Resyncs"),
      element("thead", {}, element("tr", {}, ...["Table", "Progress", "Rows", "Time left", "Reason"].map(
        (title) => element("th", { scope: "col" }, title)))),
      rows),
  );
  const node = element(
    "article",
    { class: "card", "aria-label": `secondary ${name}` },
    element("header", { class: "row" }, heading, state, since, resync),
    place,
    element("div", { class: "charts" }, ...charts.map((chart) => chart.node)),
    facts,
    failure,
    resyncs,
  );
  resync.addEventListener("click", () => requestResync(resync, name));

  let known = null;
  const update = ({ secondary, samples, now, interval, elapsed }) => {
    const [symbol, tone] = STATES[secondary.state] ?? ["?", "busy"];
    setText(state, `${symbol} ${secondary.state}`);
    state.className = `badge ${tone}`;
    setText(since, `for ${age(now - parseTime(secondary.since))}, since ${clock(elapsed(secondary.since))}`);
    if (known !== null && known !== secondary.state) {
      announce(`${name} is ${secondary.state}; it was ${known}`);
    }
    known = secondary.state;
    setText(place, `${secondary.address} · ${secondary.namespace}/${secondary.database} · priority ${secondary.priority}`);
    const current = {
      backlog: secondary.backlog.operations,
      lag_seconds: secondary.backlog.oldest_age_seconds,
      rate: secondary.replicated.rate,
      // Measured for each batch: without one since the last sample there is none.
      apply_ms: samples.at(-1)?.apply_ms ?? null,
    };
    for (const { field, update: draw } of charts) {
      const points = samples.map((sample) => ({ at: sample.at, value: sample[field] }));
      draw([...points, { at: now, value: current[field] }], now, interval, current[field]);
    }
    showFacts(facts, secondary);
    const error = secondary.last_error;
    showText(failure, error && `Latest connection error, ${clock(elapsed(error.at))}: ${error.message}`);
    resyncs.hidden = secondary.resync.length === 0;
    const tables = secondary.resync.map((table) => ({ ...table, secondary: name, now }));
    showList(rows, tables, (table) => table.table, createResync, heading);
  };
  return { node, update };
}

function showFacts(facts, secondary) {
  const { replicated, backlog } = secondary;
  const shown = [
    ["Replicated", `${count(replicated.applied, "operation")}, ${count(replicated.batches, "batch", "batches")}`],
    ["Backlog", bytes(backlog.bytes)],
    ["Waiting for a retry", number(secondary.retries), secondary.retries > 0],
    ["Dead letters", number(secondary.dead_letters), secondary.dead_letters > 0],
    ["Rejections", number(replicated.rejected)],
    ["Sessions", number(secondary.connects)],
    ["Failed attempts", number(secondary.attempts), secondary.attempts > 0],
    ["Health check", secondary.latency_ms === null ? "–" : duration(secondary.latency_ms / 1000)],
  ];
  showList(facts, shown.map(([title, value, stands]) => ({ title, value, stands })), (fact) => fact.title, createFact);
}

export function createFact({ title }) {
  const value = element("dd");
  const node = element("div", {}, element("dt", {}, title), value);
  const update = (fact) => {
    setText(value, fact.value);
    node.className = fact.stands ? "stands-out" : "";
  };
  return { node, update };
}

function createResync() {
  const name = element("th", { scope: "row" });
  const progress = element("progress", { max: 1 });
  const share = element("span", { class: "muted" });
  const scanned = element("td", { "data-title": "Rows" });
  const left = element("td", { "data-title": "Time left" });
  const reason = element("td", { "data-title": "Reason" });
  const node = element("tr", {}, name, element("td", { "data-title": "Progress" }, progress, " ", share), scanned, left, reason);
  const update = (table) => {
    setText(name, table.table === "*" ? "every table" : table.table);
    setAttribute(progress, "aria-label", `resync of ${table.table}`);
    setText(reason, table.reason);
    if (table.total === null) {
      setAttribute(progress, "value", 0);
      setText(share, "waiting");
      setText(scanned, "–");
      setText(left, "–");
      return;
    }
    const part = table.total > 0 ? Math.min(1, table.scanned / table.total) : 1;
    setAttribute(progress, "value", part.toFixed(4));
    setText(share, `${Math.floor(part * 100)} %`);
    setText(scanned, `${number(table.scanned)} of ${number(table.total)}`);
    const seconds = timeLeft(table);
    setText(left, seconds === null ? "estimating" : seconds === 0 ? "finishing" : `about ${duration(seconds)}`);
  };
  return { node, update };
}

async function requestResync(button, name) {
  const tables = await ask({
    title: `Resync ${name}?`,
    text: "The primary's rows are replicated again in the background. Nothing is deleted. Name tables to limit it, separated by commas.",
    label: "Tables (empty for all)",
    confirm: "Resync",
  });
  if (tables === null) return;
  const body = { secondary: name, tables: tables.split(/[\s,]+/).filter(Boolean) };
  await command(button, "resync", body, () => `The resync of ${name} is requested.`);
}

export function showSecondaries(all) {
  showList(byId("secondaries"), all, ({ secondary }) => secondary.name, createSecondary, byId("secondaries-heading"));
}
