// The files that a job has put out, and how they begin.
import { h, fill, ask, json } from "./dom.js";
import { bytes } from "./format.js";

const shown = 64 * 1024; // characters of a file

export function outputPart(id) {
  const base = `/v1/jobs/${encodeURIComponent(id)}/output`;
  const names = h("div", { class: "names" });
  const text = h("pre", { class: "log wide", tabindex: 0, hidden: true, "aria-label": "File" });
  let opened = "";

  async function list() {
    try {
      const all = await json(base);
      fill(names, all.files.map((f) =>
        h("button", { type: "button", "data-key": f.name, "aria-pressed": String(f.name === opened), onclick: () => open(f) },
          f.name, h("small", {}, ` ${bytes(f.bytes)}`))),
      !all.files.length && h("p", { class: "note" }, "Nothing is there."), all.next && h("span", { class: "note" }, "and more"));
    } catch (error) {
      fill(names, h("p", { class: "note" }, error.message));
    }
  }

  async function open(file) {
    opened = file.name;
    text.hidden = false;
    try {
      const path = file.name.split("/").map(encodeURIComponent).join("/");
      const body = await (await ask(`${base}/${path}`)).text();
      fill(text, body.slice(0, shown) + (file.bytes > shown ? "\n…" : ""));
    } catch (error) {
      fill(text, error.message);
    }
    list();
  }

  const element = h("details", { class: "files output", ontoggle: () => element.open && list() }, h("summary", {}, "Output"), names, text);
  return element;
}
