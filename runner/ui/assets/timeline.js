// The timeline of a job: a row for each place of an executor, a block for each attempt.
import { h, fill } from "./dom.js";
import { duration } from "./format.js";

const rowHeight = 18;
const left = 110; // for the names
const maxRows = 200;
const slow = 3; // times the median is a straggler

export function timeline() {
  const detail = h("p", { class: "note", role: "status" }, "Point at a block to see what it is. Drag to look closer. Or use the arrow keys, Enter and Escape.");
  const canvas = h("div", { class: "timeline", tabindex: 0, "data-key": "timeline", role: "group", "aria-label": "Timeline of attempts", onkeydown: byKey });
  const reset = h("button", { type: "button", hidden: true, onclick: () => look(null) }, "Whole job");
  const element = h("div", {}, canvas, h("div", { class: "below" }, detail, reset, legend()));
  let all = [];
  let painted = 0; // the width for which it was drawn
  let range = null; // [from, to] in ms since the epoch; null: everything
  let chosen = null; // the id of the attempt that was last told of

  // byKey goes from attempt to attempt in the order in which they started.
  function byKey(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1, Enter: 0, Escape: 0 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    if (event.key === "Escape") return look(null);
    const order = all.toSorted((a, b) => start(a) - start(b));
    const i = order.findIndex((a) => a.id === chosen);
    const next = order[Math.min(Math.max(i + step, 0), order.length - 1)];
    if (!next) return;
    chosen = next.id;
    if (event.key === "Enter") return look([start(next), Math.max(end(next), start(next) + 1)]);
    fill(detail, wordsOf(next, pace(all)));
    paint();
  }

  function look(next) {
    range = next;
    reset.hidden = !range;
    paint();
  }

  function paint() {
    painted = canvas.clientWidth;
    const width = Math.max(painted, 320);
    const rows = lanes(all);
    const beside = pace(all);
    const times = all.flatMap((a) => [start(a), end(a)]);
    const whole = [times.reduce((m, t) => Math.min(m, t), Infinity), times.reduce((m, t) => Math.max(m, t), 0)];
    const [from, to] = range || [whole[0], Math.max(whole[1], whole[0] + 1)];
    const x = (t) => left + ((t - from) / (to - from)) * (width - left - 8);
    const height = rows.length * rowHeight + 24;
    const svg = h("svg", { width, height, role: "img", "aria-label": `${all.length} attempts on ${rows.length} places` });
    svg.append(hatch());
    const marks = width < 600 ? 3 : 5;
    const label = (ms) => (to - from < 2000 ? `${Math.round(ms)} ms` : duration(ms)); // so that no two are the same
    for (let i = 0; i <= marks; i++) {
      const t = from + ((to - from) * i) / marks;
      const anchor = i === 0 ? "start" : i === marks ? "end" : "middle";
      svg.append(
        h("line", { x1: x(t), x2: x(t), y1: 0, y2: rows.length * rowHeight, class: "grid" }),
        h("text", { x: x(t), y: height - 6, "text-anchor": anchor }, label(t - whole[0])),
      );
    }
    rows.forEach((row, i) => {
      svg.append(h("text", { x: 0, y: i * rowHeight + 13 }, row.name));
      for (const a of row.attempts) {
        const x1 = Math.max(x(start(a)), left);
        const x2 = Math.min(x(end(a)), width - 8);
        if (x2 < left || x1 > width - 8) continue;
        const words = wordsOf(a, beside);
        const tell = () => fill(detail, words);
        svg.append(h("rect", {
          x: x1, y: i * rowHeight + 2, width: Math.max(x2 - x1 - 0.5, 1.5), height: rowHeight - 4, rx: 2,
          class: `block ${a.state.toLowerCase()} ${a.id.startsWith("map") || a.id.startsWith("worker") ? "first" : "second"}${straggles(a, beside) ? " slow" : ""}${a.id === chosen ? " chosen" : ""}`,
          onmouseenter: tell,
        }, h("title", {}, words)));
      }
    });
    drag(svg, (px) => from + ((px - left) / (width - left - 8)) * (to - from), look);
    fill(canvas, svg);
  }

  new ResizeObserver(() => requestAnimationFrame(() => {
    if (all.length && canvas.clientWidth !== painted) paint();
  })).observe(canvas);
  return {
    element,
    draw(attempts) {
      all = attempts;
      if (canvas.isConnected) paint(); // else as soon as it has a size
    },
  };
}

