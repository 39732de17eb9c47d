// A session at work: every method a run of its own over the same model, prompts and seed, round by round beside each other,
// and every model that comes of it measured by questions that nobody trained on. Supervised fine-tuning is done once.

import { demo, evaluate, report as reportOf, type Run, type Drawn, type Model, type Prompt, type QuestionRow, type SftRow, type Store, type Update } from "cream-web";
import type { Calls, ModelSource, RunEvent } from "../protocol";
import type { Accuracy, Method, Report } from "../report";
import { model as open, release } from "./engine";
import { InMemory, jsonl, readJsonl, Within } from "./files";
import { merged, openRun } from "./runs";
import { lock, readAccuracy, readRecord, sessionStore, unlock, view, writeAccuracy, writeRecord, type SessionRecord } from "./sessions";

type Asks = Calls["run"]["asks"];
interface Options { signal: AbortSignal; tell: (event: RunEvent) => void }
interface Rows { prompts: Prompt[]; sft: SftRow[]; questions: QuestionRow[] }
interface Work { model: Model; record: SessionRecord; rows: Rows; store: Store; options: Options }

/** Between two pictures of what is being drawn. */
const PICTURE_MS = 120;

export async function run(asks: Asks, options: Options): Promise<{ finished: boolean }> {
  const name = asks.name ?? `${new Date().toISOString().slice(0, 16).replace(/[:T]/g, "-")}-${crypto.randomUUID().slice(0, 4)}`;
  await lock(name);
  try {
    const store = await sessionStore(name);
    const { model, info } = await open(asks.source, asks.device, slotsOf(asks), options.signal, (loading) => options.tell({ kind: "loading", loading }));
    options.tell({ kind: "model", model: info });
    const record = (await readRecord(store)) ?? (await begin(store, asks, info.name));
    const session = { name, ...record, bytes: 0, busy: false };
    options.tell({ kind: "session", session });
    const rows: Rows = { prompts: await readJsonl(store, "prompts.jsonl"), sft: await readJsonl(store, "sft.jsonl"), questions: await readJsonl(store, "test.jsonl") };
    await show(name, options.tell);
    await rounds({ model, record, rows, store, options });
    await writeRecord(store, { ...record, finished: true });
    options.tell({ kind: "session", session: { ...session, finished: true } });
    return { finished: true };
  } catch (error) {
    if (error instanceof Error && (error.name === "DeviceLost" || error.name === "OutOfMemory")) release();
    throw error;
  } finally {
    unlock(name);
  }
}

/** How many answers a session makes at once: those of its prompts, and of its questions where it has any. */
function slotsOf({ settings: { config, counts }, own, source }: Asks): number {
  const { completions = 5, slots = 64 } = (config.sample ?? {}) as { completions?: number; slots?: number };
  const prompts = own?.length ?? counts.prompts;
  return Math.min(slots, Math.max(prompts * completions, source.kind === "tiny" ? counts.questions : 0));
}

/** Writes down what a session begins with; its record last. */
async function begin(store: Store, { source, settings, own }: Asks, model: string): Promise<SessionRecord> {
  const tiny = source.kind === "tiny";
  const made = tiny ? demo() : null;
  const prompts = own ?? made?.prompts.slice(0, settings.counts.prompts) ?? [];
  if (!prompts.length) throw new Error("No prompts: write some into the box of prompts, one a line, or load a JSONL file.");
  await store.write("prompts.jsonl", jsonl(prompts));
  await store.write("sft.jsonl", jsonl(made?.sft.slice(0, settings.counts.sft) ?? []));
  await store.write("test.jsonl", jsonl(made?.questions.slice(0, settings.counts.questions) ?? []));
  const kept: ModelSource = source.kind === "files" ? (source.keep ? { kind: "stored", name: model } : { ...source, files: [] }) : source;
  const now = new Date().toISOString();
  // What the page has no field for is the demo's.
  const { method: _, iterations: __, ...under } = made?.config ?? {};
  const all = { ...settings, config: merged(under, settings.config) };
  const record: SessionRecord = { created: now, changed: now, model, source: kept, settings: all, own, prompts: prompts.length, finished: false };
  await writeRecord(store, record);
  return record;
}

async function rounds(work: Work): Promise<void> {
  const { record: { settings }, rows, store } = work;
  const first = rows.sft.length ? 0 : 1;
  for (let round = first; round <= settings.rounds; round++) {
    for (const method of settings.methods) {
      await share(store, settings.methods[0]!, method);
      await oneRound(work, method, round);
      await writeRecord(store, work.record);
    }
  }
}

