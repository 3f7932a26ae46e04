// The logs of a job. A place in its page shows one: /jobs/{id}#log=map-3.0
import { h, fill, ask, json } from "./dom.js";
import { bytes } from "./format.js";

const mark = "#log=";
const seen = 256 * 1024; // bytes of a log's end that are shown first
const every = 1000; // ms between two looks at the log that is shown

// logLink leads to a log of the job whose page it is on.
export const logLink = (name, words) => h("a", { "data-key": name, href: mark + encodeURIComponent(name) }, words);

export function logPart(id) {
  const base = `/v1/jobs/${encodeURIComponent(id)}/logs`;
  const text = h("pre", { class: "log wide", tabindex: 0, hidden: true });
  const note = h("p", { class: "note", role: "status" });
  const names = h("div", { class: "names" });
  let timer;
  let shown = null;
  let turn = 0; // which log was opened last: others are not followed any more, also if they have the same name

  // all is the logs that there are at the moment.
  async function all() {
    const logs = [];
    for (let next = ""; ; ) {
      const page = await json(`${base}?limit=10000${next && `&after=${encodeURIComponent(next)}`}`);
      logs.push(...page.logs);
      next = page.next || "";
      if (!next) return logs;
    }
  }

  async function list() {
    fill(names, (await all()).map((f) =>
      h("button", { type: "button", "data-key": f.name, "aria-pressed": String(f.name === shown), onclick: () => { location.hash = mark + encodeURIComponent(f.name); } },
        f.name, h("small", {}, ` ${bytes(f.bytes)}`))));
  }

  async function open(name) {
    clearTimeout(timer);
    const mine = ++turn;
    shown = name;
    element.open = true;
    text.hidden = false;
    text.setAttribute("aria-label", `Log ${name}`);
    fill(text);
    fill(note, `Log ${name}`);
    list().catch(() => {}); // asked again with the next log
    let offset = null;
    const follow = async () => {
      try {
        if (offset === null) {
          const file = (await all()).find((f) => f.name === name);
          offset = Math.max(0, (file ? file.bytes : 0) - seen);
          if (turn === mine && offset > 0) fill(note, `Log ${name}, from byte ${offset} on`);
        }
        const part = await ask(`${base}/${encodeURIComponent(name)}?offset=${offset}`);
        const more = await part.text();
        if (turn !== mine) return;
        offset = Number(part.headers.get("Runner-Next"));
        const atEnd = text.scrollTop + text.clientHeight >= text.scrollHeight - 4;
        text.append(more);
        if (atEnd) text.scrollTop = text.scrollHeight;
      } catch (error) {
        if (turn === mine && error.status === 404) return fill(note, error.message);
      } // else it is asked again
      if (turn === mine) timer = setTimeout(follow, every);
    };
    await follow();
    if (turn === mine) text.scrollIntoView({ block: "nearest" });
  }

  const follows = () => {
    if (location.hash.startsWith(mark)) open(decodeURIComponent(location.hash.slice(mark.length)));
  };
  addEventListener("hashchange", follows);
  const element = h("details", { class: "files logs", ontoggle: () => element.open && list().catch(() => {}) },
    h("summary", {}, "Logs"), names, note, text);
  follows();
  return {
    element,
    all,
    end() {
      removeEventListener("hashchange", follows);
      clearTimeout(timer);
      turn++;
    },
  };
}