const start = (a) => +new Date(a.start);
const end = (a) => (a.end ? +new Date(a.end) : Date.now());
const stageOf = (a) => a.id.slice(0, a.id.lastIndexOf("-"));

// lasted is how long an attempt has taken so far, in ms.
export const lasted = (a) => end(a) - start(a);

// pace returns what tells how many times the median of its stage an attempt has taken; 0 before the first has succeeded.
export function pace(all) {
  const medians = new Map();
  for (const [stage, list] of Map.groupBy(all.filter((a) => a.state === "SUCCEEDED"), stageOf)) {
    const times = list.map(lasted).sort((a, b) => a - b);
    medians.set(stage, Math.max(times[Math.floor(times.length / 2)], 1));
  }
  return (a) => (medians.has(stageOf(a)) ? lasted(a) / medians.get(stageOf(a)) : 0);
}

const straggles = (a, beside) => beside(a) >= slow && lasted(a) >= 1000; // shorter ones delay nobody

// wordsOf tells of an attempt in a line.
function wordsOf(a, beside) {
  const slower = straggles(a, beside) ? `, ${beside(a).toFixed(1)}× the median` : "";
  return [a.id, a.state, duration(lasted(a)) + slower, a.executor, a.error && a.error.split("\n", 1)[0]].filter(Boolean).join("  ");
}

// lanes gives each attempt a place of its executor where nothing else ran at the time.
function lanes(all) {
  const rows = [];
  for (const [executor, list] of Map.groupBy(all, (a) => a.executor)) {
    const places = [];
    for (const a of list.toSorted((a, b) => start(a) - start(b))) {
      let place = places.find((p) => p.until <= start(a));
      if (!place) places.push((place = { attempts: [], until: 0 }));
      place.attempts.push(a);
      place.until = end(a);
    }
    places.forEach((p, i) => rows.push({ name: i === 0 ? executor : "", attempts: p.attempts }));
  }
  return rows.slice(0, maxRows);
}

// hatch is the pattern of attempts that did not count.
const hatch = () =>
  h("defs", {}, h("pattern", { id: "hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
    h("rect", { width: 6, height: 6, class: "ground" }), h("rect", { width: 2.5, height: 6, class: "stripe" })));

// drag lets people choose a range of time.
function drag(svg, toTime, look) {
  let from = null;
  const mark = h("rect", { class: "mark", y: 0, height: "100%", visibility: "hidden" });
  svg.append(mark);
  const at = (event) => event.clientX - svg.getBoundingClientRect().left;
  svg.addEventListener("pointerdown", (event) => { from = Math.max(at(event), left); });
  svg.addEventListener("pointermove", (event) => {
    if (from === null) return;
    mark.setAttribute("visibility", "visible");
    mark.setAttribute("x", Math.min(from, at(event)));
    mark.setAttribute("width", Math.abs(at(event) - from));
  });
  svg.addEventListener("pointerup", (event) => {
    if (from !== null && Math.abs(at(event) - from) > 5) look([from, at(event)].sort((a, b) => a - b).map(toTime));
    from = null;
    mark.setAttribute("visibility", "hidden");
  });
  svg.addEventListener("dblclick", () => look(null));
}

const legend = () =>
  h("ul", { class: "legend" }, ["succeeded", "running", "failed", "lost", "killed", "slow"].map((s) => h("li", { class: s }, s)));