/** A round of one method: what is done already is found, and nothing is done twice. */
async function oneRound(work: Work, method: Method, round: number): Promise<void> {
  const { model, record: { settings }, rows, store } = work;
  const own = new Within(store, method);
  const done = await own.exists(`iteration-${round}/summary.json`);
  const later = await own.exists(`iteration-${round + 1}/completions.jsonl`);
  if (later || (done && (await isMeasured(work, method, round + 1)))) return;
  const run = await openRun(model, rows, settings.config, method, own, round);
  try {
    if (!done) await run.start(hooks(work, method, own));
    work.options.tell({ kind: "report", method, report: (await run.report()) as Report });
    await measure(work, method, round + 1, run);
  } finally {
    run.free();
  }
}

/** The first method's supervised fine-tuning for another method, its last file last. */
async function share(store: Store, from: Method, to: Method): Promise<void> {
  const last = "iteration-0/summary.json";
  const [source, target] = [new Within(store, from), new Within(store, to)];
  if (from === to || !(await source.exists(last)) || (await target.exists(last))) return;
  const names = (await source.names("iteration-0/")).filter((name) => name !== last);
  for (const name of [...names, last]) await target.write(name, (await source.read(name))!);
}

/** What the page hears of a run: not every token, and a report only where something new can be drawn. */
function hooks({ options }: Work, method: Method, store: Store) {
  const texts = new Map<string, Drawn>();
  let [picture, output, reporting] = [0, "", false];
  const flush = () => {
    if (texts.size) options.tell({ kind: "drawn", method, drawn: [...texts.values()] });
    texts.clear();
    picture = performance.now();
  };
  // Of the store: the run itself is at work and cannot be asked. Of a copy, read at once: between two reads the run makes a step.
  const refresh = async () => {
    if (reporting) return;
    reporting = true;
    try {
      options.tell({ kind: "report", method, report: (await reportOf(await copied(store))) as Report });
    } catch { /* A file is being made; the next picture shows it. */ } finally {
      reporting = false;
    }
  };
  return {
    signal: options.signal,
    onUpdate: (update: Update) => {
      options.tell({ kind: "update", method, update, at: performance.now() });
      const learning = update.stage === "train" || update.stage === "sft";
      if (update.output !== output || (learning && (update.done % 5 === 0 || update.done === update.total))) void refresh();
      output = update.output;
    },
    onLog: (line: string) => options.tell({ kind: "log", method, line }),
    onDrawn: (drawn: Drawn) => {
      texts.set(`${drawn.id} ${drawn.completion}`, drawn);
      if (performance.now() - picture > PICTURE_MS) flush();
    },
  };
}

/** What a report is made of, in memory. */
async function copied(store: Store): Promise<Store> {
  const copy = new InMemory();
  const names = (await store.names("")).filter((name) => /\.(json|jsonl|toml)$/.test(name));
  const files = await Promise.all(names.map(async (name) => [name, await store.read(name)] as const));
  await Promise.all(files.map(([name, bytes]) => bytes && copy.write(name, bytes)));
  return copy;
}

/** What was there before this call. */
async function show(name: string, tell: Options["tell"]): Promise<void> {
  const { reports, accuracy } = await view(name);
  for (const [method, report] of Object.entries(reports)) tell({ kind: "report", method: method as Method, report });
  tell({ kind: "accuracy", accuracy });
}

async function isMeasured({ rows, store }: Work, method: Method, model: number): Promise<boolean> {
  return !rows.questions.length || (await readAccuracy(store)).some((row) => row.method === method && row.model === model);
}

/** A model by the held-out questions; M0 and M1 are those of all methods and measured once. */
async function measure(work: Work, method: Method, number: number, run: Run): Promise<void> {
  const { model, record: { settings }, rows, store, options } = work;
  if (!rows.questions.length) return;
  for (const at of number === 1 ? [0, 1] : [number]) {
    const known = await readAccuracy(store);
    if (known.some((row) => row.method === method && row.model === at)) continue;
    const twin = at <= 1 ? known.find((row) => row.model === at) : undefined;
    options.tell({ kind: "measuring", method, model: at });
    const adapter = at === 0 || twin ? undefined : await run.adapter(at - 1);
    try {
      const sample = (settings.config.sample ?? {}) as { max_new_tokens?: number; temperature?: number };
      const given = { ...(adapter ? { adapter } : {}), ...(sample.max_new_tokens ? { max_new_tokens: sample.max_new_tokens } : {}), signal: options.signal };
      const greedy = twin?.greedy ?? (await evaluate(model, rows.questions, given)).acc;
      const sampled = twin?.sampled ?? (await evaluate(model, rows.questions, { ...given, temperature: 1, seed: at })).acc;
      const accuracy: Accuracy[] = [...known, { method, model: at, n: rows.questions.length, greedy, sampled }];
      await writeAccuracy(store, accuracy);
      options.tell({ kind: "accuracy", accuracy });
    } finally {
      adapter?.free();
    }
  }
}
