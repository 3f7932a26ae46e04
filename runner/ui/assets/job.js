// One job.
import { h, fill, section, ask, json } from "./dom.js";
import { bytes, rate, count, duration, final, plural, short, time, took, word } from "./format.js";
import { facts, stageBar, stateMark } from "./parts.js";
import { outputPart } from "./output.js";
import { lasted, pace, timeline } from "./timeline.js";
import { trainingPart } from "./training.js";

const most = 20000; // attempts that are drawn
const refresh = 2000; // ms between two looks at the attempts of a running job

export function jobPage(main, id) {
  document.title = `${short(id)} · Runner`;
  const head = h("div");
  const stages = h("div", { class: "stages" });
  const proof = h("div");
  const attempts = h("div");
  const counters = h("div");
  const logs = logPart(id);
  const spec = h("div");
  const training = trainingPart(id);
  fill(main, head, stages, training.element, proof, attempts, outputPart(id), logs.element, counters, spec);

  let ended = false;
  let looked = 0;
  let job = null;
  const picture = timeline();

  async function attemptsOf(now) {
    if (Date.now() - looked < refresh && !now) return;
    looked = Date.now();
    const all = [];
    for (let total = 1; all.length < Math.min(total, most); ) {
      const page = await json(`/v1/jobs/${encodeURIComponent(id)}/attempts?after=${all.length}&limit=10000`);
      total = page.total;
      if (!page.attempts.length) break;
      all.push(...page.attempts);
    }
    if (ended || !all.length) return;
    picture.draw(all, job);
    fill(attempts, section("Who ran what, and when", picture.element), section("Tasks, the oddest first", odd(all)));
  }

  function draw() {
    document.title = `${word(job)} ${short(job.job)} · Runner`;
    fill(head, headPart(job, kill));
    const cores = job.kind === "mapreduce" ? (job.executors || []).reduce((n, e) => n + e.cores, 0) : 0;
    fill(stages, (job.stages || []).map((s) => stageBar(s, cores)));
    fill(proof, resultPart(job), skewPart(job.result && job.result.skew));
    fill(counters, countersPart(job.counters || {}));
    if (job.kind === "guagua") training.show(job);
    attemptsOf(final(job)).catch(() => {}); // the next event asks again
  }

  async function kill() {
    if (!confirm(`Kill job ${short(id)}? What it has done so far is lost.`)) return;
    try {
      const body = JSON.stringify({ reason: "killed from the web page" });
      const headers = { "Content-Type": "application/json" };
      await ask(`/v1/jobs/${encodeURIComponent(id)}/kill`, { method: "POST", headers, body });
    } catch (error) {
      fail(error);
    }
  }

  function fail(error) {
    head.prepend(h("p", { class: "error", role: "alert" }, error.message));
  }

  const events = new EventSource(`/v1/jobs/${encodeURIComponent(id)}/events`);
  events.addEventListener("job", (event) => {
    job = JSON.parse(event.data);
    draw();
  });
  events.addEventListener("end", () => events.close());
  events.addEventListener("error", async () => {
    if (job) return; // the browser connects again
    events.close();
    await json(`/v1/jobs/${encodeURIComponent(id)}`).catch(fail);
  });
  ask(`/v1/jobs/${encodeURIComponent(id)}/spec.yaml`)
    .then((answer) => answer.text())
    .then((text) => ended || fill(spec, section("Configuration, to run it again", h("pre", { class: "wide" }, text))))
    .catch(() => {}); // told above
  return () => {
    ended = true;
    events.close();
    logs.end();
  };
}

