// Comparing the secondaries with the primary: started, watched, and its result.

import { get } from "./api.js";
import { announce, command } from "./dialog.js";
import { byId, element, setAttribute, setText, showList, showText } from "./dom.js";
import { clock, count, duration, number, parseTime } from "./format.js";

let known = { id: null, state: null };

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
  const differing = report.tables.reduce((all, table) => all + table.missing + table.different, 0);
  const cancelled = job.state === "cancelled" ? ` Cancelled after ${took}; the rest was not compared.` : "";
  const repair = job.repair ? "replicated again" : "left as they are";
  const found = differing > 0
    ? `▲ ${count(differing, "row")} ${differing === 1 ? "differs" : "differ"}, ${repair}.`
    : skipped.length > 0 || cancelled ? "No difference in what was compared." : "✓ Equal: every secondary holds every row of the primary.";
  return [found + cancelled, ...skipped].join(" ");
}

function show(job, elapsed) {
  const isRunning = job?.state === "running";
  byId("verify-running").hidden = !isRunning;
  byId("verify-cancel").hidden = !isRunning;
  setAttribute(byId("verify-start"), "aria-disabled", isRunning);
  if (!job) return;
  if (isRunning) {
    const { secondary, table, tables_done, tables, rows, total_rows } = job.progress;
    const at = table ? `${secondary}, ${table}: ${number(rows)} of ${number(total_rows)} rows` : "starting";
    setText(byId("verify-progress-text"), `Table ${Math.min(tables_done + 1, tables)} of ${tables}; ${at}; since ${clock(elapsed(job.started_at))}`);
    const inTable = total_rows > 0 ? Math.min(1, rows / total_rows) : 0;
    setAttribute(byId("verify-progress"), "value", tables > 0 ? ((tables_done + inTable) / tables).toFixed(4) : null);
    showText(byId("verify-outcome"), null);
  } else {
    showText(byId("verify-outcome"), `${outcome(job)} (${clock(elapsed(job.finished_at))})`);
  }
  const tables = job.report?.tables ?? [];
  const differs = (table) => (table.missing + table.different > 0 ? 0 : 1);
  const sorted = [...tables].sort((one, other) => differs(one) - differs(other));
  byId("verify-report").hidden = sorted.length === 0;
  showList(byId("verify-rows"), sorted, (table) => JSON.stringify([table.secondary, table.table]), createTable, byId("verify-heading"));
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
  byId("verify-cancel").addEventListener("click", async ({ currentTarget }) => {
    await command(currentTarget, "verify/cancel", {}, () => "The comparison ends after the present page of rows.");
    start.focus();
    refresh();
  });
}
