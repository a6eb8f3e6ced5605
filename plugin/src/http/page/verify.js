// Comparing the secondaries with the primary: started, watched, and its result.

import { get } from "./api.js";
import { announce, command } from "./dialog.js";
import { byId, element, setAttribute, setText, showList, showText } from "./dom.js";
import { clock, count, duration, number, parseTime } from "./format.js";
import { timeLeft } from "./resyncs.js";

let known = { id: null, state: null };
/** The comparison of which the operator has asked for the values, with them. */
let withValues = null;

function createTable() {
  const titles = ["Secondary", "Table", "Rows", "Missing", "Different", "Only on secondary", "In flight"];
  const cells = titles.map((title, index) => element("td", { "data-title": title, class: index > 1 ? "number" : null }));
  const node = element("tr", {}, ...cells);
  const update = (table) => {
    const { secondary, table: name, rows, missing, different, only_on_secondary, in_flight } = table;
    [secondary, name, ...[rows, missing, different, only_on_secondary, in_flight].map(number)].forEach(
      (value, index) => setText(cells[index], value));
    node.className = missing + different > 0 ? "differs" : "";
  };
  return { node, update };
}

/** The outcome of a job that has ended, in words. */
function outcome(job) {
  const took = duration((parseTime(job.finished_at) - parseTime(job.started_at)) / 1000);
  if (job.state === "failed") return `✕ The comparison failed after ${took}: ${job.error}.`;
  const { report } = job;
  const skipped = Object.entries(report.skipped).map(([name, reason]) => `${name} was not compared: ${reason}.`);
  const sum = (value) => report.tables.reduce((all, table) => all + value(table), 0);
  const differing = sum((table) => table.missing + table.different);
  const inFlight = sum((table) => table.in_flight);
  const onTheWay = inFlight > 0
    ? ` ${count(inFlight, "row")} ${inFlight === 1 ? "is" : "are"} on the way to a secondary; compare again once nothing waits.` : "";
  const cancelled = job.state === "cancelled" ? ` Cancelled after ${took}; the rest was not compared.` : "";
  const repair = job.repair ? "replicated again" : differing === 1 ? "left as it is" : "left as they are";
  const found = differing > 0
    ? `▲ ${count(differing, "row")} ${differing === 1 ? "differs" : "differ"}, ${repair}.`
    : skipped.length > 0 || cancelled || inFlight > 0 ? "No difference in what was compared." : "✓ Equal: every secondary holds every row of the primary.";
  const schema = Object.entries(report.schema_problems).map(([name, problems]) =>
    `▲ The schema of ${name} changes rows, which differ again after every repair: ${problems.join("; ")}.`);
  return [found + onTheWay + cancelled, ...skipped, ...schema].join(" ");
}

function createExample() {
  const secondary = element("td", { "data-title": "Secondary" });
  const key = element("td", { "data-title": "Row", class: "code" });
  const what = element("div");
  const columns = element("ul");
  const node = element("tr", {}, secondary, key, element("td", { "data-title": "What differs" }, element("div", {}, what, columns)));
  const update = ({ secondary: name, example }) => {
    setText(secondary, name);
    setText(key, example.key);
    const isBare = example.columns.length === 0;
    setText(what, isBare ? example.difference : "");
    showList(columns, example.columns, ({ column }) => column, createColumn);
  };
  return { node, update };
}

function createColumn() {
  const name = element("span", { class: "code" });
  const primary = element("dd", { class: "code" });
  const secondary = element("dd", { class: "code" });
  const values = element("dl", { class: "values" },
    element("div", {}, element("dt", {}, "primary"), primary),
    element("div", {}, element("dt", {}, "secondary"), secondary));
  const node = element("li", {}, name, values);
  const update = (column) => {
    setText(name, column.column);
    values.hidden = !column.values;
    if (!column.values) return;
    setText(primary, column.values.primary ?? "none");
    setText(secondary, column.values.secondary ?? "none");
  };
  return { node, update };
}

