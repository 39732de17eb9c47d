// The centre of the page: one prompt, its answers, two rankings as columns with lines that cross, and what C makes of them.

import { at, fixed, letter, make, percent, plural, say, short, svg } from "../dom";
import { currentModel, formerModel, orderedAlike, pairsOf, ranksOf, setting, symbolOf, type PromptReport, type Report, type StepReport } from "../report";

/** Height of a row and the gap to the next, as in the style sheet. */
const [ROW, GAP] = [46, 8];

export interface Shown { report: Report; step: StepReport; prompt: PromptReport; yours: boolean }

let drawn = "";

/** Two rankings of one prompt. */
export function showRanking(shown: Shown): void {
  const { report, step, prompt, yours } = shown;
  const key = JSON.stringify([step.iteration, prompt, step.summary?.pairs ?? null, report.settings.length, yours]);
  if (key === drawn) return;
  drawn = key;
  say(at("prompt-text"), prompt.prompt);
  const [then, now] = yours ? [step.iteration, step.iteration + 1].map((n) => `M${n - 1}`) as [string, string] : [formerModel(report, step.iteration), currentModel(report, step.iteration)];
  const alone = prompt.previous_rewards.every((reward) => reward == null);
  const kind = (i: number) => roleOf(prompt, i);
  const [left, right] = [orderBy(alone ? prompt.rewards.map(() => null) : prompt.previous_rewards), orderBy(prompt.rewards)];
  at("columns").replaceChildren(
    column(`${then}, its former self`, left, (i) => row(prompt, i, prompt.previous_rewards[i]!, kind(i), false)),
    crossing(shown, left, right, alone),
    column(`${now}, as it is now`, right, (i) => row(prompt, i, prompt.rewards[i]!, kind(i), true)),
  );
  at("sentence").replaceChildren(...words(shown, alone));
}

/** Answers as they are being written, before anything is ranked. */
export function showDrawing(prompt: string, texts: string[], [then, now]: [string, string], sentence: string): void {
  const key = JSON.stringify([prompt, texts, now, sentence]);
  if (key === drawn) return;
  drawn = key;
  say(at("prompt-text"), prompt);
  const all = texts.map((_, i) => i);
  const blank = () => make("li", { class: "answer blank" });
  const written = (i: number) => make("li", { class: "answer other" }, make("b", { class: "letter" }, letter(i)), make("span", { class: "said" }, texts[i] || "…"));
  at("columns").replaceChildren(column(then, all, blank), make("div", { class: "between" }), column(now, all, written));
  say(at("sentence"), sentence);
}

export function showNothing(sentence: string): void {
  drawn = "";
  say(at("prompt-text"), "");
  at("columns").replaceChildren();
  say(at("sentence"), sentence);
}

export type Role = "chosen" | "rejected" | "other";

/** Equal texts are one answer to the pair; the first of them carries the mark. */
function roleOf(prompt: PromptReport, i: number): Role {
  const text = prompt.completions[i];
  if (prompt.chosen === null || prompt.completions.indexOf(text!) !== i) return "other";
  return text === prompt.chosen ? "chosen" : text === prompt.rejected ? "rejected" : "other";
}

/** Completions, best first; those without a reward last. */
function orderBy(rewards: (number | null)[]): number[] {
  return rewards.map((_, i) => i).sort((a, b) => (rewards[b] ?? -Infinity) - (rewards[a] ?? -Infinity) || a - b);
}

function column(heading: string, order: number[], item: (i: number) => HTMLLIElement): HTMLElement {
  return make("div", { class: "column" }, make("h3", {}, heading), make("ol", { class: "answers-list" }, ...order.map(item)));
}

function row(prompt: PromptReport, i: number, reward: number | null, kind: Role, tagged: boolean): HTMLLIElement {
  const text = prompt.completions[i] || "(empty)";
  const tag = tagged && kind !== "other" ? make("span", { class: `tag ${kind}` }, kind) : null;
  return make("li", { class: `answer ${kind}`, title: text },
    make("b", { class: "letter" }, letter(i)), make("span", { class: "said" }, text), tag, make("span", { class: "reward", title: "reward" }, short(reward)));
}

function crossing({ report, step, prompt, yours }: Shown, left: number[], right: number[], alone: boolean): HTMLElement {
  const height = prompt.rewards.length * (ROW + GAP) - GAP;
  const middle = (place: number) => place * (ROW + GAP) + ROW / 2;
  const drawing = svg("svg", { viewBox: `0 0 100 ${height}`, height, preserveAspectRatio: "none", role: "img", "aria-label": spoken(prompt) });
  const order = ["other", "rejected", "chosen"];
  const lines = prompt.rewards.map((_, i) => ({ i, kind: roleOf(prompt, i) })).sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind));
  for (const { i, kind } of alone ? [] : lines) {
    const [from, to] = [middle(left.indexOf(i)), middle(right.indexOf(i))];
    drawing.append(svg("path", { d: `M0 ${from}C50 ${from} 50 ${to} 100 ${to}`, class: `line ${kind}` }));
  }
  const symbol = symbolOf(String(setting(report, "pair.consistency") ?? "kendall"));
  const own = weightOf(report, prompt, step);
  const heading = make("h3", { class: "agreement" }, alone ? "no former self" : `${symbol}\u00a0${fixed(prompt.agreement)}`);
  if (!alone && own.c !== null && !yours) heading.append(" ", make("b", {}, `C\u00a0${fixed(own.c)}`));
  return make("div", { class: "between" }, heading, drawing);
}