function headPart(job, kill) {
  const ms = took(job);
  const running = !final(job) && !job.interrupted;
  const wrong = job.stages ? job.stages.reduce((n, s) => n + s.failed + s.lost, 0) : 0;
  return [
    h(
      "div",
      { class: "title" },
      h("h1", {}, job.job),
      stateMark(word(job)),
      running && h("button", { type: "button", class: "danger", onclick: kill }, "Kill"),
    ),
    job.message && messagePart(job),
    job.interrupted && h("p", { class: "note" }, `It was cut off; finished tasks are kept. To go on: runner resume ${short(job.job)}`),
    facts([
      ["Took", ms === null ? "–" : duration(ms)],
      ["Submitted", time(job.submitted)],
      ["Kind", job.kind],
      ["Application masters", count(job.masters)],
      ["Executors", count((job.executors || []).length)],
      ["Tried again", plural(wrong, "attempt")],
      ["Output", (job.output || "–").replace(/^file:\/\//, "")],
    ]),
  ];
}

// messagePart is what is said about the job, and below it what a program of the user's has said.
function messagePart(job) {
  const [first, ...rest] = job.message.split("\n");
  const name = final(job) && job.state !== "SUCCEEDED" ? "error" : "note";
  return [h("p", { class: name }, first), rest.length > 0 && h("pre", { class: "wide error" }, rest.join("\n"))];
}

// resultPart says what a committed MapReduce job has proved.
function resultPart(job) {
  const t = job.result && job.result.totals;
  if (!t) return null;
  const ms = took(job);
  return section(
    "Proof",
    facts([
      ["Read", bytes(t.bytesRead)],
      ["Speed", rate(t.bytesRead, ms) || "–"],
      ["Shuffled", bytes(t.segmentBytes || 0)],
      ["Written", bytes(t.outputBytes)],
      ["Splits read once", `${count(t.splitsRead)} of ${count(t.splitsPlanned)}`],
      ["Records out of maps", count(t.segmentRecords || 0)],
      ["Records into reduces", count(t.reduceInputRecords || 0)],
      ["Records written", count(t.outputRecords)],
    ]),
  );
}

// skewPart draws what the fullest reduces got beside what one gets on average.
function skewPart(skew) {
  if (!skew || !skew.mean || !skew.largest) return null;
  const most = Math.max(...skew.largest.map((r) => r.records), skew.mean);
  const bar = (name, records, words) => h("div", { class: "bar" }, h("span", {}, name),
    h("progress", { max: most, value: records, "aria-label": `${name}: ${plural(records, "record")}` }), h("span", { class: "note" }, words));
  return section("Skew, the fullest reduces first",
    skew.largest.map((r) => bar(r.task, r.records, `${plural(r.records, "record")}, ${(r.records / skew.mean).toFixed(1)}× the mean`)),
    bar("mean", skew.mean, plural(skew.mean, "record")));
}

// odd lists attempts: what went wrong first, then the slowest of each stage beside the median.
function odd(all) {
  const ratio = pace(all);
  const rank = (a) => ["FAILED", "LOST", "KILLED", "RUNNING", "SUCCEEDED"].indexOf(a.state);
  const shown = all.toSorted((a, b) => rank(a) - rank(b) || ratio(b) - ratio(a)).slice(0, 30);
  const heads = ["Attempt", "State", "Took", "Beside others", "Executor", "What it said"];
  return h(
    "div",
    { class: "wide" },
    h(
      "table",
      { class: "tasks cards" },
      h("thead", {}, h("tr", {}, heads.map((t) => h("th", { scope: "col" }, t)))),
      h("tbody", {}, shown.map((a) => {
        const beside = ratio(a) ? `${ratio(a).toFixed(1)}× median` : "–";
        const cells = [a.id, stateMark(a.state), duration(lasted(a)), beside, a.executor, a.error || a.status || ""];
        return h("tr", {}, cells.map((c, i) => h("td", { class: i === 5 ? "text" : null }, c)));
      })),
    ),
    all.length > shown.length && h("p", { class: "note" }, `${count(all.length - shown.length)} more were as usual.`),
  );
}

function countersPart(groups) {
  const names = Object.keys(groups).sort();
  if (!names.length) return null;
  return section("Counters", names.map((group) =>
    h(
      "details",
      { open: !group.startsWith("org.apache.") },
      h("summary", {}, group.split(".").pop()),
      facts(Object.entries(groups[group]).sort().map(([name, n]) => [name, count(n)])),
    )));
}

// logPart lists the logs and shows one of them, its end first seen, as it grows.
function logPart(id) {
  const base = `/v1/jobs/${encodeURIComponent(id)}/logs`;
  const text = h("pre", { class: "log wide", tabindex: 0, hidden: true, "aria-label": "Log" });
  const names = h("div", { class: "names" });
  let timer;
  let shown = null;

  async function list() {
    const all = (await json(base)).logs;
    fill(names, all.map((f) =>
      h("button", { type: "button", "aria-pressed": f.name === shown ? "true" : "false", onclick: () => open(f) },
        f.name, h("small", {}, ` ${bytes(f.bytes)}`))));
  }

  async function open(file) {
    clearTimeout(timer);
    shown = file.name;
    text.hidden = false;
    fill(text);
    let offset = Math.max(0, file.bytes - 256 * 1024);
    const follow = async () => {
      const mine = file.name;
      try {
        const part = await ask(`${base}/${encodeURIComponent(mine)}?offset=${offset}`);
        const more = await part.text();
        if (shown !== mine) return;
        offset = Number(part.headers.get("Runner-Next"));
        const atEnd = text.scrollTop + text.clientHeight >= text.scrollHeight - 4;
        text.append(more);
        if (atEnd) text.scrollTop = text.scrollHeight;
      } catch {
        // it is asked again
      }
      timer = setTimeout(follow, 1000);
    };
    follow();
    list().catch(() => {});
  }

  const element = h("details", { class: "files logs", ontoggle: () => element.open && list().catch(() => {}) },
    h("summary", {}, "Logs"), names, text);
  return { element, end: () => { clearTimeout(timer); shown = null; } };
}
