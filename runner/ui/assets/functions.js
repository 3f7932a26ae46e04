// Functions: how they do, with latencies; of one its versions, what it was asked last, and its dead letters.
import { h, fill, section, ask, json } from "./dom.js";
import { bytes, count, duration, time } from "./format.js";
import { again, stateMark, facts, table } from "./parts.js";

const every = 2000; // ms between two looks
const shown = 50; // invocations

// latency is a short time; only what is longer than a tenth of a second is rounded as times are elsewhere.
const latency = (ms) => (ms === 0 ? "–" : ms < 95 ? `${ms < 9.95 ? ms.toFixed(1) : ms.toFixed(0)} ms` : duration(ms));

const link = (name) => h("a", { "data-key": name, href: `/functions/${encodeURIComponent(name)}` }, name);

export function functionsPage(main) {
  document.title = "Functions · Runner";
  const note = h("p", { class: "note", role: "status" });
  const list = h("div");
  fill(main, h("h1", {}, "Functions"), note, list);
  const heads = ["Function", "Kind", "Live", "Done", "Waiting", "Dead", "Handlers", "p50", "p95", "p99", "Last asked"];
  return again(note, "The functions", every, async (late) => {
    const { functions } = await json("/v1/functions");
    if (late()) return;
    fill(list, functions.length ? table("functions named", heads, functions.map(row)) : h("p", {}, "No functions yet. Try: runner fn init greet"));
  }).end;
}

const row = (f) => [
  link(f.name), f.kind, f.live ? `version ${f.live}` : "–", count(f.stats.succeeded), count(f.stats.queued), count(f.stats.dead),
  count(f.handlers), latency(f.stats.p50_ms), latency(f.stats.p95_ms), latency(f.stats.p99_ms), f.stats.last ? time(f.stats.last) : "never",
];

export function functionPage(main, name) {
  document.title = `${name} · Runner`;
  const note = h("p", { class: "note", role: "status" });
  const body = h("div");
  const log = h("pre", { class: "log", hidden: true });
  fill(main, h("h1", {}, name), note, body, log);
  const base = `/v1/functions/${encodeURIComponent(name)}`;

  async function showLog(id) {
    const text = await (await ask(`/v1/invocations/${encodeURIComponent(id)}/log`)).text();
    log.hidden = false;
    fill(log, text || "It has said nothing.");
    log.scrollIntoView({ block: "nearest" });
  }

  const page = again(note, "The functions", every, async (late) => {
    const [f, asked] = await Promise.all([json(base), json(`${base}/invocations?limit=${shown}`)]);
    if (late()) return;
    fill(body, overview(f), f.stats.dead > 0 && redrive(), section("Asked last", invocations(asked.invocations)), versions(f));
  });

  async function redriveAll() {
    try {
      await json(`${base}/redrive`, { method: "POST" });
      await page.round();
    } catch (error) {
      fill(note, error.message);
    }
  }

  const redrive = () => h("p", {}, h("button", { type: "button", "data-key": "redrive", onclick: redriveAll }, "Try dead letters again"));

  const invocations = (all) => table("invocations named", ["Invocation", "State", "Asked", "Took", "Attempts", "Event", "Result", "Error"],
    all.map((v) => [
      h("button", { type: "button", "data-key": v.id, title: "What it said", onclick: () => showLog(v.id) }, v.id), stateMark(v.state),
      time(v.accepted), latency(v.took_ms), `${v.attempts} of version ${v.version}`, bytes(v.event_bytes),
      v.state === "SUCCEEDED" ? bytes(v.result_bytes) : "–", v.state === "SUCCEEDED" ? "" : v.error || "",
    ]), 7);
  return page.end;
}

const overview = (f) => facts([
  ["p50", latency(f.stats.p50_ms)], ["p95", latency(f.stats.p95_ms)], ["p99", latency(f.stats.p99_ms)],
  ["done", count(f.stats.succeeded)], ["waiting", count(f.stats.queued)], ["dead letters", count(f.stats.dead)],
  ["live", f.live ? `version ${f.live}` : "–"], ["kind", f.kind],
]);

const versions = (f) => section("Versions, the latest first", table("versions named", ["Version", "Meant by", "Pushed", "By", "Package"], f.versions.map((v) => [
  v.version, Object.keys(f.aliases).filter((word) => f.aliases[word].version === v.version).sort().join(" "), time(v.pushed), v.by || "",
  h("code", {}, v.package.slice(0, 12)),
])));
