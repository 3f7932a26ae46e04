// Which page is shown. A page is a function of the place it is drawn into; it returns what ends it.
import { h, fill } from "./dom.js";
import { jobsPage } from "./jobs.js";
import { jobPage } from "./job.js";
import { schedulesPage } from "./schedules.js";
import { queuesPage, nodesPage } from "./fleet.js";
import { fleetPage } from "./lifetime.js";
import { filesPage } from "./files.js";
import { functionsPage, functionPage } from "./functions.js";

const main = document.getElementById("main");
let end = () => {};
let at = null; // the path that is shown, and what of it

// shows says whether a link of the header is to what is shown, or to the list that it is in.
function shows(link) {
  const list = location.pathname.startsWith("/jobs/") ? "/" : "/" + location.pathname.split("/")[1];
  return link.pathname === list;
}

function show() {
  const here = location.pathname + location.search;
  if (here === at) return; // a place in the page, as "To the page" is
  at = here;
  for (const link of document.querySelectorAll("header a")) {
    if (shows(link)) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  end();
  end = () => {};
  const job = location.pathname.match(/^\/jobs\/([^/]+)$/);
  const fn = location.pathname.match(/^\/functions\/([^/]+)$/);
  fill(main);
  if (job) end = jobPage(main, decodeURIComponent(job[1]));
  else if (location.pathname === "/") end = jobsPage(main);
  else if (location.pathname === "/schedules") end = schedulesPage(main);
  else if (location.pathname === "/queues") end = queuesPage(main);
  else if (location.pathname === "/nodes") end = nodesPage(main);
  else if (location.pathname === "/fleet") end = fleetPage(main);
  else if (location.pathname === "/files") end = filesPage(main);
  else if (fn) end = functionPage(main, decodeURIComponent(fn[1]));
  else if (location.pathname === "/functions") end = functionsPage(main);
  else fill(main, h("p", {}, "There is no such page. ", h("a", { href: "/" }, "All jobs")));
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='/']");
  if (!link || link.hasAttribute("download") || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  history.pushState(null, "", link.href);
  show();
  main.focus({ preventScroll: true });
  scrollTo(0, 0);
});
addEventListener("popstate", show);
show();
