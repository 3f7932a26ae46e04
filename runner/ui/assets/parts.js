// Parts that several pages draw.
import { h, fill } from "./dom.js";
import { bytes, count, rate } from "./format.js";

// stateMark is a state as a coloured dot and its word.
export const stateMark = (state) => h("span", { class: `state ${state.toLowerCase()}` }, state);

// again calls look every so many ms, and when it is asked to, until the page is left. Of several looks at once the latest
// counts: it is told late() whether it is not that one. What it returns is noted.
export function again(note, what, every, look) {
  let timer;
  let turn = 0;
  let ended = false;
  async function round() {
    if (ended) return;
    clearTimeout(timer);
    const mine = ++turn;
    const late = () => ended || mine !== turn;
    let said;
    try {
      said = await look(late);
    } catch (error) {
      said = `${what} can't be read at the moment: ${error.message}`;
    }
    if (late()) return;
    fill(note, said || "");
    timer = setTimeout(round, every);
  }
  round();
  const end = () => {
    ended = true;
    clearTimeout(timer);
  };
  return { end, round };
}

// speed is how much a stage has read, how fast, and how fast each of its cores was, as the terminal tells it.
function speed(stage, cores) {
  if (!stage.worked || !stage.started) return "";
  const ms = (stage.ended ? new Date(stage.ended) : Date.now()) - new Date(stage.started);
  const fast = stage.worked >= 1e6; // of less it says how long starting takes
  const perCore = fast && cores > 1 && ms >= 1000 && rate(stage.worked / cores, ms);
  return [bytes(stage.worked), fast && rate(stage.worked, ms), perCore && `${perCore} per core`].filter(Boolean).join("   ");
}

// stageBar is the progress of a stage. Who says how many cores work on bytes is told how fast they do.
export function stageBar(stage, cores = 0) {
  const share = stage.weight ? stage.worked / stage.weight : stage.tasks ? stage.done / stage.tasks : 1;
  const done = stage.open ? "not planned" : `${count(stage.done)}/${count(stage.tasks)}`;
  return h(
    "div",
    { class: "stage" },
    h("span", { class: "name" }, stage.name),
    h("progress", { max: 1, value: stage.open ? 0 : Math.min(share, 1), "aria-label": `${stage.name}: ${done}` }),
    h("span", { class: "done" }, done),
    cores > 0 && h("span", { class: "speed note" }, speed(stage, cores)),
  );
}

// table has a row for each of rows, whose cells are in the order of heads. On a phone each row is a card, and each cell
// says which head it is below. The text column may take many lines.
export function table(kind, heads, rows, textColumn = -1) {
  const cell = (c, i) => h("td", { class: i === textColumn ? "text" : null, "data-head": heads[i] }, c);
  return h("div", { class: "wide" }, h("table", { class: `${kind} cards` },
    h("thead", {}, h("tr", {}, heads.map((t) => h("th", { scope: "col" }, t)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, row.map(cell))))));
}

// facts is a list of names and values, of which a long one gets a line of its own.
export const facts = (pairs) =>
  h("dl", { class: "facts" }, pairs.map(([name, value, long]) =>
    h("div", { class: long && "whole" }, h("dt", {}, name), h("dd", {}, value))));
