// What runs by the clock: when it fires next, and what has become of its slots.
import { h, fill, json } from "./dom.js";
import { short } from "./format.js";
import { again, stateMark, table } from "./parts.js";

const every = 5000; // ms between two looks
const shown = 5; // firings of each schedule

export function schedulesPage(main) {
  document.title = "Schedules · Runner";
  const note = h("p", { class: "note", role: "status" });
  const list = h("div");
  fill(main, h("h1", {}, "Schedules"), note, list);
  const page = again(note, "The schedules", every, async (late) => {
    const { schedules } = await json("/v1/schedules");
    if (late()) return "";
    fill(list, schedules.map((s) => schedule(s, change)));
    return schedules.length ? "" : "No schedules yet. See: runner help schedule";
  });

  async function change(name, what) {
    try {
      await json(`/v1/schedules/${encodeURIComponent(name)}/${what}`, { method: "POST" });
      await page.round();
    } catch (error) {
      fill(note, error.message);
    }
  }

  return page.end;
}

// zoned is a moment as clocks show it where the schedule is.
const zoned = (text, zone) =>
  new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short", timeZone: zone }).format(new Date(text));

function schedule(s, change) {
  const button = (what, word) =>
    h("button", { type: "button", "data-key": `${s.name} ${what}`, onclick: () => change(s.name, what) }, word);
  const rules = [`overlap ${s.overlap}`, `catch-up ${s.catchUp}`, s.jitterSeconds > 0 && `jitter ${s.jitterSeconds} s`];
  const next = s.paused ? "paused" : s.next.length ? `next ${zoned(s.next[0], s.zone)}` : "never again";
  const later = s.paused ? [] : s.next.slice(1);
  return h("section", { class: "schedule" },
    h("h2", {}, s.name, " ", h("small", {}, next)),
    h("p", {}, h("code", {}, `${s.cron} ${s.zone}`), " · ", rules.filter(Boolean).join(", ")),
    later.length > 0 && h("p", { class: "note" }, "Then ", later.map((t) => zoned(t, s.zone)).join(" · ")),
    h("p", {}, h("code", {}, `runner ${s.runs}`)),
    h("p", {}, button("trigger", "Run now"), " ", s.paused ? button("resume", "Resume") : button("pause", "Pause")),
    s.firings.length > 0 && table("firings", ["Slot", "State", "Job", "Why"],
      s.firings.slice(0, shown).map((f) => firing(f, s.zone)), 3));
}

function firing(f, zone) {
  return [
    (f.trigger ? "asked for " : "") + zoned(f.slot, zone),
    stateMark(f.state),
    f.id ? (f.jobs || [f.id]).flatMap((id) => [h("a", { "data-key": id, href: `/jobs/${encodeURIComponent(id)}` }, short(id)), " "]) : "–",
    f.message || "",
  ];
}
