// A fleet: how long it has, what it costs, which machines it is.
import { h, fill, json } from "./dom.js";
import { watch } from "./fleet.js";
import { duration, plural, time } from "./format.js";
import { stateMark, table } from "./parts.js";

const usd = (n) => `$${n.toFixed(2)}`;

// left is how long there is until a moment; past ones are over.
function left(moment, after) {
  const ms = new Date(moment) - Date.now();
  return ms > 0 ? `${duration(Math.ceil(ms / 1000) * 1000)}${after}` : "its time is over";
}

export function fleetPage(main) {
  const countdown = h("dd", { class: "big countdown" });
  const idle = h("dd", { class: "idle" });
  const facts = h("dl", { class: "facts" });
  const machines = h("div");
  const told = h("span", { class: "note", role: "status" });
  const hours = h("select", { id: "hours" }, [1, 2, 4, 12, 24].map((n) => h("option", { value: n }, `${n} h from now`)));
  const extend = h("form", { class: "extend" }, h("label", { for: "hours" }, "Let it end "), hours, " ", h("button", {}, "Extend"), " ", told);
  extend.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      draw(await json("/v1/fleet/extend", {
        method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ seconds: 3600 * hours.value }),
      }));
      fill(told, "Done.");
    } catch (error) {
      fill(told, error.message);
    }
  });
  const all = [facts, extend, machines];
  let fleet = null;

  function tick() {
    if (!fleet) return;
    fill(countdown, fleet.expires ? left(fleet.expires, "") : "never");
    if (!fleet.idleSeconds) return fill(idle, "never");
    const most = fleet.idleSeconds * 1000;
    fill(idle, fleet.idleSince ? `in ${left(new Date(fleet.idleSince).getTime() + most, "")} if no job comes` : `${duration(most)} after the last job`);
  }

  function draw(answer) {
    fleet = answer;
    const fact = (name, value) => h("div", {}, h("dt", {}, name), value instanceof Element ? value : h("dd", {}, value));
    const paid = fleet.pricesOf ? [h("span", { class: "big" }, usd(fleet.usd)), ` at ${usd(fleet.usdHourly)} an hour`] : "nothing";
    fill(facts,
      fact("Removes itself in", countdown),
      fact("That is at", fleet.expires ? time(fleet.expires) : "–"),
      fact("Cost so far", paid),
      fact("For want of jobs it ends", idle),
      fact("It is", `${plural(fleet.servers, "server")} and ${plural(fleet.workers, "worker")}, ${fleet.provider} ${fleet.region ?? ""}`),
      fact("State", fleet.phase));
    const rows = fleet.machines.map((m) => [m.id, m.role, stateMark(m.state), m.type ?? "", m.address ?? "", m.spot ? "yes" : ""]);
    fill(machines, rows.length > 0 && table("machines named", ["Machine", "Role", "State", "Type", "Address", "Spot"], rows));
    tick();
    return all;
  }

  const end = watch(main, "Fleet", async () => {
    const answer = draw(await json("/v1/fleet"));
    main.querySelector("h1").textContent = `Fleet ${fleet.name}`;
    return answer;
  }, 10_000);
  const clock = setInterval(tick, 1000);
  return () => {
    clearInterval(clock);
    end();
  };
}
