// A recorded run at any moment of it: the same reports that a live run gives, cut off where the run stood. The page plays it
// before anything is downloaded.

import type { Method, Report, StepReport } from "./report";
import type { StageName } from "./view";

/** Where a run stands: in a stage of an iteration, with a share of that stage done. */
export interface Moment { method: Method; iteration: number; stage: StageName; share: number }

interface Span { method: Method; iteration: number; stage: StageName; seconds: number }

/** How long each stage is shown; the run itself took seconds in all. */
const SECONDS: Partial<Record<StageName, number>> = { sft: 2.5, sample: 4.5, score: 2, rank: 3, train: 4 };
/** The method beside it does the same again: faster. */
const BESIDE = 0.35;

export function spans(reports: Partial<Record<Method, Report>>): Span[] {
  const [first, ...others] = Object.keys(reports) as Method[];
  if (!first) return [];
  const list: Span[] = [];
  for (const { iteration } of reports[first]!.iterations) {
    const stages: StageName[] = iteration === 0 ? ["sft"] : ["sample", "score", "rank", "train"];
    for (const stage of stages) list.push({ method: first, iteration, stage, seconds: SECONDS[stage]! });
    for (const method of iteration === 0 ? [] : others) {
      for (const stage of stages) list.push({ method, iteration, stage, seconds: SECONDS[stage]! * BESIDE });
    }
  }
  return list;
}

export const length = (list: Span[]): number => list.reduce((sum, span) => sum + span.seconds, 0);

export function momentAt(list: Span[], seconds: number): Moment | null {
  let begun = 0;
  for (const { method, iteration, stage, seconds: lasts } of list) {
    if (seconds < begun + lasts) return { method, iteration, stage, share: (seconds - begun) / lasts };
    begun += lasts;
  }
  return null;
}

const ORDER: StageName[] = ["sft", "sample", "score", "rank", "train"];

/** The report as it was at that moment of the same method's run. */
export function reportAt(report: Report, { iteration, stage, share }: Moment): Report {
  const past = report.iterations.filter((step) => step.iteration < iteration);
  const now = report.iterations.find((step) => step.iteration === iteration);
  if (!now) return { ...report, iterations: past };
  const reached = (of: StageName) => ORDER.indexOf(stage) >= ORDER.indexOf(of);
  const learning = stage === "train" || stage === "sft";
  const step: StepReport = {
    ...now,
    summary: null,
    metrics: learning ? now.metrics.slice(0, Math.round(now.metrics.length * share)) : [],
    round: reached("rank") ? now.round : null,
  };
  return { ...report, iterations: [...past, step] };
}

/** The reports of all methods while one of them works. */
export function reportsAt(reports: Partial<Record<Method, Report>>, list: Span[], moment: Moment): Partial<Record<Method, Report>> {
  const at: Partial<Record<Method, Report>> = {};
  const here = list.findIndex((span) => span.method === moment.method && span.iteration === moment.iteration && span.stage === moment.stage);
  for (const method of Object.keys(reports) as Method[]) {
    const report = reports[method]!;
    if (method === moment.method) at[method] = reportAt(report, moment);
    else {
      const done = list.slice(0, here).filter((span) => span.method === method).map((span) => span.iteration);
      const last = done.length ? Math.max(...done) : 0;
      at[method] = { ...report, iterations: report.iterations.filter((step) => step.iteration <= last && (step.iteration > 0 || here > 0)) };
    }
  }
  return at;
}

/** What a stage works on, of how much. */
export function amount(report: Report, { iteration, stage, share }: Moment): { done: number; total: number; unit: string } {
  const step = report.iterations.find((of) => of.iteration === iteration);
  const prompts = step?.round?.prompts ?? 0;
  const completions = step?.round?.shown[0]?.rewards.length ?? 0;
  const [total, unit] = stage === "sample" ? [prompts * completions, "completions"] : stage === "train" || stage === "sft" ? [step?.metrics.length ?? 0, "steps"] : [prompts, "prompts"];
  return { done: Math.round(total * Math.min(1, share)), total, unit };
}
