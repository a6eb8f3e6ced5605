// The status page of replication. It asks the module again and again and shows
// what it answers:
//
// | file | what is in it |
// | --- | --- |
// | api.js | the module's routes; the token of a host that asks for one |
// | dom.js | building and updating the document |
// | format.js | numbers, sizes and times for people |
// | dialog.js | questions, commands, and what became of them |
// | problems.js | what is wrong, and the remedy |
// | secondaries.js, chart.js, history.js, resyncs.js | each secondary with its charts and resyncs |
// | letters.js | dead letters |
// | verify.js | comparing |
// | events.js | recent events |

import { NoAnswer, Refused, get } from "./api.js";
import { announce, command } from "./dialog.js";
import { byId, setText, showList, showText } from "./dom.js";
import { forgetEvents, startEvents, updateEvents } from "./events.js";
import { age, bytes, clock, duration, number, parseTime } from "./format.js";
import { forgetHistory, historyOf, updateHistory } from "./history.js";
import { startLetters, updateLetters } from "./letters.js";
import { showProblems } from "./problems.js";
import { createFact, showSecondaries } from "./secondaries.js";
import { showChoices, startVerify, updateVerify } from "./verify.js";

/** From one answer to the next question, in milliseconds: `?interval=SECONDS`. */
const INTERVAL = 1000 * Math.max(0.2, Number(new URLSearchParams(location.search).get("interval")) || 2);
/** The same while nobody looks at the page. */
const INTERVAL_HIDDEN = Math.max(INTERVAL, 30_000);

let status = null;
/** When the latest answer came, on this machine's clock. */
let answeredAt = null;
/** Since when there is no answer, and why; null while there is one. */
let gone = null;
let health = null;

/** The host's clock may differ from this machine's. */
let offset = 0;
const elapsed = (time) => parseTime(time) - offset;

function showStatus() {
  const { secondaries } = status;
  const now = parseTime(status.at);
  const isHealthy = status.health === "healthy";
  const urgent = status.reasons.length;
  const [sign, tone] = { healthy: ["✓", "good"], degraded: ["▲", "warn"] }[status.health] ?? ["✕", "bad"];
  showHealth(`${sign} ${status.health}`, tone);
  setText(byId("module"), `db-sync-server ${status.version} · running for ${age(now - parseTime(status.started_at))}`);
  document.title = `${isHealthy ? "✓ healthy" : `${sign} ${urgent} problem${urgent === 1 ? "" : "s"}`} · db-sync`;

  const pause = byId("pause");
  pause.hidden = !status.sync_enabled;
  setText(pause, status.paused ? "Resume replication" : "Pause replication");

  const most = (value) => Math.max(0, ...secondaries.map(value));
  const sum = (value) => secondaries.reduce((all, one) => all + value(one), 0);
  const streaming = secondaries.filter((one) => one.state === "streaming").length;
  const { held_bytes, max_bytes } = status.log;
  const fill = max_bytes > 0 ? held_bytes / max_bytes : 0;
  const letters = sum((one) => one.dead_letters);
  const figures = [
    { title: "Streaming", value: `${streaming} of ${secondaries.length}`, stands: streaming < secondaries.length },
    { title: "Largest backlog", value: `${number(most((one) => one.backlog.operations))} ops` },
    { title: "Largest lag", value: duration(most((one) => one.backlog.oldest_age_seconds)) },
    { title: "Throughput", value: `${number(sum((one) => one.replicated.rate))} ops/s` },
    { title: "Tables to resync", value: number(sum((one) => one.resync.length)) },
    { title: "Dead letters", value: number(letters), stands: letters > 0 },
    { title: `Log, of ${bytes(max_bytes)}`, value: bytes(held_bytes), stands: fill > 0.9 },
    { title: "Merged reads", value: status.merge_reads ? "on" : "off" },
  ];
  showList(byId("figures"), figures, (figure) => figure.title, createFact);
  showProblems(status.reasons);
  showSecondaries(secondaries.map((secondary) => ({ secondary, now, elapsed, ...historyOf(secondary.name) })));
  showChoices(secondaries.map((secondary) => secondary.name));
  const left = status.not_replicated.map(({ table, rows }) => `${table} (${number(rows)} ${rows === 1 ? "row" : "rows"})`);
  showText(byId("not-replicated"), left.length > 0
    ? `Not replicated, as no method of the host reads ${left.length === 1 ? "this table" : "these tables"}: ${left.join(", ")}.` : null);
  setText(byId("log-directory"), `Log: ${status.log.directory}`);
}

