// Operations that were rejected for good: replayed or discarded here.

import { get } from "./api.js";
import { ask, command } from "./dialog.js";
import { byId, element, setText, showList, showText } from "./dom.js";
import { clock, count, number } from "./format.js";

/** Dead letters that are listed; there may be many more. */
const LIMIT = 100;
/** How often they are read again while their number stays, in milliseconds. */
const REFRESH = 10_000;

const selected = new Set();
let listed = [];
let total = 0;
let lastNumber = null;
let readAt = -Infinity;

const keyOf = (letter) => JSON.stringify([letter.secondary, letter.id]);

function createLetter(letter) {
  const box = element("input", {
    type: "checkbox",
    "aria-label": `Select ${letter.table} ${letter.key} of ${letter.secondary}`,
  });
  box.addEventListener("change", () => {
    if (box.checked) selected.add(keyOf(letter));
    else selected.delete(keyOf(letter));
    showSelection();
  });
  const cells = ["Secondary", "Table", "Key", "Cause", "Attempts", "Given up"].map((title) =>
    element("td", { "data-title": title }));
  cells[2].classList.add("code");
  cells[3].classList.add("cause");
  const node = element("tr", {}, element("td", { class: "choose" }, box), ...cells);
  const update = (now) => {
    const values = [now.secondary, now.table, now.key, now.last_error, number(now.retry_count), clock(now.failed)];
    values.forEach((value, index) => setText(cells[index], value));
    box.checked = selected.has(keyOf(now));
  };
  return { node, update };
}

function showSelection() {
  const chosen = selected.size;
  setText(byId("replay-letters"), chosen > 0 ? `Replay ${chosen} selected` : `Replay all ${total}`);
  setText(byId("discard-letters"), chosen > 0 ? `Discard ${chosen} selected…` : `Discard all ${total}…`);
  const all = byId("all-letters");
  all.checked = listed.length > 0 && chosen === listed.length;
  all.indeterminate = chosen > 0 && chosen < listed.length;
}

function show() {
  const retries = lastNumber?.retries ?? 0;
  const waiting = retries > 0 ? ` ${count(retries, "rejected operation")} ${retries === 1 ? "waits" : "wait"} for a retry.` : "";
  const more = total > listed.length ? ` The first ${listed.length} are listed.` : "";
  const about = "Operations that a secondary rejected for good. Fix the cause, then replay them: the primary’s current row is replicated.";
  showText(byId("letters-note"), total > 0 ? `${about}${more}${waiting}` : `None.${waiting}`);
  const block = byId("letters");
  if (total === 0 && block.contains(document.activeElement)) byId("letters-heading").focus();
  block.hidden = total === 0;
  const present = new Set(listed.map(keyOf));
  for (const key of selected) if (!present.has(key)) selected.delete(key);
  showList(byId("letters-rows"), listed, keyOf, createLetter, byId("letters-heading"));
  showSelection();
}

/** Reads the dead letters, if there are any and they may have changed. */
export async function updateLetters(status, elapsed) {
  const sum = (field) => status.secondaries.reduce((all, one) => all + one[field], 0);
  const numbers = { dead: sum("dead_letters"), retries: sum("retries"), rejected: status.secondaries.reduce((all, one) => all + one.replicated.rejected, 0) };
  const isChanged = JSON.stringify(numbers) !== JSON.stringify(lastNumber);
  lastNumber = numbers;
  total = numbers.dead;
  if (total === 0) {
    listed = [];
  } else if (isChanged || performance.now() - readAt > REFRESH) {
    const answer = await get("dead-letters", { limit: LIMIT });
    listed = answer.dead_letters.map((letter) => ({ ...letter, failed: elapsed(letter.failed_at) }));
    readAt = performance.now();
  }
  show();
}

/** Ids by secondary of what is selected: one command for each secondary. */
function choice() {
  if (selected.size === 0) return [{}];
  const bySecondary = new Map();
  for (const letter of listed.filter((one) => selected.has(keyOf(one)))) {
    const ids = bySecondary.get(letter.secondary) ?? [];
    bySecondary.set(letter.secondary, [...ids, letter.id]);
  }
  return [...bySecondary].map(([secondary, ids]) => ({ secondary, ids }));
}

async function act(button, route, done) {
  for (const body of choice()) {
    const answer = await command(button, route, body, (said) => `${count(said[done], "dead letter")} ${done}.`);
    if (!answer) return;
  }
  selected.clear();
  readAt = -Infinity;
}

/** Connects the buttons; `refresh` reads the status again. */
export function startLetters(refresh) {
  byId("all-letters").addEventListener("change", ({ target }) => {
    selected.clear();
    if (target.checked) listed.forEach((letter) => selected.add(keyOf(letter)));
    show();
  });
  byId("replay-letters").addEventListener("click", async ({ currentTarget }) => {
    await act(currentTarget, "dead-letters/replay", "replayed");
    refresh();
  });
  byId("discard-letters").addEventListener("click", async ({ currentTarget }) => {
    const chosen = selected.size || total;
    const sure = await ask({
      title: `Discard ${count(chosen, "dead letter")}?`,
      text: "The secondary then keeps what it has of these rows until they are written again, or a resync or a verification replicates them. This cannot be undone.",
      confirm: "Discard",
      isDangerous: true,
    });
    if (sure === null) return;
    await act(currentTarget, "dead-letters/discard", "discarded");
    refresh();
  });
}
