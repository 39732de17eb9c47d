// The files of the page: on the visitor's disk (OPFS), or in memory where the browser gives none. Everything that is kept
// goes through one store, with a folder for each session.

import type { Store } from "cream-web";
import type { StorageInfo } from "../protocol";
import { OpfsStore } from "./opfs";

let opened: Promise<{ store: Store; opfs: OpfsStore | null; why: string | null }> | undefined;

/** The page's store; the disk's where there is one. */
export function files(): Promise<{ store: Store; opfs: OpfsStore | null; why: string | null }> {
  opened ??= open();
  return opened;
}

async function open(): Promise<{ store: Store; opfs: OpfsStore | null; why: string | null }> {
  try {
    const opfs = await OpfsStore.open();
    return { store: opfs, opfs, why: null };
  } catch (error) {
    const cause = error instanceof Error ? error.message : String(error);
    const why = `This browser keeps no files for this page (${cause.replace(/\.$/, "")}); a private window is a common reason. Models and sessions live in memory and are gone when the tab is closed: download what you want to keep.`;
    return { store: new InMemory(), opfs: null, why };
  }
}

export async function storage(): Promise<StorageInfo> {
  const { opfs, why } = await files();
  const estimate = await navigator.storage?.estimate?.().catch(() => undefined);
  return { kept: opfs ? "disk" : "memory", why, used: estimate?.usage ?? null, room: estimate?.quota ?? null };
}

/** The engine's MemoryStore is one too, but its code would have to be fetched first. */
export class InMemory implements Store {
  private readonly all = new Map<string, Uint8Array>();
  private get = (name: string) => this.all.get(name) ?? new Uint8Array();
  read = async (name: string) => this.all.get(name);
  exists = async (name: string) => this.all.has(name);
  names = async (start: string) => [...this.all.keys()].filter((name) => name.startsWith(start)).sort();
  write = async (name: string, bytes: Uint8Array) => void this.all.set(name, bytes.slice());
  append = async (name: string, bytes: Uint8Array) => void this.all.set(name, joined(this.get(name), bytes));
  truncate = async (name: string, length: number) => void this.all.set(name, this.get(name).slice(0, length));
  rename = async (from: string, to: string) => {
    this.all.set(to, this.get(from));
    this.all.delete(from);
  };
  remove = async (name: string) => void this.all.delete(name);
}

/** A folder of a store, as a store. */
export class Within implements Store {
  constructor(private readonly store: Store, private readonly folder: string) {}
  private name = (name: string) => `${this.folder}/${name}`;
  read = (name: string) => this.store.read(this.name(name));
  exists = (name: string) => this.store.exists(this.name(name));
  names = async (start: string) => (await this.store.names(this.name(start))).map((name) => name.slice(this.folder.length + 1));
  write = (name: string, bytes: Uint8Array) => this.store.write(this.name(name), bytes);
  append = (name: string, bytes: Uint8Array) => this.store.append(this.name(name), bytes);
  truncate = (name: string, length: number) => this.store.truncate(this.name(name), length);
  rename = (from: string, to: string) => this.store.rename(this.name(from), this.name(to));
  remove = (name: string) => this.store.remove(this.name(name));
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const all = new Uint8Array(a.length + b.length);
  all.set(a);
  all.set(b, a.length);
  return all;
}

export async function readJson<T>(store: Store, name: string): Promise<T | undefined> {
  const bytes = await store.read(name);
  return bytes && (JSON.parse(new TextDecoder().decode(bytes)) as T);
}

export const writeJson = (store: Store, name: string, value: unknown): Promise<void> => store.write(name, new TextEncoder().encode(`${JSON.stringify(value, null, 1)}\n`));
export const jsonl = (rows: unknown[]): Uint8Array => new TextEncoder().encode(rows.map((row) => `${JSON.stringify(row)}\n`).join(""));

export async function readJsonl<T>(store: Store, name: string): Promise<T[]> {
  const bytes = await store.read(name);
  return bytes ? new TextDecoder().decode(bytes).split("\n").filter(Boolean).map((line) => JSON.parse(line) as T) : [];
}
