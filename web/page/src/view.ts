// What the page shows: one picture of a run, whether it is recorded, kept or at work. Every part of the page is drawn from it.

import type { Drawn } from "cream-web";
import type { SessionInfo } from "./protocol";
import { pairsOf, type Accuracy, type Method, type PromptReport, type Report, type StepReport } from "./report";

export type StageName = "sft" | "sample" | "score" | "rank" | "train" | "measure" | "load";

/** What is being done right now. */
export interface Now { method: Method; stage: StageName; iteration: number; done: number; total: number; unit: string; /** Tokens a second. */ rate: number | null; /** Seconds, of this stage. */ left: number | null }

export interface View {
  origin: "recorded" | "live" | "saved";
  session: SessionInfo | null;
  methods: Method[];
  rounds: number;
  reports: Partial<Record<Method, Report>>;
  accuracy: Accuracy[];
  now: Now | null;
  /** The completions of the prompt that is being answered, as far as they are. */
  drawing: { id: string; prompt: string; texts: string[] } | null;
  /** A prompt of the visitor's, judged. */
  yours: { round: number; prompt: PromptReport } | null;
  notes: string[];
}

/** What of it is looked at; null follows the run. */
export interface Chosen { method: Method; round: number | null; prompt: string | null; yours: boolean }

export const emptyView = (origin: View["origin"]): View => ({ origin, session: null, methods: ["cream"], rounds: 0, reports: {}, accuracy: [], now: null, drawing: null, yours: null, notes: [] });

/** The round that is looked at: the chosen one, or the last whose ranking is done. */
export function roundOf(report: Report | undefined, round: number | null): StepReport | undefined {
  const ranked = report?.iterations.filter((step) => step.round) ?? [];
  return ranked.find((step) => step.iteration === round) ?? ranked[ranked.length - 1];
}

/** The prompt that is looked at: the chosen one, or the one that shows best what a ranking is. */
export function promptOf(step: StepReport | undefined, id: string | null): PromptReport | undefined {
  const shown = step?.round?.shown ?? [];
  return shown.find((prompt) => prompt.id === id) ?? telling(shown);
}

/** Five different answers that the two models order differently, but not at random, and that make a pair. */
function telling(shown: PromptReport[]): PromptReport | undefined {
  const worth = (prompt: PromptReport) => {
    const different = new Set(prompt.completions).size / prompt.completions.length;
    const agreement = prompt.agreement ?? -1;
    return 2 * different + (prompt.chosen !== null ? 1 : 0) - Math.abs(agreement - 0.4);
  };
  return shown.reduce<PromptReport | undefined>((best, prompt) => (best && worth(best) >= worth(prompt) ? best : prompt), undefined);
}

export const isFinished = (step: StepReport): boolean => step.summary !== null;
export const consistencyOf = (step: StepReport | undefined): number | null => pairsOf(step)?.mean_consistency ?? null;

/** Puts texts as they are drawn into the picture: the prompt that changed last is the one that is shown. */
export function withDrawn(view: View, drawn: Drawn[], prompts: Map<string, string>, count: number): void {
  for (const { id, completion, text } of drawn) {
    if (view.drawing?.id !== id) {
      // Many prompts are answered at once: stay with one until it is done.
      if (view.drawing && view.drawing.texts.some((text) => text === "")) continue;
      view.drawing = { id, prompt: prompts.get(id) ?? id, texts: Array.from({ length: count }, () => "") };
    }
    view.drawing.texts[completion] = text;
  }
}
