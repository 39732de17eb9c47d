// What a run tells of itself, as the engine gives it: the keys of crates/cream/src/report.rs.

import type { Metrics, Summary } from "cream-web";

export type Method = "cream" | "srlm";
export const METHODS: readonly Method[] = ["cream", "srlm"];

export interface Report {
  inputs: Record<string, string>;
  /** Every setting, with the table before its key. */
  settings: [string, unknown][];
  /** Iterations begun; 0 is supervised. */
  iterations: StepReport[];
  timings: { model: string; stages: StageTime[] };
  most_prompts: number;
  longest_text: number;
}

export interface StageTime { stage: string; output: string; device: string; seconds: number; tokens: number; peak_bytes: number | null }

export interface StepReport {
  iteration: number;
  seed: number;
  /** None while it is under way. */
  summary: Summary | null;
  metrics: Metrics[];
  /** None in iteration 0, and before its ranking is done. */
  round: RoundReport | null;
}

export interface RoundReport {
  prompts: number;
  mean_tokens: number;
  /** How many prompts have which agreement, in equal parts of [-1, 1] with a middle at either end. */
  histogram: number[];
  /** Least consistent first. */
  shown: PromptReport[];
}

export interface PromptReport {
  id: string;
  rewards: (number | null)[];
  previous_rewards: (number | null)[];
  agreement: number | null;
  prompt: string;
  completions: string[];
  chosen: string | null;
  rejected: string | null;
}

/** What the pairs of a round are, where its ranking is done. */
export interface PairNumbers { prompts: number; pairs: number; cut: number; mean_tau: number | null; mean_consistency: number | null; notes: string[] }

/** The share of right answers on questions that nobody trained on. */
export interface Accuracy {
  method: Method;
  /** M0 as it comes, M1 after supervised fine-tuning, …. */
  model: number;
  n: number;
  greedy: number;
  sampled: number | null;
}

/** A run made by the program and shipped with the page (record.mjs). */
export interface Recorded {
  /** What made it, in words. */
  made: { command: string; model: string; parameters: number; prompts: number; questions: number; seed: number };
  reports: Partial<Record<Method, Report>>;
  accuracy: Accuracy[];
}

export const setting = (report: Report | undefined, key: string): unknown => report?.settings.find(([name]) => name === key)?.[1];
export const pairsOf = (step: StepReport | undefined): PairNumbers | null => (step?.summary?.pairs as PairNumbers | null | undefined) ?? null;
export const supervised = (report: Report): boolean => report.iterations.some((step) => step.iteration === 0);

/** The model that ranks in a round; without supervised fine-tuning the first one's is the initial model. */
export function currentModel(report: Report, round: number): string {
  return round === 1 && !supervised(report) ? "M0" : `M${round}`;
}

/** Its former self. */
export function formerModel(report: Report, round: number): string {
  return round <= 1 || (round === 2 && !supervised(report)) ? "M0" : `M${round - 1}`;
}

/** The letter that stands for an agreement. */
export function symbolOf(measure: string): string {
  return measure.startsWith("kendall") ? "τ" : measure.startsWith("spearman") ? "ρ" : "agreement";
}

/** Rank of each reward, 1 for the highest; equals share the mean of theirs, and what has no reward has no rank. */
export function ranksOf(rewards: (number | null)[]): (number | null)[] {
  return rewards.map((reward) => {
    if (reward == null) return null;
    const higher = rewards.filter((other) => other != null && other > reward).length;
    const equal = rewards.filter((other) => other === reward).length;
    return higher + (equal + 1) / 2;
  });
}

/** Of all pairs of completions: how many the two rankings order alike, how many the other way round, how many either ties. */
export function orderedAlike(prompt: PromptReport): { alike: number; crossed: number; tied: number; pairs: number } {
  const count = { alike: 0, crossed: 0, tied: 0, pairs: 0 };
  const { rewards: now, previous_rewards: then } = prompt;
  for (let i = 0; i < now.length; i++) {
    for (let j = i + 1; j < now.length; j++) {
      const [a, b, c, d] = [now[i], now[j], then[i], then[j]];
      if (a == null || b == null || c == null || d == null) continue;
      const sign = Math.sign(a - b) * Math.sign(c - d);
      count.pairs++;
      if (sign > 0) count.alike++;
      else if (sign < 0) count.crossed++;
      else count.tied++;
    }
  }
  return count;
}