function showHealth(text, tone) {
  const badge = byId("health");
  setText(badge, text);
  badge.className = `badge ${tone}`;
  if (health !== null && health !== text) announce(`Replication: ${text}`);
  health = text;
}

function showAge() {
  if (gone === null) {
    showText(byId("gone"), null);
    setText(byId("updated"), answeredAt === null ? "" : `updated ${clock(answeredAt)}`);
    return;
  }
  const since = `since ${clock(gone.since)} (${age(Date.now() - gone.since)})`;
  const shown = status === null ? "" : ` What is shown below is its last answer, of ${clock(answeredAt)}.`;
  const { message } = gone.error;
  const what = gone.error instanceof NoAnswer
    ? `The host does not answer ${since}: ${message}. It is asked again every ${INTERVAL / 1000} s.`
    : gone.error instanceof Refused
      ? `The module gives no status ${since}: ${message}.`
      : `This page has a defect: ${message}. Please report it.`;
  showText(byId("gone"), `✕ ${what}${shown}`);
}

function answered() {
  answeredAt = Date.now();
  if (gone !== null && status !== null) announce("The host answers again.");
  gone = null;
  document.body.classList.remove("stale");
}

function failed(error) {
  if (!(error instanceof NoAnswer || error instanceof Refused)) console.error(error);
  const isSame = gone?.error.constructor === error.constructor;
  gone = { since: isSame ? gone.since : Date.now(), error };
  document.body.classList.add("stale");
  showHealth(error instanceof NoAnswer ? "✕ host gone" : "✕ no status", "bad");
  document.title = "✕ no answer · db-sync";
}

async function read() {
  const answer = await get("status");
  if (status !== null && status.started_at !== answer.started_at) {
    forgetEvents();
    forgetHistory();
  }
  offset = parseTime(answer.at) - Date.now();
  await updateHistory();
  status = answer;
  answered();
  showStatus();
  await Promise.all([
    part(updateLetters(status, elapsed), "letters-note", "The dead letters cannot be read"),
    part(updateVerify(elapsed), "verify-outcome", "The latest verification cannot be read"),
    part(updateEvents(elapsed), "no-events", "The events cannot be read"),
  ]);
}

/** A part of the page whose route answers with an error says so in its place. */
async function part(update, note, what) {
  try {
    await update;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    showText(byId(note), `✕ ${what}: ${error.message}.`);
  }
}

let timer = null;
let reading = null;

/** Reads everything once, unless that is under way, and plans the next time. */
function refresh() {
  clearTimeout(timer);
  reading ??= read()
    .catch(failed)
    .finally(() => {
      reading = null;
      showAge();
      document.body.dataset.polls = Number(document.body.dataset.polls ?? 0) + 1;
      clearTimeout(timer);
      if (byId("live").checked) {
        timer = setTimeout(refresh, document.hidden ? INTERVAL_HIDDEN : INTERVAL);
      }
    });
  return reading;
}

byId("live").addEventListener("change", refresh);
byId("pause").addEventListener("click", async ({ currentTarget }) => {
  const isPaused = status?.paused;
  await command(currentTarget, isPaused ? "resume" : "pause", {}, () =>
    isPaused ? "Replication is resumed." : "Replication is paused; writes wait in the log.");
  refresh();
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && byId("live").checked) refresh();
});
startLetters(refresh);
startVerify(refresh);
startEvents();
setInterval(showAge, 1_000);
refresh();
