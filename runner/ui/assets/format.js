// Numbers as the terminal writes them.

const units = ["KB", "MB", "GB", "TB", "PB", "EB"];

function scale(v) {
  let i = 0;
  for (v /= 1000; v >= 999.95 && i < units.length - 1; i++) v /= 1000;
  return [v, units[i]];
}

export function bytes(n) {
  if (n < 1000) return `${n} B`;
  const [v, unit] = scale(n);
  return `${v.toFixed(1)} ${unit}`;
}

export function rate(n, ms) {
  if (ms <= 0 || n <= 0) return "";
  const perSecond = (n * 1000) / ms;
  if (perSecond < 1000) return `${perSecond.toFixed(0)} B/s`;
  const [v, unit] = scale(perSecond);
  return `${v < 9.95 ? v.toFixed(1) : v.toFixed(0)} ${unit}/s`;
}

const two = (n) => String(n).padStart(2, "0");

export function duration(ms) {
  if (ms < 0) return "0 ms";
  if (ms < 95) return `${Math.round(ms)} ms`;
  if (ms < 59950) return `${(ms / 1000).toFixed(1)} s`;
  const s = Math.round(ms / 1000);
  if (s < 3600) return `${Math.floor(s / 60)}m${two(s % 60)}s`;
  if (s < 86400) return `${Math.floor(s / 3600)}h${two(Math.floor(s / 60) % 60)}m`;
  return `${Math.floor(s / 86400)}d${two(Math.floor(s / 3600) % 24)}h`;
}

export const count = (n) => Number(n).toLocaleString("en-US");
export const plural = (n, noun) => (n === 1 ? `1 ${noun}` : `${count(n)} ${noun}s`);

// dollars is an amount of which two digits count, or all whole ones.
export const dollars = (usd) => `$${usd >= 10 ? count(usd.toFixed(0)) : +usd.toPrecision(2)}`;

// time is a moment as short as people need it.
export function time(text) {
  const at = new Date(text);
  const age = Date.now() - at;
  if (age < 86400e3) return at.toLocaleTimeString("en-GB");
  return at.toLocaleDateString("en-GB", { day: "numeric", month: "short", year: age < 300 * 86400e3 ? undefined : "numeric" });
}

// short is the part of a job's id that people type.
export const short = (id) => id.split("-")[0];

// word is a job's state as people read it.
export const word = (job) => (job.interrupted ? "INTERRUPTED" : job.state);

export const final = (job) => ["SUCCEEDED", "FAILED", "KILLED"].includes(job.state);

// took is how long a job has taken, in milliseconds; null if it is not known.
export function took(job) {
  if (!job.started) return null;
  if (job.ended) return new Date(job.ended) - new Date(job.started);
  return job.interrupted ? null : Date.now() - new Date(job.started);
}
