// A method's run over a session's store: opened with the settings that the method allows.

import { Run, type Config, type Model, type Prompt, type SftRow, type Store } from "cream-web";
import type { Method } from "../report";

type Table = Record<string, unknown>;

/** `iterations` are raised to what the store has already: they may become more, never fewer. */
export async function openRun(model: Model, rows: { prompts: Prompt[]; sft: SftRow[] }, settings: Config, method: Method, store: Store, iterations: number): Promise<Run> {
  const text = new TextDecoder().decode(await store.read("config.toml"));
  const saved = Number(/^iterations *= *(\d+)/m.exec(text)?.[1] ?? 0);
  const { prompts, sft } = rows;
  const own = { ...settingsFor(settings, method), iterations: Math.max(iterations, saved) };
  const { method: named, ...config } = own as Config & { method?: Method };
  return Run.open(model, { prompts, sft, config, store, ...(named ? { method: named } : {}) });
}

/** A method by its name sets level and loss and takes no reward but its own; with another reward they are spelt out. */
function settingsFor(settings: Config, method: Method): Config {
  const pair = { ...(settings.pair as Table | undefined) };
  if (method === "srlm") delete pair.level;
  if ((pair.reward ?? "implicit") === "implicit") return { ...settings, pair, method };
  return method === "cream" ? { ...settings, pair, loss: "cream" } : { ...settings, pair: { ...pair, level: "off" }, loss: "dpo" };
}

/** Settings over others, table by table. */
export function merged(under: Config, over: Config): Config {
  const all: Table = { ...under };
  for (const [key, value] of Object.entries(over)) {
    const below = all[key];
    all[key] = isTable(below) && isTable(value) ? merged(below, value) : value;
  }
  return all;
}

const isTable = (value: unknown): value is Table => typeof value === "object" && value !== null && !Array.isArray(value);
