// One job.
import { h, fill, section, ask, json } from "./dom.js";
import { bytes, rate, count, dollars, duration, final, plural, short, time, took, word } from "./format.js";
import { facts, stageBar, stateMark, table } from "./parts.js";
import { logLink, logPart } from "./logs.js";
import { outputPart } from "./output.js";
import { lasted, pace, timeline } from "./timeline.js";
import { trainingPart } from "./training.js";

const most = 20000; // attempts that are drawn
const refresh = 2000; // ms between two looks at the attempts of a running job
const patience = 5; // looks at attempts that should be there

export function jobPage(main, id) {
  document.title = `${short(id)} · Runner`;
  const head = h("div");
  const stages = h("div", { class: "stages" });
  const proof = h("div");
  const attempts = h("div");
  const used = h("div");
  const counters = h("div");
  const logs = logPart(id);
  const spec = h("div");
  const training = trainingPart(id);
  fill(main, head, stages, training.element, proof, used, attempts, outputPart(id), logs.element, counters, spec);

  let ended = false;
  let timer; // of the next look at the attempts
  let looking = false;
  let seen = false; // all attempts of a job that is over
  let empty = 0; // looks at a job that was over, and had no attempts
  let job = null;
  const picture = timeline();

  // look draws the attempts now and then, until it has begun when the job was over. There is one look at a time, so that
  // none draws what an earlier one has seen.
  async function look() {
    clearTimeout(timer);
    if (looking || seen) return;
    looking = true;
    const last = over(job);
    // What a job did is written a moment after how it ended. One that ended before it did anything has nothing to wait for.
    await attemptsOf().then((any) => { seen = last && (any || ++empty > patience); }, () => {}); // else the next look sees them
    looking = false;
    if (!ended && !seen) timer = setTimeout(look, over(job) && !last ? 0 : refresh);
  }

  async function attemptsOf() {
    json(`/v1/jobs/${encodeURIComponent(id)}/usage`).then((u) => ended || fill(used, usagePart(u))).catch(() => {}); // the next look asks again
    const said = logs.all().catch(() => []); // without them attempts lead nowhere
    const all = [];
    for (let total = 1; all.length < Math.min(total, most); ) {
      const page = await json(`/v1/jobs/${encodeURIComponent(id)}/attempts?after=${all.length}&limit=10000`);
      total = page.total;
      if (!page.attempts.length) break;
      all.push(...page.attempts);
    }
    const names = (await said).map((f) => f.name);
    if (ended || !all.length) return false;
    picture.draw(all, job);
    fill(attempts, section("Who ran what, and when", picture.element), section("Tasks, the oddest first", ...odd(all, names)));
    return true;
  }

  function draw() {
    document.title = `${word(job)} ${short(job.job)} · Runner`;
    fill(head, headPart(job, kill));
    const cores = job.kind === "mapreduce" ? (job.executors || []).reduce((n, e) => n + e.cores, 0) : 0;
    fill(stages, (job.stages || []).map((s) => stageBar(s, cores)));
    fill(proof, resultPart(job), skewPart(job.result && job.result.skew));
    fill(counters, countersPart(job.counters || {}));
    if (job.kind === "guagua") training.show(job);
    if (over(job) || !timer) look();
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

  let events;
  let again; // a try to follow the job
  function follow() {
    events = new EventSource(`/v1/jobs/${encodeURIComponent(id)}/events`);
    events.addEventListener("job", (event) => {
      job = JSON.parse(event.data);
      draw();
    });
    events.addEventListener("end", () => events.close());
    events.addEventListener("error", lost);
  }

  // lost goes on when the stream of events has broken off. The browser connects again by itself, but for the last time if
  // it is refused then, as while one control follows another.
  async function lost() {
    if (ended || job && events.readyState !== EventSource.CLOSED) return;
    events.close();
    if (!job) {
      const error = await json(`/v1/jobs/${encodeURIComponent(id)}`).then(() => null, (e) => e);
      if (error) fill(head, h("p", { class: "error", role: "alert" }, error.message));
      if (error && error.status < 500 && error.status !== 429) {
        fill(main, head); // there is nothing more to tell
        return;
      }
    }
    if (!ended) again = setTimeout(follow, refresh);
  }

  follow();
  ask(`/v1/jobs/${encodeURIComponent(id)}/spec.yaml`)
    .then((answer) => answer.text())
    .then((text) => ended || fill(spec, section("Configuration, to run it again", h("pre", { class: "wide" }, text))))
    .catch(() => {}); // told above
  return () => {
    ended = true;
    clearTimeout(timer);
    clearTimeout(again);
    events.close();
    logs.end();
  };
}

// over says whether nothing changes any more.
const over = (job) => final(job) || job.interrupted;

function headPart(job, kill) {
  const ms = took(job);
  const running = !over(job);
  const wrong = job.stages ? job.stages.reduce((n, s) => n + s.failed + s.lost, 0) : 0;
  return [
    h(
      "div",
      { class: "title" },
      h("h1", {}, job.job),
      stateMark(word(job)),
      running && h("button", { type: "button", class: "danger", "data-key": "kill", onclick: kill }, "Kill"),
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
      ["Output", (job.output || "–").replace(/^file:\/\//, ""), true],
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

const coreSeconds = (n) => n.toLocaleString("en-US", { minimumFractionDigits: 1, maximumFractionDigits: n < 1 ? 3 : 1 });

// usagePart tells what the job has used, and what each part of it costs where somebody pays.
function usagePart(used) {
  const cost = (usd) => (used.price ? `, ${usd > 0 ? dollars(usd) : "free"}` : "");
  const price = used.price || {};
  return section(used.price ? "Cost" : "Used",
    facts([
      used.price && ["Together", h("span", { class: "big" }, `about ${dollars(used.usd)}`)],
      ["Cores", `${coreSeconds(used.coreSeconds)} core-seconds${cost(price.machines)}`],
      used.requests > 0 && ["Asked of buckets", plural(used.requests, "request") + cost(price.requests)],
      used.requests > 0 && ["Read from buckets", bytes(used.bytesRead) + cost(0)],
      used.requests > 0 && ["Written to buckets", bytes(used.bytesWritten) + cost(0)],
      used.bytesShuffled > 0 && ["Shuffled", bytes(used.bytesShuffled) + cost(price.moved)],
    ].filter(Boolean)),
    used.price && h("p", { class: "note" }, `By prices of ${used.pricesOf}, with its share of the fleet.`),
  );
}

// words is what an attempt has said. Of one that did not succeed silence is told, too.
const words = (a) => a.error || a.status || (["SUCCEEDED", "RUNNING"].includes(a.state) ? "" : "It said nothing.");

// odd lists attempts: what went wrong first, then the slowest of each stage beside the median. Those whose names are
// among the logs (on a fleet with a machine behind them) lead there.
function odd(all, logs) {
  const logOf = new Map(logs.map((name) => [name.split("@")[0], name]));
  const ratio = pace(all);
  const rank = (a) => ["FAILED", "LOST", "KILLED", "RUNNING", "SUCCEEDED"].indexOf(a.state);
  const shown = all.toSorted((a, b) => rank(a) - rank(b) || ratio(b) - ratio(a)).slice(0, 30);
  const heads = ["Attempt", "State", "Took", "Beside others", "Executor", "What it said"];
  const rows = shown.map((a) => {
    const log = logOf.get(a.id);
    const beside = ratio(a) ? `${ratio(a).toFixed(1)}× median` : "–";
    return [log ? logLink(log, a.id) : a.id, stateMark(a.state), duration(lasted(a)), beside, a.executor, words(a)];
  });
  return [
    table("tasks", heads, rows, 5),
    all.length > shown.length && h("p", { class: "note" }, `${count(all.length - shown.length)} more were as usual.`),
  ];
}

function countersPart(groups) {
  const names = Object.keys(groups).sort();
  if (!names.length) return null;
  return section("Counters", names.map((group) =>
    h(
      "details",
      { open: !group.startsWith("org.apache."), "data-key": group },
      h("summary", { "data-key": `${group} ` }, group.split(".").pop()),
      facts(Object.entries(groups[group]).sort().map(([name, n]) => [name, count(n)])),
    )));
}
