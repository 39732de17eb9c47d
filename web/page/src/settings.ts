// What can be set, as fields of the page, as the address's fragment, and as the engine's settings. The keys are those of
// config.toml, so that a link reads as a command line would.

import type { Config, Prompt } from "cream-web";
import type { Counts, ModelSource, Settings } from "./protocol";
import { METHODS, type Method } from "./report";

export interface Field { key: string; label: string; help: string; kind: "whole" | "number" | "choice"; choices?: [string, string][]; min?: number; max?: number; step?: string; /** More than `min`. */ above?: true }

export const FIELDS: Field[] = [
  { key: "iterations", label: "Rounds", help: "one after the other", kind: "whole", min: 1, max: 20 },
  { key: "sample.completions", label: "Answers, N", help: "to each prompt", kind: "whole", min: 2, max: 16 },
  { key: "sample.max_new_tokens", label: "Longest answer", help: "tokens", kind: "whole", min: 1, max: 4096 },
  { key: "sample.temperature", label: "Temperature", help: "of sampling", kind: "number", min: 0.05, max: 3, step: "0.05" },
  { key: "beta", label: "Beta", help: "scale of reward and loss", kind: "number", min: 0.001, max: 10, step: "any" },
  { key: "lora.r", label: "Rank r", help: "of the adapter", kind: "whole", min: 1, max: 256 },
  { key: "train.learning_rate", label: "Learning rate", help: "peak, on pairs", kind: "number", min: 0, max: 1, step: "any", above: true },
  { key: "train.batch_size", label: "Batch", help: "pairs a step", kind: "whole", min: 1, max: 256 },
  { key: "pair.consistency", label: "Consistency", help: "measure of agreement", kind: "choice", choices: [["kendall", "Kendall's τ"], ["kendall-b", "Kendall's τ-b"], ["spearman", "Spearman's ρ"], ["top-order", "same best and worst"]] },
  { key: "pair.level", label: "Weight", help: "cream's C", kind: "choice", choices: [["mean", "mean of the round"], ["per-prompt", "each prompt its own"]] },
  { key: "pair.reward", label: "Reward", help: "what ranks the answers", kind: "choice", choices: [["implicit", "implicit"], ["length-normalised", "implicit, per token"]] },
  { key: "seed", label: "Seed", help: "of all randomness", kind: "whole", min: 0, max: 4294967295 },
];

/** How many rows of the demo's a session of the tiny model has. */
export const COUNTS: (Field & { key: keyof Counts })[] = [
  { key: "prompts", label: "Prompts", help: "the demo's, up to 600", kind: "whole", min: 2, max: 600 },
  { key: "sft", label: "Answers to imitate", help: "before round 1, up to 120; 0: none", kind: "whole", min: 0, max: 120 },
  { key: "questions", label: "Test questions", help: "after every round, up to 600; 0: none", kind: "whole", min: 0, max: 600 },
];
const COUNTED: Values = { prompts: "200", sft: "120", questions: "200" };

export type Values = Record<string, string>;
export interface Setup { source: ModelSource; values: Values; methods: Method[]; own: Prompt[] | null; device: "auto" | "cpu" }

/** Before the engine is there to tell its own; then the demo's take their place. */
const START: Values = { iterations: "3", "sample.completions": "5", "sample.max_new_tokens": "64", "sample.temperature": "0.8", beta: "0.1", "lora.r": "16", "train.learning_rate": "0.00005", "train.batch_size": "8", "pair.consistency": "kendall", "pair.level": "mean", "pair.reward": "implicit", seed: "0" };
const TINY: Values = { ...START, "sample.max_new_tokens": "12", beta: "0.5", "train.learning_rate": "0.001", "train.batch_size": "16" };

export const defaultsOf = (source: ModelSource): Values => ({ ...(source.kind === "tiny" ? TINY : START), ...COUNTED });
export const defaultSetup = (): Setup => ({ source: { kind: "tiny" }, values: defaultsOf({ kind: "tiny" }), methods: ["cream", "srlm"], own: null, device: "auto" });

/** Takes over what the engine's demo says, where the visitor has set nothing else. */
export function adoptDemo(config: Config, set: Set<string>, values: Values): void {
  for (const { key } of FIELDS) {
    const given = key.split(".").reduce<unknown>((table, part) => (table as Record<string, unknown> | undefined)?.[part], config);
    if (given === undefined || given === null) continue;
    // 0.00009999999747378752 is an f32's 0.0001.
    const text = typeof given === "number" ? String(Number(given.toPrecision(6))) : String(given);
    TINY[key] = text;
    if (!set.has(key)) values[key] = text;
  }
}

/** What is wrong with a field, in a sentence; null where nothing is. */
export function problem({ key, kind, min, max, above, choices }: Field, text: string): string | null {
  if (kind === "choice") return choices!.some(([value]) => value === text) ? null : `${key}: ${text}, expected ${choices!.map(([value]) => value).join(", ")}`;
  const value = Number(text);
  const good = text.trim() !== "" && Number.isFinite(value) && value >= min! && value <= max! && (kind !== "whole" || Number.isInteger(value)) && !(above && value === min);
  return good ? null : `${key}: ${text || "empty"}, expected ${kind === "whole" ? "a whole number" : "a number"} ${above ? `above ${min}, up` : `from ${min}`} to ${max}`;
}

