// A fleet: how its machines are divided, who waits, and the machines themselves.
import { h, fill, json, ask } from "./dom.js";
import { bytes, count, plural, short } from "./format.js";
import { stateMark, table } from "./parts.js";

const every = 2000; // ms between two looks

// watch draws a page again and again, and returns what ends that. Who has no token yet is asked for one. What draw
// returns again stays where it is.
export function watch(main, title, draw, pause = every) {
  document.title = `${title} · Runner`;
  const note = h("p", { class: "note", role: "status" });
  const body = h("div");
  fill(main, h("h1", {}, title), note, body);
  let timer;
  let ended = false;
  let last = null;
  async function look() {
    try {
      const drawn = await draw();
      if (ended) return;
      fill(note);
      if (drawn !== last) fill(body, drawn);
      last = drawn;
    } catch (error) {
      if (ended) return;
      if (error.status === 401) {
        last = null;
        return signIn(body, look);
      }
      fill(note, `The fleet can't be asked at the moment: ${error.message}`);
    }
    if (!ended) timer = setTimeout(look, pause);
  }
  look();
  return () => {
    ended = true;
    clearTimeout(timer);
  };
}

// signIn asks for a token, which the server keeps in a cookie that no script can read.
function signIn(body, then) {
  const token = h("input", { type: "password", id: "token", autocomplete: "off", required: true });
  const wrong = h("p", { class: "note", role: "alert" });
  const form = h("form", {}, h("label", { for: "token" }, "Token ", token), " ", h("button", {}, "Sign in"), wrong);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await ask("/v1/session", { method: "POST", headers: { Authorization: `Bearer ${token.value}` } });
      then();
    } catch (error) {
      fill(wrong, error.message);
    }
  });
  fill(body, h("p", {}, "`runner token create NAME` makes one."), form);
}

const percent = (share) => `${Math.round(100 * share)}%`;

export function queuesPage(main) {
  return watch(main, "Queues", async () => {
    const [fleet, list] = await Promise.all([json("/v1/cluster"), json("/v1/queues")]);
    const depth = {};
    const rows = [];
    for (const q of list.queues) {
      depth[q.name] = q.parent ? depth[q.parent] + 1 : 0;
      if (!q.parent) continue; // all of it
      const used = h("meter", { min: 0, max: 1, value: q.used, title: `${percent(q.used)} of all machines` });
      rows.push([
        "\u2003".repeat(depth[q.name] - 1) + q.name, [used, " ", percent(q.used)], percent(q.share), percent(q.max),
        count(q.running), count(q.waiting), q.wanted ? `${q.executors} (${q.wanted} more wanted)` : count(q.executors),
      ]);
    }
    const jobs = list.jobs.map((j) => [
      h("a", { "data-key": j.job, href: `/jobs/${encodeURIComponent(j.job)}` }, short(j.job)), j.queue, j.user || "–",
      j.running ? "runs" : "waits", `${j.executors} of ${j.wanted}`, j.waits || "",
    ]);
    return [
      h("p", {}, `${fleet.name}: ${plural(fleet.nodes, "machine")}, ${plural(fleet.running, "job")} running, ` +
        `${fleet.waiting} waiting. ${fleet.leader} leads.`),
      table("queues named", ["Queue", "Used", "Share", "At most", "Running", "Waiting", "Executors"], rows),
      jobs.length > 0 && h("h2", {}, "Jobs"),
      jobs.length > 0 && table("queued named", ["Job", "Queue", "User", "State", "Executors", "Waits for"], jobs, 5),
    ];
  });
}

export function nodesPage(main) {
  return watch(main, "Machines", async () => {
    const { nodes } = await json("/v1/nodes");
    const rows = nodes.map((n) => [
      n.name, stateMark(n.state), n.address,
      [h("meter", { min: 0, max: n.total.cores || 1, value: n.used.cores }), ` ${n.used.cores} of ${n.total.cores}`],
      [h("meter", { min: 0, max: n.total.memory || 1, value: n.used.memory }),
        ` ${bytes(n.used.memory)} of ${bytes(n.total.memory)}`],
      count(n.executors),
    ]);
    return table("nodes named", ["Machine", "State", "Address", "Cores", "Memory", "Executors"], rows);
  });
}
