// What is being done: the stages of a round, how far, how fast, how long still.

import { at, duration, make, percent, say, whole } from "../dom";
import type { Now, StageName, View } from "../view";

const STAGES: [StageName, string, string][] = [
  ["sft", "Imitate", "learns from a few given answers"],
  ["sample", "Answer", "answers every prompt several times"],
  ["score", "Judge", "finds out how likely each answer is to it, to its former self and to the first model"],
  ["rank", "Compare", "ranks its answers and compares with its former self's ranking"],
  ["train", "Learn", "learns from the best against the worst"],
  ["measure", "Test", "answers questions that nobody trained on"],
];

export function showProgress(view: View): void {
  const { now } = view;
  const list = at("stages");
  if (!list.children.length) list.replaceChildren(...STAGES.map(([, name]) => make("li", {}, name)));
  const finished = !now && view.session?.finished === true;
  const active = STAGES.findIndex(([stage]) => stage === now?.stage);
  [...list.children].forEach((item, i) => {
    item.classList.toggle("past", active > i || finished);
    // By way of the object model: the page's policy refuses styles in attributes.
    if (i === active) (item as HTMLElement).style.setProperty("--share", String(now && now.total > 0 ? now.done / now.total : 0));
    if (i === active) item.setAttribute("aria-current", "step");
    else item.removeAttribute("aria-current");
  });
  const bar = at<HTMLProgressElement>("progress");
  bar.value = now && now.total > 0 ? now.done / now.total : 0;
  bar.hidden = !now;
  say(at("where"), where(view));
  say(at("pace"), now ? pace(now) : "");
  const stage = STAGES[active];
  if (now && stage) say(at("spoken"), `${now.method}, ${now.iteration === 0 ? "before the first round" : `round ${now.iteration}`}: the model ${stage[2]}.`);
}

function where({ now, rounds, session, origin }: View): string {
  if (now?.stage === "load") return "Loading";
  if (now) return `${now.iteration === 0 ? "Before round 1" : `Round ${now.iteration} of ${rounds}`} · ${now.method}`;
  if (origin === "recorded") return `${rounds} rounds`;
  return session?.finished ? "Finished" : session ? "Paused" : "";
}

function pace({ stage, done, total, unit, rate, left }: Now): string {
  if (stage === "load") return total ? `${percent(done / total)} ${unit}` : unit;
  if (stage === "measure") return unit;
  const facts = [`${whole(done)} of ${whole(total)} ${unit}`];
  if (rate) facts.push(`${whole(rate)} tokens/s`);
  if (left !== null && left > 1) facts.push(`about ${duration(left)} left in this stage`);
  return facts.join(" · ");
}

/** Speed by what was done since a stage began, as the engine's updates come in. */
export class Pace {
  private key = "";
  private begun = { at: 0, done: 0, tokens: 0 };

  of(key: string, at: number, done: number, total: number, tokens: number): { rate: number | null; left: number | null } {
    if (key !== this.key) {
      this.key = key;
      this.begun = { at, done, tokens };
      return { rate: null, left: null };
    }
    const seconds = (at - this.begun.at) / 1000;
    const units = done - this.begun.done;
    return { rate: seconds > 0.3 ? (tokens - this.begun.tokens) / seconds : null, left: seconds > 0.5 && units > 0 ? ((total - done) * seconds) / units : null };
  }
}
