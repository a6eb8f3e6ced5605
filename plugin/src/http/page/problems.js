// What is wrong, and what fixes it.

import { byId, element, setText, showList, showText } from "./dom.js";

const VERDICT = /^(action required|no action needed)([:;,]?)\s*/;

/** A remedy's verdict, and the rest of it. */
function split(remedy) {
  const [, verdict, colon] = VERDICT.exec(remedy) ?? [null, "remedy", ":"];
  return {
    verdict: colon ? `${verdict}:` : verdict,
    rest: remedy.replace(VERDICT, ""),
    isUrgent: verdict !== "no action needed",
  };
}

function createProblem() {
  const symbol = element("span", { class: "symbol", "aria-hidden": "true" });
  const about = element("strong");
  const what = element("span");
  const verdict = element("span", { class: "verdict" });
  const remedy = element("span");
  const node = element(
    "li",
    {},
    symbol,
    element("div", {}, element("p", {}, about, " ", what), element("p", {}, verdict, " ", remedy)),
  );
  const update = (problem) => {
    const { verdict: word, rest, isUrgent } = split(problem.remedy);
    node.className = isUrgent ? "urgent" : "";
    setText(symbol, isUrgent ? "▲" : "↻");
    setText(about, `${problem.secondary ?? "module"}:`);
    setText(what, problem.problem);
    setText(verdict, word);
    setText(remedy, rest);
  };
  return { node, update };
}

export function showProblems(reasons) {
  const urgency = (reason) => (split(reason.remedy).isUrgent ? 0 : 1);
  const sorted = [...reasons].sort((one, other) => urgency(one) - urgency(other));
  // A key that stays while the numbers in a problem change.
  const seen = new Map();
  const keyed = sorted.map((reason) => {
    const about = `${reason.secondary ?? ""}\u0000${reason.problem.replace(/[\d.]+/g, "#")}`;
    seen.set(about, (seen.get(about) ?? 0) + 1);
    return { ...reason, key: `${about}\u0000${seen.get(about)}` };
  });
  showText(byId("no-problems"), keyed.length === 0 ? "✓ No problem is known." : "");
  showList(byId("problems"), keyed, (reason) => reason.key, createProblem, byId("problems-heading"));
}
