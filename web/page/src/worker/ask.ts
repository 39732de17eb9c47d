// The visitor's own prompt: answered before and after, or answered several times and ranked by the latest model and its
// former self, as a round of the run does.

import { rank, type Adapter, type Model, type Prompt, type SftRow } from "cream-web";
import type { Calls } from "../protocol";
import type { Method, PromptReport } from "../report";
import { model as open } from "./engine";
import { readJsonl, Within } from "./files";
import { openRun } from "./runs";
import { readRecord, sessionStore, type SessionRecord } from "./sessions";

interface Options<C extends "ask" | "judge"> { signal: AbortSignal; tell: (news: Calls[C]["tells"]) => void }
interface Trained { model: Model; record: SessionRecord | null; /** Models that a run has made: M1, M2, … by number. */ last: number; adapter(number: number): Promise<Adapter | undefined>; free(): void }

/** Answers to one prompt. */
const SLOTS = 5;

/** The session whose models answer; the one that ran or was looked at last. */
let session: string | null = null;
export const answersFrom = (name: string | null): void => { session = name; };

export async function ask({ prompt, method, seed, temperature, longest, device }: Calls["ask"]["asks"], { signal, tell }: Options<"ask">): Promise<Calls["ask"]["answers"]> {
  const trained = await trainedModels(method, device, signal);
  try {
    const said: string[] = [];
    for (const [which, number] of [[0, 0], [1, trained.last]] as const) {
      const adapter = await trained.adapter(number);
      const options = { completions: 1, max_new_tokens: longest, temperature, seed, signal, onText: (_: number, text: string) => tell({ which, text }) };
      const row = await trained.model.generate(prompt, adapter ? { ...options, adapter } : options);
      adapter?.free();
      said.push(row.completions[0] ?? "");
    }
    return { before: said[0]!, after: said[1]!, names: ["M0", `M${trained.last}`] };
  } finally {
    trained.free();
  }
}

export async function judge({ prompt, method, seed, device }: Calls["judge"]["asks"], { signal, tell }: Options<"judge">): Promise<Calls["judge"]["answers"]> {
  const trained = await trainedModels(method, device, signal);
  try {
    if (trained.last === 0) throw new Error("There is no former self yet: run at least one round, then the latest model and the one before it can be compared.");
    const { model, record, last } = trained;
    const config = (record?.settings.config ?? {}) as { beta?: number; sample?: { completions?: number; max_new_tokens?: number; temperature?: number }; pair?: { consistency?: string } };
    const now = await trained.adapter(last);
    const then = last > 1 ? await trained.adapter(last - 1) : undefined;
    const texts: string[] = [];
    const { completions = 5, max_new_tokens = 64, temperature = 1 } = config.sample ?? {};
    const row = await model.generate(prompt, { completions, max_new_tokens, temperature, seed, signal, ...(now ? { adapter: now } : {}), onText: (i, text) => { texts[i] = text; tell({ texts: [...texts] }); } });
    const scored = async (adapter: Adapter | undefined) => model.score([row], adapter ? { adapter, signal } : { signal });
    const [current, previous, reference] = [await scored(now), then && (await scored(then)), await scored(undefined)];
    now?.free();
    then?.free();
    const { rankings: [ranking], pairs: [pair] } = rank(current, previous, reference, { beta: config.beta, pair: config.pair });
    const report: PromptReport = { ...ranking!, id: "yours", prompt, completions: row.completions, chosen: pair?.chosen ?? null, rejected: pair?.rejected ?? null };
    return { round: last, prompt: report };
  } finally {
    trained.free();
  }
}

async function trainedModels(method: Method, device: "auto" | "cpu", signal: AbortSignal): Promise<Trained> {
  const store = session === null ? null : await sessionStore(session);
  const record = (store && (await readRecord(store))) ?? null;
  const source = record?.source ?? { kind: "tiny" as const };
  const { model } = await open(source, device, SLOTS, signal, () => undefined);
  if (!store || !record) return { model, record: null, last: 0, adapter: async () => undefined, free: () => undefined };
  const own = new Within(store, method);
  const summaries = (await own.names("iteration-")).map((name) => /^iteration-(\d+)\/summary\.json$/.exec(name)?.[1]).filter((round) => round !== undefined);
  const last = summaries.length ? Math.max(...summaries.map(Number)) + 1 : 0;
  const rows = { prompts: await readJsonl<Prompt>(store, "prompts.jsonl"), sft: await readJsonl<SftRow>(store, "sft.jsonl") };
  const run = last ? await openRun(model, rows, record.settings.config, method, own, last - 1) : null;
  return { model, record, last, adapter: async (number) => (number > 0 ? run?.adapter(number - 1) : undefined), free: () => run?.free() };
}