export function settingsOf({ values, methods }: Setup): Settings {
  const config: Config = {};
  for (const field of [...FIELDS, ...COUNTS]) {
    const wrong = problem(field, values[field.key] ?? "");
    if (wrong) throw new Error(wrong);
  }
  for (const field of FIELDS) {
    if (field.key === "iterations") continue;
    const value = field.kind === "choice" ? values[field.key] : Number(values[field.key]);
    const path = field.key.split(".");
    const last = path.pop()!;
    const table = path.reduce<Record<string, unknown>>((table, part) => (table[part] ??= {}) as Record<string, unknown>, config);
    table[last] = value;
  }
  return { methods, rounds: Number(values.iterations), counts: { prompts: Number(values.prompts), sft: Number(values.sft), questions: Number(values.questions) }, config };
}

/** Longest fragment that is made: longer addresses are cut by some programs. */
const LONGEST = 8000;

/** The setup as a fragment, and whether the visitor's prompts had room in it. */
export function toFragment({ source, values, methods, own, device }: Setup): { fragment: string; complete: boolean } {
  const all = new URLSearchParams();
  all.set("model", source.kind === "url" ? source.url : source.kind === "stored" ? `stored:${source.name}` : source.kind === "files" ? "file" : "tiny");
  all.set("methods", methods.join(","));
  if (device === "cpu") all.set("device", "cpu");
  for (const { key } of [...COUNTS, ...FIELDS]) all.set(key, values[key] ?? "");
  const without = all.toString();
  for (const prompt of own ?? []) all.append("own", "prompt" in prompt ? JSON.stringify([prompt.id, prompt.prompt]) : JSON.stringify(prompt));
  const complete = all.toString().length <= LONGEST && source.kind !== "files";
  return { fragment: all.toString().length <= LONGEST ? all.toString() : without, complete };
}

const KEYS = new Set(["model", "methods", "device", "own", ...[...COUNTS, ...FIELDS].map(({ key }) => key)]);

/** The setup of a fragment, which fields it sets, and what of it cannot be used; null for a mere anchor. */
export function fromFragment(fragment: string): { setup: Setup; set: Set<string>; wrong: string[] } | null {
  const all = new URLSearchParams(fragment.replace(/^#/, ""));
  if (!all.has("model")) return null;
  const setup = defaultSetup();
  const wrong: string[] = [];
  const model = all.get("model")!;
  if (/^https?:/.test(model)) setup.source = { kind: "url", url: model, keep: true };
  else if (model.startsWith("stored:")) setup.source = { kind: "stored", name: model.slice(7) };
  else if (model === "file") wrong.push("model: a file, which no link can bring; choose it under Setup");
  else if (model !== "tiny") wrong.push(`model: ${model}, expected tiny or an address`);
  setup.values = defaultsOf(setup.source);
  const methods = (all.get("methods") ?? "").split(",").filter((name): name is Method => METHODS.includes(name as Method) || (name !== "" && wrong.push(`methods: ${name}, expected ${METHODS.join(" or ")}`), false));
  if (methods.length) setup.methods = methods;
  setup.device = all.get("device") === "cpu" ? "cpu" : "auto";
  const set = new Set<string>();
  for (const field of [...COUNTS, ...FIELDS]) {
    const text = all.get(field.key);
    if (text === null) continue;
    const told = problem(field, text);
    if (told) {
      wrong.push(told);
      continue;
    }
    setup.values[field.key] = text;
    set.add(field.key);
  }
  const own = all.getAll("own").flatMap((text) => {
    try {
      const row = JSON.parse(text) as [string, string] | Prompt;
      return [Array.isArray(row) ? { id: row[0], prompt: row[1] } : row];
    } catch {
      wrong.push(`own: ${text}, expected ["id", "prompt"]`);
      return [];
    }
  });
  if (own.length) setup.own = own;
  for (const key of new Set(all.keys())) if (!KEYS.has(key)) wrong.push(`${key}: no setting of this page`);
  return { setup, set, wrong };
}

/** Prompts as a visitor writes them: JSONL rows, or a plain prompt a line. */
export function readPrompts(text: string): Prompt[] {
  const lines = text.split(/\r?\n/).map((line, i) => ({ line: line.trim(), at: i + 1 })).filter(({ line }) => line);
  const seen = new Set<string>();
  return lines.map(({ line, at }) => {
    const row = line.startsWith("{") ? fromJson(line, at) : { id: String(at), prompt: line };
    if (seen.has(row.id)) throw new Error(`Line ${at}: the id ${row.id} is there twice; every prompt needs its own.`);
    seen.add(row.id);
    return row;
  });
}

function fromJson(line: string, at: number): Prompt {
  let row: { id?: unknown; prompt?: unknown; messages?: unknown };
  try {
    row = JSON.parse(line) as typeof row;
  } catch (error) {
    throw new Error(`Line ${at} is no JSON: ${(error as Error).message}. Expected {"id": …, "prompt": …}.`);
  }
  const id = String(row.id ?? at);
  if (typeof row.prompt === "string") return { id, prompt: row.prompt };
  if (Array.isArray(row.messages)) return { id, messages: row.messages as { role: string; content: string }[] };
  throw new Error(`Line ${at} has neither "prompt" nor "messages".`);
}
