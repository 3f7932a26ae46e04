// Files of gateways and buckets: folders page by page, and how a file begins.
import { h, fill, ask, json } from "./dom.js";
import { bytes, plural, time } from "./format.js";

const shown = 64 * 1024; // characters of a file

const at = (path) => `/files?path=${encodeURIComponent(path)}`;
const content = (path) => `/v1/files/content?path=${encodeURIComponent(path)}`;

// crumbs leads to all folders above a path.
function crumbs(path) {
  const [place, rest] = [path.match(/^[^/]*\/\/[^/]*\//)?.[0] ?? path, path.replace(/^[^/]*\/\/[^/]*\//, "")];
  const links = [h("a", { href: "/files" }, "Files"), " › ", h("a", { href: at(place) }, place)];
  let above = place;
  for (const part of rest.split("/").filter(Boolean)) {
    above += `${part}/`;
    links.push(" › ", h("a", { href: at(above) }, part));
  }
  return h("nav", { class: "crumbs", "aria-label": "Folders" }, links);
}

export function filesPage(main) {
  const asked = new URLSearchParams(location.search);
  if (asked.has("file")) return filePage(main, asked.get("file"));
  return folderPage(main, asked.get("path"));
}

function folderPage(main, path) {
  document.title = `${path ?? "Files"} · Runner`;
  const note = h("p", { class: "note", role: "status" });
  const rows = h("tbody");
  const heads = ["Name", "Size", "Changed", "Owner"].map((t) => h("th", { scope: "col" }, t));
  const table = h("div", { class: "wide", hidden: true }, h("table", { class: "folder cards" }, h("thead", {}, h("tr", {}, heads)), rows));
  const more = h("button", { type: "button", hidden: true, onclick: () => load(next) }, "More");
  let next = "";
  let ended = false;
  fill(main, h("h1", {}, "Files"), path && crumbs(path), note, table, more);

  async function load(after) {
    try {
      const page = await json(path ? `/v1/files?path=${encodeURIComponent(path)}&after=${encodeURIComponent(after)}` : "/v1/files");
      if (ended) return;
      for (const root of page.roots ?? []) rows.append(row(h("a", { href: at(root) }, root)));
      for (const f of page.entries) rows.append(entry(page.path, f));
      next = page.next ?? "";
      more.hidden = !next;
      table.hidden = !rows.children.length;
      fill(note, rows.children.length ? "" : path ? "The folder is empty." : "No gateway and no bucket is known here. RUNNER_GATEWAYS names gateways.");
    } catch (error) {
      fill(note, error.message);
    }
  }

  load("");
  return () => {
    ended = true;
  };
}

const row = (...cells) => h("tr", {}, cells.map((c) => h("td", {}, c)));

function entry(folder, f) {
  const path = folder + f.name;
  const name = f.folder
    ? h("a", { href: at(`${path}/`) }, `${f.name}/`)
    : h("a", { href: `/files?file=${encodeURIComponent(path)}` }, f.name);
  return row(name, f.folder ? "" : bytes(f.bytes), f.modified ? time(f.modified) : "", f.owner ?? "");
}

function filePage(main, path) {
  document.title = `${path.split("/").pop()} · Runner`;
  const note = h("p", { class: "note", role: "status" });
  const text = h("pre", { class: "log wide", tabindex: 0, hidden: true, "aria-label": "File" });
  const whole = h("a", { href: `${content(path)}&download=1`, download: path.split("/").pop() }, "Download");
  fill(main, h("h1", {}, path.split("/").pop()), crumbs(path.slice(0, path.lastIndexOf("/") + 1)), h("p", {}, whole), note, text);
  let ended = false;

  async function load() {
    try {
      const body = await (await ask(content(path))).text();
      if (ended) return;
      if (body.includes("\0")) return fill(note, "This is no text.");
      text.hidden = false;
      fill(text, body.slice(0, shown));
      fill(note, body.length > shown ? `The first ${plural(shown, "character")}:` : "");
    } catch (error) {
      fill(note, error.message);
    }
  }

  load();
  return () => {
    ended = true;
  };
}
