// Sessions on disk, a folder each, laid out as `cream compare` lays out its folder: prompts.jsonl, sft.jsonl, test.jsonl and
// a run's folder for each method. session.json says what they began with.

import { report, type Prompt, type Store } from "cream-web";
import type { ModelSource, SessionInfo, Settings } from "../protocol";
import { METHODS, type Accuracy, type Method, type Report } from "../report";
import { ready } from "./engine";
import { files, readJson, Within, writeJson } from "./files";

export interface SessionRecord { created: string; changed: string; model: string; source: ModelSource; settings: Settings; own: Prompt[] | null; prompts: number; finished: boolean }

const FOLDER = "sessions";
const RECORD = "session.json";
const held = new Map<string, () => void>();

export async function sessionStore(name: string): Promise<Within> {
  return new Within((await files()).store, `${FOLDER}/${name}`);
}

export const readRecord = (store: Store): Promise<SessionRecord | undefined> => readJson<SessionRecord>(store, RECORD);
export const writeRecord = (store: Store, record: SessionRecord): Promise<void> => writeJson(store, RECORD, { ...record, changed: new Date().toISOString() });

export async function sessions(): Promise<SessionInfo[]> {
  const { store, opfs } = await files();
  const all = await store.names(`${FOLDER}/`);
  const names = all.filter((name) => name.endsWith(`/${RECORD}`) && name.split("/").length === 3).map((name) => name.split("/")[1]!);
  const found: SessionInfo[] = [];
  for (const name of names) {
    const record = await readRecord(await sessionStore(name)).catch(() => undefined);
    if (!record) continue;
    const own = all.filter((file) => file.startsWith(`${FOLDER}/${name}/`));
    const sizes = await Promise.all(own.map(async (file) => (await opfs?.file(file))?.size ?? 0));
    found.push({ name, ...record, bytes: sizes.reduce((sum, bytes) => sum + bytes, 0), busy: await isBusy(name) });
  }
  return found.sort((a, b) => b.changed.localeCompare(a.changed));
}

export async function deleteSession(name: string): Promise<null> {
  if (held.has(name)) throw new Error("This run is at work: pause it first, then delete it.");
  await lock(name);
  try {
    const { store, opfs } = await files();
    if (opfs) await opfs.removeFolder(`${FOLDER}/${name}`);
    else for (const file of await store.names(`${FOLDER}/${name}/`)) await store.remove(file);
  } finally {
    unlock(name);
  }
  return null;
}

/** What a session holds, of the runs that have begun. */
export async function view(name: string): Promise<{ reports: Partial<Record<Method, Report>>; accuracy: Accuracy[] }> {
  await ready();
  const store = await sessionStore(name);
  const reports: Partial<Record<Method, Report>> = {};
  for (const method of METHODS) {
    const run = new Within(store, method);
    if (await run.exists("config.toml")) reports[method] = (await report(run)) as Report;
  }
  return { reports, accuracy: await readAccuracy(store) };
}

export const readAccuracy = async (store: Store): Promise<Accuracy[]> => (await readJson<Accuracy[]>(store, "accuracy.json")) ?? [];
export const writeAccuracy = (store: Store, rows: Accuracy[]): Promise<void> => writeJson(store, "accuracy.json", rows);

const lockName = (name: string): string => `cream session ${name}`;

/** Makes this tab the session's own, or fails where another tab works on it. */
export async function lock(name: string): Promise<void> {
  if (held.has(name) || !navigator.locks) return;
  await new Promise<void>((gotten, refused) => {
    void navigator.locks.request(lockName(name), { ifAvailable: true }, (lock) => {
      if (!lock) return refused(new Error("Another tab works on this session. Go on there, or close that tab and try again here."));
      gotten();
      return new Promise<void>((release) => held.set(name, release));
    });
  });
  const { opfs } = await files();
  await opfs?.recover(`${FOLDER}/${name}`);
}

export function unlock(name: string): void {
  held.get(name)?.();
  held.delete(name);
}

async function isBusy(name: string): Promise<boolean> {
  if (held.has(name)) return false;
  const state = await navigator.locks?.query();
  return state?.held?.some((lock) => lock.name === lockName(name)) ?? false;
}