function spoken(prompt: PromptReport): string {
  const [then, now] = [ranksOf(prompt.previous_rewards), ranksOf(prompt.rewards)];
  return prompt.completions.map((_, i) => `${letter(i)}: ${then[i] ?? "no rank"} before, ${now[i] ?? "no rank"} now`).join("; ");
}

export interface Weight { /** The prompt's own. */ own: number | null; /** What its pair counts with. */ c: number | null; from: "mean" | "own" | "fixed" | "off" | "none" }

/** The consistency of a pair, by the level of the settings. */
export function weightOf(report: Report, prompt: PromptReport, step: StepReport): Weight {
  const level = String(setting(report, "pair.level") ?? "mean");
  const own = prompt.agreement === null ? null : (prompt.agreement + 1) / 2;
  if (level === "off") return { own, c: 1, from: "off" };
  if (level.startsWith("fixed")) return { own, c: Number(level.split(":")[1]), from: "fixed" };
  if (prompt.previous_rewards.every((reward) => reward == null)) return { own, c: 1, from: "none" };
  const mean = pairsOf(step)?.mean_consistency ?? step.metrics.find((row) => row.consistency !== undefined)?.consistency ?? null;
  return level === "per-prompt" ? { own, c: own, from: "own" } : { own, c: mean, from: "mean" };
}

function words({ report, step, prompt, yours }: Shown, alone: boolean): (Node | string)[] {
  if (alone) return ["In this round there is no former self yet, so nothing is compared: the pair counts in full."];
  if (prompt.agreement === null) return ["One of the two tells no two of these answers apart: there is nothing to agree on."];
  const measure = String(setting(report, "pair.consistency") ?? "kendall");
  const symbol = symbolOf(measure);
  const { alike, crossed, tied, pairs } = orderedAlike(prompt);
  const counted = `Of ${plural(pairs, "pair")} of answers the two order ${alike} alike and ${crossed} the other way round${crossed ? ", where lines cross" : ""}${tied ? `; ${tied} ${tied === 1 ? "is" : "are"} tied` : ""}.`;
  const tau = measure === "kendall" ? ` ${symbol} = (${alike} − ${crossed}) / ${pairs} = ${fixed(prompt.agreement)}.`.replace(/(?<=.) /g, "\u00a0") : ` They agree with ${symbol} = ${fixed(prompt.agreement)}.`;
  const { own, c, from } = weightOf(report, prompt, step);
  const list: (Node | string)[] = [counted, tau];
  if (yours) list.push(` Consistency (${symbol} + 1) / 2 = ${fixed(own)}.`);
  else if (from === "mean" && c !== null) list.push(` On a scale from 0 to 1 that is ${fixed(own)}; the mean over all pairs of the round, `, make("b", {}, `C\u00a0=\u00a0${fixed(c)}`), ", is how much each pair counts.");
  else if (from === "mean") list.push(` On a scale from 0 to 1 that is ${fixed(own)}; the mean over all pairs of the round will be C.`);
  else if (from === "own") list.push(" So this pair counts with ", make("b", {}, `C = (${symbol} + 1) / 2 = ${fixed(c)}`), ".");
  else if (from === "off") list.push(" Plain self-rewarding does not ask: every pair counts in full, ", make("b", {}, "C = 1"), ".");
  return list;
}

/** What the pair teaches. */
export function showLesson(shown: Shown | null): void {
  const place = at("lesson");
  const prompt = shown?.prompt;
  place.hidden = !shown;
  if (!shown || !prompt) return;
  if (prompt.chosen === null || prompt.rejected === null) {
    place.replaceChildren(make("h3", {}, "What the pair teaches"), make("p", { class: "note" }, "These answers make no pair, so the model learns nothing from this prompt: two answers with different rewards are needed, and one that came to an end."));
    return;
  }
  const { c } = weightOf(shown.report, prompt, shown.step);
  const side = (kind: Role, text: string) => make("div", { class: `side ${kind}` }, make("span", { class: `tag ${kind}` }, kind), make("p", { class: "whole" }, text || "(empty)"));
  const weight = c === null || shown.yours ? null : make("div", { class: "weight" },
    make("meter", { min: "0", max: "1", value: String(c), "aria-label": "Weight of the pair" }),
    make("p", { class: "note" }, lesson(c)));
  const heading = shown.yours ? "What this pair would teach" : "What the pair teaches";
  place.replaceChildren(make("h3", {}, heading), make("div", { class: "sides" }, side("chosen", prompt.chosen), side("rejected", prompt.rejected)), ...(weight ? [weight] : []));
}

function lesson(c: number): string {
  if (c >= 1) return "The model learns to say the chosen rather than the rejected answer, with full weight.";
  const turned = c < 0.5 ? " C is below one half: the pair is turned round, and the model unlearns its own preference." : "";
  return `With weight ${percent(c)} the model learns to say the chosen rather than the rejected answer, and with ${percent(1 - c)} the reverse: the less the two agree, the less it moves.${turned}`;
}
