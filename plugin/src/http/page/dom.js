// Building and updating the document. Text enters it as text, never as markup;
// what is unchanged is not touched, so that focus, selection and screen readers
// are not disturbed.

const SVG = "http://www.w3.org/2000/svg";

/** The element with this id; it is part of the page. */
export const byId = (id) => document.getElementById(id);

/** A new element with attributes and children: elements, or texts. */
export function element(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** The same for a part of a drawing. */
export function drawing(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) setAttribute(node, name, value);
  node.append(...children);
  return node;
}

export function setText(node, text) {
  const wanted = String(text);
  if (node.textContent !== wanted) node.textContent = wanted;
}

/** Sets an attribute; `null` and `false` remove it. */
export function setAttribute(node, name, value) {
  if (value === null || value === undefined || value === false) {
    node.removeAttribute(name);
    return;
  }
  const wanted = value === true ? "" : String(value);
  if (node.getAttribute(name) !== wanted) node.setAttribute(name, wanted);
}

/** Shows `text` in `node`, which is hidden without one. */
export function showText(node, text) {
  setText(node, text ?? "");
  node.hidden = !text;
}

const lists = new WeakMap();

/**
 * Makes the children of `parent` those of `items`, in their order. A child is
 * kept for as long as there is an item with its key. `create(item)` returns
 * `{node, update(item)}`. If the focused child goes, `fallback` is focused.
 */
export function showList(parent, items, keyOf, create, fallback) {
  const known = lists.get(parent) ?? new Map();
  const next = new Map();
  for (const item of items) {
    const key = keyOf(item);
    if (!next.has(key)) next.set(key, known.get(key) ?? create(item));
    next.get(key).update(item);
  }
  for (const [key, view] of known) {
    if (next.has(key)) continue;
    const hadFocus = view.node.contains(document.activeElement);
    view.node.remove();
    if (hadFocus) fallback?.focus();
  }
  let place = parent.firstChild;
  for (const { node } of next.values()) {
    if (node === place) place = place.nextSibling;
    else parent.insertBefore(node, place);
  }
  lists.set(parent, next);
}
