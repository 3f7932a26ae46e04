// Elements out of text. Text is always text: nothing in this page writes markup from strings.

const svgNames = new Set(["svg", "g", "rect", "line", "path", "text", "title", "defs", "pattern", "circle"]);

// h makes an element: h("a", {href: "/"}, "text", other). Attributes that are null or false are left out; functions
// listen ({onclick}); SVG's elements are known by name.
export function h(name, attributes = {}, ...children) {
  const e = svgNames.has(name)
    ? document.createElementNS("http://www.w3.org/2000/svg", name)
    : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") e.addEventListener(key.slice(2), value);
    else e.setAttribute(key, value === true ? "" : value);
  }
  e.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  return e;
}

// fill replaces what is in an element. Who uses the keyboard stays where they are, and what they have opened stays open:
// on what has the same data-key as before.
export function fill(e, ...children) {
  const at = e.contains(document.activeElement) && document.activeElement.dataset.key;
  const opened = new Map([...e.querySelectorAll("details[data-key]")].map((d) => [d.dataset.key, d.open]));
  e.replaceChildren(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  for (const d of e.querySelectorAll("details[data-key]")) d.open = opened.get(d.dataset.key) ?? d.open;
  if (at) e.querySelector(`[data-key="${CSS.escape(at)}"]`)?.focus({ preventScroll: true });
  return e;
}

// section is a part of a page with a heading.
export function section(title, ...children) {
  return h("section", {}, h("h2", {}, title), ...children);
}

// ask sends a request to the API. What it refuses is an Error with its sentence.
export async function ask(path, options) {
  const response = await fetch(path, options);
  if (!response.ok) {
    const problem = await response.json().catch(() => ({}));
    const error = new Error(problem.detail || `${response.status} ${response.statusText}`);
    error.status = response.status;
    throw error;
  }
  return response;
}

export const json = async (path, options) => (await ask(path, options)).json();
