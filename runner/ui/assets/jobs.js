// The list of jobs.
import { h, fill, json } from "./dom.js";
import { word, short, time, duration, took, final } from "./format.js";
import { again, stageBar, stateMark } from "./parts.js";

const every = 2000; // ms between two looks

export function jobsPage(main) {
  document.title = "Jobs · Runner";
  const body = h("tbody");
  const note = h("p", { class: "note", role: "status" });
  const more = h("button", { type: "button", hidden: true, onclick: older }, "Older jobs");
  const heads = ["Job", "Name", "State", "Started", "Took", "Kind", "How it goes"].map((t) => h("th", { scope: "col" }, t));
  const table = h("div", { class: "wide", hidden: true }, h("table", { class: "jobs cards" }, h("thead", {}, h("tr", {}, heads)), body));
  fill(main, h("h1", {}, "Jobs"), note, table, more);
  let pages = 1;

  const page = again(note, "The list", every, async (late) => {
    const all = [];
    let next = "";
    for (let n = 0; n < pages; n++) {
      const list = await json(`/v1/jobs?limit=50${next && `&after=${encodeURIComponent(next)}`}`);
      all.push(...list.jobs);
      next = list.next || "";
      if (!next) break;
    }
    if (late()) return "";
    more.hidden = !next;
    table.hidden = !all.length;
    fill(body, all.map(row));
    return all.length ? "" : "No jobs yet. Try: runner demo";
  });

  function older() {
    pages++;
    page.round();
  }

  return page.end;
}

const firstLine = (text) => text.split("\n", 1)[0];

function row(job) {
  const ms = took(job);
  const cells = [
    h("a", { "data-key": job.job, href: `/jobs/${encodeURIComponent(job.job)}` }, short(job.job)),
    job.name,
    stateMark(word(job)),
    time(job.submitted),
    ms === null ? "–" : duration(ms),
    job.kind,
    final(job) ? firstLine(job.message || "") : (job.stages || []).map((s) => stageBar(s)),
  ];
  return h("tr", {}, cells.map((c, i) => h("td", { class: i === 6 ? "text" : null }, c)));
}
