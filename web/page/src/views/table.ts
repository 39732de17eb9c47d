// The rounds of all methods in numbers, and what the run says of itself.

import { at, fill, fixed, make, percent, short, whole } from "../dom";
import { pairsOf, setting, symbolOf, type Method, type StepReport } from "../report";
import type { View } from "../view";

interface Row { method: Method; step: StepReport }

let last = "";

export function showTable(view: View): void {
  const rows: Row[] = view.methods.flatMap((method) => (view.reports[method]?.iterations ?? []).filter((step) => step.iteration > 0).map((step) => ({ method, step })));
  rows.sort((a, b) => a.step.iteration - b.step.iteration);
  const key = JSON.stringify([rows.map(({ method, step }) => [method, step.iteration, step.metrics.length, step.summary]), view.accuracy, view.notes]);
  if (key === last) return;
  last = key;
  const symbol = symbolOf(String(setting(Object.values(view.reports)[0], "pair.consistency") ?? "kendall"));
  const right = ({ method, step }: Row) => view.accuracy.find((row) => row.method === method && row.model === step.iteration + 1);
  const span = (first: number | null | undefined, end: number | null | undefined) => (end == null ? "–" : `${short(first)} → ${short(end)}`);
  at("rounds-table").closest("div")!.hidden = !rows.length;
  fill(at<HTMLTableElement>("rounds-table"), [
    ["round", ({ step }: Row) => step.iteration, "text"],
    ["method", ({ method }) => make("span", { class: `of-${method}` }, method), "text"],
    ["makes", ({ step }) => `M${step.iteration + 1}`, "text"],
    ["pairs / prompts", ({ step }) => (pairsOf(step) ? `${whole(pairsOf(step)!.pairs)} / ${whole(pairsOf(step)!.prompts)}` : "–")],
    [symbol, ({ step }) => fixed(pairsOf(step)?.mean_tau)],
    ["C", ({ step, method }) => (method === "srlm" ? "1" : fixed(pairsOf(step)?.mean_consistency))],
    ["loss", ({ step }) => span(step.summary?.training.first_loss, step.summary?.training.last_loss)],
    ["margin", ({ step }) => span(step.summary?.training.first_margin, step.summary?.training.last_margin)],
    ["right, greedy", (row) => percent(right(row)?.greedy)],
    ["sampled", (row) => percent(right(row)?.sampled)],
  ], rows);
  at("notes").replaceChildren(...view.notes.slice(-6).map((note) => make("li", {}, note)));
}
