// Curves over the rounds, both methods in one picture, and how many prompts have which agreement.

import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { Metrics } from "cream-web";
import { at, fixed, make, short, signed, svg } from "../dom";
import { setting, symbolOf, type Method, type Report } from "../report";
import { roundOf, type Chosen, type View } from "../view";

interface Curve { title: string; note: string; key: keyof Metrics; range?: [number, number] }
const CURVES: Curve[] = [
  { title: "Loss", note: "on pairs, nats", key: "loss" },
  { title: "Margin", note: "chosen less rejected, β × nats", key: "rewards/margins" },
  { title: "Preferred", note: "pairs with a positive margin; none at a round's first step", key: "rewards/accuracies", range: [0, 1] },
  { title: "Consistency", note: "C as it weighs in the loss", key: "consistency", range: [0, 1] },
];
const HEIGHT = 190;

interface Chart { place: HTMLElement; plot: uPlot | null; last: string }
const charts = new Map<string, Chart>();

/** The charts one by one: each takes a while to draw. */
export const chartParts: ((view: View, chosen: Chosen) => void)[] = [accuracy, ...CURVES.map((curve) => (view: View) => steps(view, curve)), histogram];

export function placeCharts(): void {
  for (const title of ["Right answers", ...CURVES.map((curve) => curve.title), "Agreement"]) at("charts").append(figure(title));
}

/** All charts anew, in the colours of the theme. */
export function forgetCharts(): void {
  for (const chart of charts.values()) {
    chart.plot?.destroy();
    chart.plot = null;
    chart.last = "";
  }
}

addEventListener("resize", () => {
  for (const { plot, place } of charts.values()) plot?.setSize({ width: place.clientWidth, height: HEIGHT });
});

const slug = (title: string) => `chart-${title.toLowerCase().replace(/\W+/g, "-")}`;

function figure(title: string): HTMLElement {
  const place = make("div", { class: "plot", role: "img", "aria-label": title });
  charts.set(title, { place, plot: null, last: "" });
  return make("figure", { class: "card", id: slug(title) }, make("figcaption", {}, make("b", {}, title), " ", make("span", {})), place);
}

function caption(title: string, note: string): void {
  at(slug(title)).querySelector("span")!.textContent = note;
}

/** Where the steps of a report stand on an axis of rounds: round 1 from 0 to 1, and so on. */
function points(report: Report, key: keyof Metrics): [number[], (number | null)[]] {
  const epochs = Number(setting(report, "train.epochs") ?? 1);
  const rows = report.iterations.filter((step) => step.iteration > 0).flatMap((step) => step.metrics.map((row) => [step.iteration - 1 + Math.min(1, row.epoch / epochs), row[key] ?? null] as const));
  return [rows.map(([x]) => x), rows.map(([, y]) => y)];
}

function steps(view: View, { title, note, key, range }: Curve): void {
  const methods = inOrder(view);
  const lines = methods.map((method) => (view.reports[method] ? points(view.reports[method]!, key) : [[], []]) as [number[], (number | null)[]]);
  const rounds = Math.max(1, view.rounds);
  const axis = { label: "round", splits: () => Array.from({ length: rounds }, (_, i) => i + 0.5), values: (_: uPlot, splits: number[]) => splits.map((at) => String(Math.round(at + 0.5))) };
  draw(title, note, uPlot.join(lines.map(([x, y]) => [x, y])) as uPlot.AlignedData, view.methods, {
    x: [0, rounds], axis, dividers: rounds, ...(range ? { y: range } : {}), styles: methods.map((method) => ({ method, label: method, dash: false })),
  });
}

function accuracy(view: View): void {
  const models = Math.max(view.rounds + 1, ...view.accuracy.map((row) => row.model));
  const x = Array.from({ length: models + 1 }, (_, i) => i);
  const line = (method: Method, key: "greedy" | "sampled") => x.map((model) => view.accuracy.find((row) => row.method === method && row.model === model)?.[key] ?? null);
  const sampled = view.accuracy.some((row) => row.sampled !== null);
  const styles = inOrder(view).flatMap((method) => [{ method, label: method, dash: false }, ...(sampled ? [{ method, label: `${method}, sampled`, dash: true }] : [])]);
  const data = styles.map(({ method, dash }) => line(method, dash ? "sampled" : "greedy"));
  const n = view.accuracy[0]?.n;
  const note = n ? `to ${n} held-out questions${sampled ? "; dashed: sampled" : ""}` : "measured after each round, for the tiny model";
  at(slug("Right answers")).hidden = view.origin !== "recorded" && view.session !== null && view.session.source.kind !== "tiny";
  draw("Right answers", note, [x, ...data], view.methods, {
    x: [-0.3, models + 0.3], axis: { label: "model", splits: () => x, values: (_: uPlot, splits: number[]) => splits.map((at) => `M${at}`) }, points: true, styles,
  });
}

interface Options { x: [number, number]; y?: [number, number]; axis: Partial<uPlot.Axis>; styles: { method: Method; label: string; dash: boolean }[]; dividers?: number; points?: true }

