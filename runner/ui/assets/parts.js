// Parts that several pages draw.
import { h } from "./dom.js";
import { count } from "./format.js";

// stateMark is a state as a coloured dot and its word.
export const stateMark = (state) => h("span", { class: `state ${state.toLowerCase()}` }, state);

// stageBar is the progress of a stage.
export function stageBar(stage) {
  const share = stage.weight ? stage.worked / stage.weight : stage.tasks ? stage.done / stage.tasks : 0;
  const done = stage.open ? "not planned yet" : `${count(stage.done)}/${count(stage.tasks)}`;
  return h(
    "div",
    { class: "stage" },
    h("span", { class: "name" }, stage.name),
    h("progress", { max: 1, value: stage.open ? 0 : Math.min(share, 1), "aria-label": `${stage.name}: ${done}` }),
    h("span", { class: "done" }, done),
  );
}

// facts is a list of names and values.
export const facts = (pairs) =>
  h("dl", { class: "facts" }, pairs.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