/** Examples of rows that differ, with their values if the operator asked for them. */
function showExamples(job) {
  const isAsked = withValues !== null && withValues.id === job?.id;
  const tables = (isAsked ? withValues : job)?.report?.tables ?? [];
  const rows = tables.flatMap(({ secondary, examples }) => examples.map((example) => ({ secondary, example })));
  const differing = tables.reduce((all, table) => all + table.missing + table.different, 0);
  byId("verify-examples").hidden = rows.length === 0;
  byId("verify-values").hidden = isAsked || !rows.some(({ example }) => example.columns.length > 0);
  showText(byId("verify-more"), rows.length < differing ? `${count(rows.length, "row")} of ${number(differing)}: the first ones of each table.` : null);
  showList(byId("verify-example-rows"), rows, ({ secondary, example }) => JSON.stringify([job.id, secondary, example.id]), createExample, byId("verify-heading"));
}

function show(job, elapsed) {
  const isRunning = job?.state === "running";
  byId("verify-running").hidden = !isRunning;
  byId("verify-cancel").hidden = !isRunning;
  setAttribute(byId("verify-start"), "aria-disabled", isRunning);
  if (!job) return;
  if (isRunning) {
    const { secondary, table, tables_done, tables, rows, total_rows, all_rows_done, all_rows, cancelling } = job.progress;
    const at = table ? `${secondary}, ${table}: ${number(rows)} of ${number(total_rows)} rows` : "starting";
    const left = timeLeft({ secondary: "", table: "", started: job.started_at, scanned: all_rows_done, total: all_rows, now: Date.now() });
    const rest = cancelling ? "; ends after this page" : left ? `; about ${duration(left)} left` : "";
    setText(byId("verify-progress-text"), `Table ${Math.min(tables_done + 1, tables)} of ${tables}; ${at}; since ${clock(elapsed(job.started_at))}${rest}`);
    setAttribute(byId("verify-progress"), "value", all_rows > 0 ? Math.min(1, all_rows_done / all_rows).toFixed(4) : null);
    showText(byId("verify-outcome"), null);
  } else {
    showText(byId("verify-outcome"), `${outcome(job)} (${clock(elapsed(job.finished_at))})`);
  }
  const tables = job.report?.tables ?? [];
  const differing = (table) => table.missing + table.different;
  const isPlain = (table) => differing(table) + table.in_flight + table.only_on_secondary === 0;
  const equal = tables.filter(isPlain);
  const rows = equal.reduce((all, table) => all + table.rows, 0);
  showText(byId("verify-equal"), equal.length > 0 ? `✓ ${count(equal.length, "table")} with ${count(rows, "row")} ${equal.length === 1 ? "is" : "are"} the same on both sides.` : null);
  const others = tables.filter((table) => !isPlain(table)).sort((one, other) => differing(other) - differing(one));
  byId("verify-report").hidden = others.length === 0;
  showList(byId("verify-rows"), others, (table) => JSON.stringify([table.secondary, table.table]), createTable, byId("verify-heading"));
  showExamples(job);
  if (known.id === job.id && known.state === "running" && !isRunning) announce(outcome(job));
  known = { id: job.id, state: job.state };
}

export async function updateVerify(elapsed) {
  const { job } = await get("verify");
  show(job, elapsed);
}

function createOption({ name }) {
  return { node: element("option", { value: name }, name || "all"), update: () => {} };
}

/** Offers the secondaries in the form. */
export function showChoices(names) {
  const choices = ["", ...names].map((name) => ({ name }));
  const select = byId("verify-secondary");
  if (select.options.length === choices.length && choices.every(({ name }, index) => select.options[index].value === name)) return;
  select.replaceChildren();
  showList(select, choices, ({ name }) => name, createOption);
}

/** Connects the form; `refresh` reads the status again. */
export function startVerify(refresh) {
  const start = byId("verify-start");
  byId("verify-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    if (start.getAttribute("aria-disabled") !== null) return;
    const secondary = byId("verify-secondary").value;
    const body = {
      wait: false,
      tables: byId("verify-tables").value.split(/[\s,]+/).filter(Boolean),
      repair: byId("verify-repair").checked,
      ...(secondary && { secondary }),
    };
    await command(start, "verify", body, () => "The comparison has started.");
    refresh();
  });
  byId("verify-values").addEventListener("click", async ({ currentTarget }) => {
    const answer = await command(currentTarget, "verify/values", {}, () => "The values of the rows that differ are shown.");
    if (!answer) return;
    withValues = answer.job;
    byId("verify-examples-heading").focus();
    refresh();
  });
  byId("verify-cancel").addEventListener("click", async ({ currentTarget }) => {
    await command(currentTarget, "verify/cancel", {}, () => "The comparison ends after the present page of rows.");
    start.focus();
    refresh();
  });
}