function draw(title: string, note: string, data: uPlot.AlignedData, methods: Method[], { x, y, axis, styles, dividers, points }: Options): void {
  const chart = charts.get(title)!;
  caption(title, note);
  const key = JSON.stringify([data, methods, x]);
  if (key === chart.last) return;
  const shape = JSON.stringify([methods, x, styles]);
  const same = chart.plot && chart.place.dataset.shape === shape;
  chart.last = key;
  if (same) return chart.plot!.setData(data);
  chart.plot?.destroy();
  chart.place.dataset.shape = shape;
  const base = { stroke: color("--soft"), font: "12px system-ui, sans-serif", labelFont: "12px system-ui, sans-serif", ticks: { show: false }, labelSize: 16 };
  const lines = styles.map(({ method, label, dash }) => ({
    label, stroke: colorOf(method), width: 2, spanGaps: true, ...(dash ? { dash: [5, 4] } : {}), points: { show: (plot: uPlot, i: number) => points ?? isLonely(plot.data[i]!), size: 6, fill: colorOf(method) }, value: (_: uPlot, value: number | null) => short(value),
  }));
  chart.plot = new uPlot({
    width: chart.place.clientWidth || 320, height: HEIGHT, cursor: { drag: { x: false, y: false }, points: { size: 6 } }, legend: { show: false },
    scales: { x: { time: false, range: x }, y: y ? { range: [y[0] - 0.03, y[1] + 0.03] } : { range: (_, min, max) => room(min, max) } },
    axes: [{ ...base, size: 26, grid: { show: false }, ...axis }, { ...base, size: 46, grid: { stroke: color("--grid"), width: 1 }, values: (plot, splits) => splits.map((tick) => (isEmpty(plot) ? "" : signed(String(Number(tick.toPrecision(6)))))) }],
    series: [{}, ...lines],
    hooks: { drawAxes: [(plot) => dividers && divide(plot, dividers)] },
  }, data, chart.place);
}

const isEmpty = (plot: uPlot): boolean => (plot.data.slice(1) as (number | null)[][]).every((line) => line.every((value) => value == null));

/** A single point is seen only where points are. */
const isLonely = (line: uPlot.AlignedData[number]): boolean => [...line].filter((value) => value != null).length === 1;

/** A little room above and below, and some where all is one number. */
function room(min: number | null, max: number | null): [number, number] {
  if (min === null || max === null || !Number.isFinite(min) || !Number.isFinite(max)) return [0, 1];
  const pad = Math.max((max - min) * 0.1, Math.abs(max) * 0.02, 0.01);
  return [min - pad, max + pad];
}

/** A thin line between rounds. */
function divide(plot: uPlot, rounds: number): void {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.strokeStyle = color("--line");
  ctx.lineWidth = devicePixelRatio;
  for (let round = 0; round <= rounds; round++) {
    const x = Math.round(plot.valToPos(round, "x", true));
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
  }
  ctx.restore();
}

function histogram(view: View, chosen: Chosen): void {
  const chart = charts.get("Agreement")!;
  const report = view.reports[chosen.method];
  const step = roundOf(report, chosen.round);
  const counts = step?.round?.histogram ?? [];
  const symbol = symbolOf(String(setting(report, "pair.consistency") ?? "kendall"));
  const total = counts.reduce((sum, count) => sum + count, 0);
  const mean = counts.reduce((sum, count, i) => sum + count * (-1 + (2 * i) / (counts.length - 1)), 0) / total;
  caption("Agreement", total ? `${symbol} of each prompt, round ${step!.iteration}, ${chosen.method}; mean about ${fixed(mean)}` : "of the two rankings, prompt by prompt");
  const key = JSON.stringify([counts, chosen.method]);
  if (key === chart.last && chart.place.childElementCount) return;
  chart.last = key;
  const [width, high, foot] = [330, 150, 26];
  const most = Math.max(1, ...counts);
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${high + foot}`, class: "bars", role: "img", "aria-label": total ? `${counts.join(", ")} prompts from -1 to 1` : "nothing yet" });
  counts.forEach((count, i) => {
    const [wide, height] = [width / counts.length, (count / most) * (high - 18)];
    drawing.append(svg("rect", { x: i * wide + 3, y: high - height, width: wide - 6, height, rx: 2, class: chosen.method }));
    if (count) drawing.append(svg("text", { x: (i + 0.5) * wide, y: high - height - 4, class: "count" }, count));
    if (i % 5 === 0) drawing.append(svg("text", { x: (i + 0.5) * wide, y: high + 17 }, signed(String(-1 + (2 * i) / (counts.length - 1)))));
  });
  drawing.append(svg("line", { x1: 0, x2: width, y1: high + 0.5, y2: high + 0.5 }));
  chart.place.replaceChildren(drawing);
}

/** The first method is drawn last, over the others. */
const inOrder = (view: View): Method[] => [...view.methods].reverse();

const color = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const colorOf = (method: Method) => color(method === "cream" ? "--accent" : "--second");
