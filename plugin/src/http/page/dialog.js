// Questions to the operator, and the results of what they started.

import { NoAnswer, post } from "./api.js";
import { byId, setText, showText } from "./dom.js";

/**
 * Asks, and resolves to null if the operator cancels: else to the text of the
 * field, which is there if there is a `label`.
 */
export function ask({ title, text, label, confirm, isDangerous = false, isSecret = false }) {
  const dialog = byId("dialog");
  const input = byId("dialog-input");
  const field = byId("dialog-field");
  setText(byId("dialog-title"), title);
  setText(byId("dialog-text"), text);
  setText(byId("dialog-label"), label ?? "");
  setText(byId("dialog-confirm"), confirm);
  byId("dialog-confirm").classList.toggle("danger", isDangerous);
  field.hidden = !label;
  input.value = "";
  input.type = isSecret ? "password" : "text";
  return new Promise((resolve) => {
    let answer = null;
    byId("dialog-form").onsubmit = (event) => {
      event.preventDefault();
      answer = input.value.trim();
      dialog.close();
    };
    byId("dialog-cancel").onclick = () => dialog.close();
    dialog.onclose = () => {
      input.value = "";
      resolve(answer);
    };
    dialog.showModal();
    // What changes nothing has the focus.
    (label ? input : byId("dialog-cancel")).focus();
  });
}

const askForToken = () =>
  ask({
    title: "Token",
    text: "The host asks for its token before it changes anything. It is kept until this tab is closed.",
    label: "Token",
    confirm: "Continue",
    isSecret: true,
  });

let announced = "";

/** Says something to screen readers. */
export function announce(text) {
  // The same text again is a change, too.
  announced = announced === text ? `${text}\u00a0` : text;
  setText(byId("announcer"), announced);
}

/** Shows what became of a command. */
export function showResult(text, isGood) {
  const result = byId("result");
  showText(result, text);
  result.classList.toggle("bad", !isGood);
  result.classList.toggle("good", isGood);
  announce(text);
}

/**
 * Sends a command and shows what became of it. `describe(answer)` says it in
 * words. Resolves to the answer, or to nothing if it failed.
 */
export async function command(button, route, body, describe) {
  if (button.getAttribute("aria-busy") === "true") return undefined;
  button.setAttribute("aria-busy", "true");
  try {
    const answer = await post(route, body, askForToken);
    showResult(`✓ ${describe(answer)}`, true);
    return answer;
  } catch (error) {
    const said = error instanceof NoAnswer
      ? `Not confirmed: ${error.message}; look below whether it was done`
      : `Failed: ${error.message}`;
    showResult(`✕ ${said}.`, false);
    return undefined;
  } finally {
    button.removeAttribute("aria-busy");
  }
}
