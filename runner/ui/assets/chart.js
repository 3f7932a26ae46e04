// Curves and stacked areas over a common x axis.
import { h } from "./dom.js";
import { count } from "./format.js";

const margin = { left: 74, right: 12, top: 10, bottom: 26 };
const most = 1200; // points that are drawn

// thin keeps every n-th row, and the last.
export function thin(rows) {
  const step = Math.ceil(rows.length / most);
  return rows.filter((_, i) => i % step === 0 || i === rows.length - 1);
}

const number = (v) => (v !== 0 && (Math.abs(v) < 1e-3 || Math.abs(v) >= 1e5) ? v.toExponential(1) : String(+v.toPrecision(4)));

// ceiling is up to where stacked sums are drawn, so that one peak does not make all others flat.
function ceiling(sums) {
  const sorted = sums.toSorted((a, b) => a - b);
  return Math.min(sorted[sorted.length - 1], 1.5 * sorted[Math.floor(0.9 * (sorted.length - 1))] || Infinity);
}

// chart draws layers [{name, values}] over xs. Stacked layers lie on one another and are filled, their highest peaks cut off and told; others are lines. A
// logarithmic chart leaves out what has no logarithm.
export function chart({ width, height, xs, layers, xLabel, unit = "", stacked = false, log = false }) {
  const sums = xs.map(() => 0);
  const drawn = layers.map((layer) => {
    const low = stacked ? [...sums] : null;
    const high = layer.values.map((v, i) => (stacked ? (sums[i] += v) : v));
    return { name: layer.name, low, high };
  });
  const usable = (v) => Number.isFinite(v) && (!log || v > 0);
  const all = drawn.flatMap((l) => l.high).filter(usable);
  const svg = h("svg", { width, height, role: "img", "aria-label": `${layers.map((l) => l.name).join(", ")} by ${xLabel}` });
  if (!all.length) return svg;
  const scale = log ? Math.log10 : (v) => v;
  let [low, high] = [Math.min(...all), Math.max(...all)].map(scale);
  if (stacked) [low, high] = [0, ceiling(sums)];
  if (low === high) [low, high] = [low - 1, high + 1];
  const [first, last] = [xs[0], Math.max(xs[xs.length - 1], xs[0] + 1e-9)];
  const x = (v) => margin.left + ((v - first) / (last - first)) * (width - margin.left - margin.right);
  const y = (v) => height - margin.bottom - ((Math.min(scale(v), high) - low) / (high - low)) * (height - margin.top - margin.bottom);
  for (let i = 0; i <= 4; i++) {
    const v = low + ((high - low) * i) / 4;
    const at = log ? 10 ** v : v;
    svg.append(
      h("line", { class: "grid", x1: margin.left, x2: width - margin.right, y1: y(at), y2: y(at) }),
      h("text", { x: margin.left - 6, y: y(at) + 4, "text-anchor": "end" }, number(at) + unit),
    );
  }
  for (const [v, anchor] of [[first, "start"], [last, "end"]]) {
    svg.append(h("text", { x: x(v), y: height - 8, "text-anchor": anchor }, Number.isInteger(v) ? count(v) : number(v)));
  }
  svg.append(h("text", { x: (width + margin.left) / 2, y: height - 8, "text-anchor": "middle" }, xLabel));
  drawn.forEach((layer, n) => {
    const points = xs.map((v, i) => [x(v), layer.high[i]]).filter(([, v]) => usable(v)).map(([at, v]) => `${at.toFixed(1)},${y(v).toFixed(1)}`);
    const floor = stacked ? xs.map((v, i) => `${x(v).toFixed(1)},${y(layer.low[i]).toFixed(1)}`).reverse() : [];
    const d = `M${[...points, ...floor].join("L")}${stacked ? "Z" : ""}`;
    svg.append(h("path", { d, class: `${stacked ? "area" : "curve"} layer${n}` }, h("title", {}, layer.name)));
  });
  if (stacked) svg.append(...peaks(xs.map((v, i) => ({ at: v, sum: sums[i] })).filter((p) => p.sum > high), x, unit));
  return svg;
}

// peaks marks what is higher than the chart, and tells how high the highest is.
function peaks(cut, x, unit) {
  if (!cut.length) return [];
  const highest = cut.reduce((a, b) => (b.sum > a.sum ? b : a));
  const right = x(highest.at) > margin.left + 150; // where there is room for words on its left
  return [
    ...cut.map((p) => h("path", { class: "peak", d: `M${x(p.at) - 4},${margin.top}h8l-4,-7Z` }, h("title", {}, `${number(p.at)}: ${number(p.sum)}${unit}`))),
    h("text", { class: "peak", x: x(highest.at) + (right ? -8 : 8), y: margin.top + 2, "text-anchor": right ? "end" : "start" }, `up to ${number(highest.sum)}${unit}`),
  ];
}
