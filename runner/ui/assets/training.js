// A training job: its loss, where its time goes, its workers.
import { h, fill, section, ask } from "./dom.js";
import { chart, thin } from "./chart.js";
import { count, duration, final, plural } from "./format.js";
import { lasted } from "./timeline.js";

const times = ["compute", "wait", "aggregate", "transfer"];
const notShown = new Set([...times, "iteration", "seconds", "final", "workers"]);
const statusLine = /^iteration (\d+) of \d+ {2}([^\s\d]\S*) (\S+)/; // of the master, while it works
const workerName = /^worker-(\d+)\.(\d+)$/;

export function trainingPart(id) {
  const element = h("div");
  const live = new Map(); // value by iteration, as the master's status told
  let line = ""; // what the master's status was last
  let told = -1; // the worker whose words are told
  let rows = null; // of metrics.jsonl
  let log = false;
  let byTime = false;
  let job = null;
  let asked = false;

  async function load() {
    const all = [];
    let text = "";
    for (let offset = 0, more = true; more; ) {
      const part = await ask(`/v1/jobs/${encodeURIComponent(id)}/output/metrics.jsonl?offset=${offset}`);
      const next = Number(part.headers.get("Runner-Next"));
      text += await part.text();
      more = next > offset;
      offset = next;
      const lines = text.split("\n");
      text = lines.pop();
      all.push(...lines.filter(Boolean).map((line) => JSON.parse(line)));
    }
    rows = all;
    draw();
  }

  // show takes how the job stands.
  function show(next) {
    job = next;
    for (const a of job.attempts || []) {
      const said = (a.status || "").match(statusLine);
      if (said) live.set(Number(said[1]), [said[2], Number(said[3])]);
      if (a.id.startsWith("master-")) line = a.status;
    }
    if (job.state === "SUCCEEDED" && !asked) {
      asked = true;
      load().catch(() => {}); // without metrics there is nothing to draw
    }
    draw();
  }

  let painted = 0; // the width for which it was drawn
  new ResizeObserver(() => requestAnimationFrame(() => {
    if (job && element.clientWidth !== painted) draw();
  })).observe(element);

  function draw() {
    painted = element.clientWidth;
    const width = Math.max(painted, 300);
    fill(element, curvePart(width), timePart(width), healthPart() || workersPart());
  }

  function curvePart(width) {
    const points = rows ? rows.filter((r) => typeof r.loss === "number" && !r.final) : [];
    if (!points.length && live.size < 2) return null;
    if (!points.length) {
      const xs = [...live.keys()].sort((a, b) => a - b);
      const name = live.get(xs[0])[0];
      return section(`${name}, so far`, line && h("p", { class: "note" }, line), chart({ width, height: 260, log, xs, xLabel: "iteration",
        layers: [{ name, values: xs.map((i) => live.get(i)[1]) }] }));
    }
    let clock = 0;
    const at = points.map((r) => (byTime ? (clock += r.seconds) : r.iteration));
    const kept = thin(points.map((r, i) => [at[i], r.loss]));
    const last = rows[rows.length - 1];
    const others = Object.keys(last).filter((name) => !notShown.has(name) && typeof last[name] === "number");
    return section("Loss",
      h("div", { class: "below" },
        h("p", { class: "note" }, others.map((name) => `${name} ${+last[name].toPrecision(6)}`).join("   ")),
        h("div", { class: "switches" }, toggle("log scale", log, (v) => { log = v; }), toggle("over time", byTime, (v) => { byTime = v; }))),
      chart({ width, height: 260, log, xs: kept.map((p) => p[0]), xLabel: byTime ? "seconds" : "iteration",
        layers: [{ name: "loss", values: kept.map((p) => p[1]) }] }));
  }

  function timePart(width) {
    const points = rows ? thin(rows.filter((r) => typeof r.seconds === "number" && r.iteration > 0 && !r.final)) : [];
    if (points.length < 2) return null;
    const layers = times.map((name) => ({ name, values: points.map((r) => (r[name] || 0) * 1000) }));
    return section("Where an iteration's time goes",
      h("ul", { class: "legend layers" }, times.map((t, n) => h("li", { class: `layer${n}` }, t))),
      chart({ width, height: 180, stacked: true, unit: " ms", xs: points.map((r) => r.iteration), layers, xLabel: "iteration" }));
  }

  // strip draws cells {heat, words, name}, of which the words of one are told: of what is pointed at, or of where the
  // arrow keys have led.
  function strip(cells) {
    const note = h("p", { class: "note", role: "status" }, cells[told]?.words ?? "Point at a worker, or use the arrow keys, to see how it does.");
    const tell = (i) => {
      told = i;
      fill(note, cells[i].words);
      items.forEach((item, n) => item.classList.toggle("chosen", n === i));
    };
    const items = cells.map((c, i) =>
      h("li", { class: `heat${c.heat}${i === told ? " chosen" : ""}`, title: c.words, onmouseenter: () => tell(i) }, c.name));
    const byKey = (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      tell(Math.min(Math.max(told + step, 0), cells.length - 1));
    };
    return [h("ol", { class: "strip", tabindex: 0, "data-key": "workers", "aria-label": "Workers", onkeydown: byKey }, items), note];
  }

  // healthPart draws each worker as a cell that says whether it works, and how often it was begun.
  function healthPart() {
    const stage = (job.stages || []).find((s) => s.name === "worker");
    if (final(job) || !stage || !stage.tasks) return null;
    const latest = new Map(); // attempt by worker
    for (const a of job.attempts || []) {
      const [, index, number] = a.id.match(workerName) || [];
      if (index && !(latest.get(+index)?.number > +number)) latest.set(+index, { ...a, number: +number });
    }
    const cells = Array.from({ length: stage.tasks }, (_, i) => {
      const a = latest.get(i);
      const runs = a && a.state === "RUNNING";
      const words = `worker ${i}: ` + (!a ? "waits for a place" : `${a.state.toLowerCase()} on ${a.executor}, attempt ${a.number + 1}, for ${duration(lasted(a))}`) +
        (a && a.error ? `, ${a.error.split("\n", 1)[0]}` : "");
      const heat = runs ? (a.number > 0 ? 4 : 2) : a ? 5 : 0;
      return { heat, words, name: `${i}${a && a.number > 0 ? `·${a.number + 1}` : ""}${a && !runs ? "!" : ""}` };
    });
    const wrong = stage.failed + stage.lost;
    return section("Workers", h("p", { class: "note" },
      `${count(stage.running)} of ${plural(stage.tasks, "worker")} at work${wrong ? `, ${plural(wrong, "attempt")} failed or lost so far` : ""}.`), strip(cells));
  }

  // workersPart draws each worker as a cell whose colour is how long the others waited for it.
  function workersPart() {
    const workers = final(job) && job.result && job.result.workers;
    if (!workers || !workers.length) return null;
    const longest = Math.max(...workers.map((w) => w.compute), 1e-9);
    const cells = workers.map((w) => {
      const late = Math.min(4, Math.floor((5 * w.compute) / longest));
      const words = `worker ${w.index}: computed ${duration(w.compute * 1000)}, waited ${duration(w.wait * 1000)}` +
        (w.missing ? `, missing ${count(w.missing)} times` : "") + (w.late ? `, ${duration(w.late * 1000)} after the median` : "");
      return { heat: w.missing ? 5 : late, words, name: `${w.index}${w.missing ? "!" : ""}` };
    });
    return section("Workers, the busiest darkest", strip(cells));
  }

  const toggle = (name, on, set) =>
    h("button", { type: "button", "data-key": name, "aria-pressed": String(on), onclick: () => { set(!on); draw(); } }, name);

  return { element, show };
}
