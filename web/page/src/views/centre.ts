// Which round and prompt the centre shows: what the run works on, or what the visitor chose.

import { at, make, plural, say } from "../dom";
import { currentModel, formerModel, type Method } from "../report";
import { promptOf, roundOf, type Chosen, type View } from "../view";
import { showDrawing, showLesson, showNothing, showRanking } from "./ranking";

const NAMES: Record<Method, string> = { cream: "cream", srlm: "plain" };
let options = "";

export function connectCentre(view: () => View, chosen: Chosen, draw: () => void): void {
  at("round-choice").addEventListener("change", () => {
    const value = at<HTMLSelectElement>("round-choice").value;
    chosen.round = value === "" ? null : Number(value);
    chosen.prompt = null;
    chosen.yours = false;
    draw();
  });
  at("method-choice").addEventListener("click", (event) => {
    const method = (event.target as HTMLElement).closest("button")?.dataset.method as Method | undefined;
    if (!method) return;
    chosen.method = method;
    chosen.yours = false;
    draw();
  });
  const move = (by: number) => () => {
    const step = roundOf(view().reports[chosen.method], chosen.round);
    const shown = step?.round?.shown ?? [];
    if (!step || !shown.length) return;
    const here = shown.findIndex((prompt) => prompt === promptOf(step, chosen.prompt));
    // To choose a prompt is to stay with its round.
    chosen.round = step.iteration;
    chosen.prompt = shown[(here + by + shown.length) % shown.length]!.id;
    chosen.yours = false;
    draw();
  };
  at("previous-prompt").addEventListener("click", move(-1));
  at("next-prompt").addEventListener("click", move(1));
}

export function showCentre(view: View, chosen: Chosen): void {
  if (view.now && chosen.round === null && view.now.stage !== "load") chosen.method = view.methods.length > 1 && view.origin === "recorded" ? view.methods[0]! : chosen.method;
  const report = view.reports[chosen.method];
  const step = roundOf(report, chosen.round);
  const prompt = promptOf(step, chosen.prompt);
  showChoices(view, chosen);
  const shown = step?.round?.shown ?? [];
  say(at("prompt-count"), prompt && !chosen.yours ? `prompt ${shown.indexOf(prompt) + 1} of ${shown.length}` : chosen.yours ? "your prompt" : "");
  at("centre").classList.toggle("choosing", chosen.round !== null || chosen.yours);
  if (chosen.yours && view.yours && report) {
    const yours = { report, step: { iteration: view.yours.round, seed: 0, summary: null, metrics: [], round: null }, prompt: view.yours.prompt, yours: true };
    showRanking(yours);
    return showLesson(yours);
  }
  const { now, drawing } = view;
  const following = chosen.round === null && chosen.prompt === null;
  if (following && drawing && now && now.method === chosen.method) {
    const [model, former] = report ? [currentModel(report, now.iteration), formerModel(report, now.iteration)] : [`M${now.iteration}`, `M${now.iteration - 1}`];
    showDrawing(drawing.prompt, drawing.texts, [`${former}, its former self`, `${model}, as it is now`], now.stage === "score" ? "How likely is each of them to the model, to its former self, and to the model it began as? That decides the two rankings." : `${model} answers ${plural(Math.round(now.total / Math.max(1, drawing.texts.length)), "prompt")}, ${drawing.texts.length} times each.`);
    return showLesson(null);
  }
  if (report && step && prompt) {
    const all = { report, step, prompt, yours: false };
    showRanking(all);
    return showLesson(all);
  }
  showNothing(now?.stage === "sft" ? "First the model imitates a few given answers: M0 becomes M1. Then it is left to itself." : now?.stage === "load" ? "The model is being loaded." : "Nothing is ranked yet.");
  showLesson(null);
}

function showChoices(view: View, chosen: Chosen): void {
  const rounds = view.reports[chosen.method]?.iterations.filter((step) => step.round).map((step) => step.iteration) ?? [];
  const key = JSON.stringify([view.methods, rounds, chosen.method, view.now !== null]);
  const select = at<HTMLSelectElement>("round-choice");
  if (key !== options) {
    options = key;
    const follow = view.now ? "latest" : "last";
    select.replaceChildren(make("option", { value: "" }, follow), ...rounds.map((round) => make("option", { value: String(round) }, String(round))));
    at("method-choice").replaceChildren(...view.methods.map((method) => make("button", { type: "button", "data-method": method, "aria-pressed": String(method === chosen.method) }, NAMES[method])));
    at("method-choice").hidden = view.methods.length < 2;
  }
  select.value = chosen.round === null || !rounds.includes(chosen.round) ? "" : String(chosen.round);
}
