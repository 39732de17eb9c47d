// Models kept on the visitor's disk: a folder each, whole once its commit record is there. A download that was cut short
// is found again by its own record and goes on where it stopped.

import type { StoredModel } from "../protocol";
import { files, readJson, Within, writeJson } from "./files";
import type { OpfsStore } from "./opfs";

const COMMIT = "commit.json";
interface Commit { done: true; name: string; files: { name: string; bytes: number }[]; from: string; added: string }

export async function storedModels(): Promise<StoredModel[]> {
  const { opfs } = await files();
  if (!opfs) return [];
  const records = (await opfs.names("models/")).filter((name) => name.endsWith(`/${COMMIT}`));
  const models = await Promise.all(records.map((record) => readJson<Commit>(opfs, record)));
  return models.filter((commit) => commit?.done).map((commit) => {
    const { name, from, added, files: list } = commit!;
    return { name, from, added, files: list.map((file) => file.name), bytes: list.reduce((sum, file) => sum + file.bytes, 0) };
  });
}

export async function deleteModel(name: string): Promise<null> {
  const { opfs } = await files();
  await opfs?.removeFolder(folderOf(name));
  return null;
}

/** The files of a kept model, checked against its commit record. */
export async function storedFiles(name: string): Promise<Record<string, File>> {
  const { opfs } = await files();
  const commit = opfs && (await readJson<Commit>(opfs, `${folderOf(name)}/${COMMIT}`));
  if (!opfs || !commit?.done) throw new Error(`The model ${name} is not on this disk any more: load it again.`);
  const found: Record<string, File> = {};
  for (const { name: file, bytes } of commit.files) {
    const kept = await opfs.file(`${folderOf(name)}/${file}`);
    if (kept?.size !== bytes) throw new Error(`${name}: ${file} has ${kept?.size ?? 0} bytes on disk, expected ${bytes}. Delete the model and load it again.`);
    found[file] = kept;
  }
  return found;
}

/** A place for a model's files that is no model until it is committed. */
export async function newModel(name: string, from: string): Promise<ModelFolder | null> {
  const { opfs } = await files();
  return opfs && new ModelFolder(opfs, name, from);
}

export class ModelFolder {
  private readonly within: Within;
  constructor(private readonly opfs: OpfsStore, readonly name: string, private readonly from: string) {
    this.within = new Within(opfs, folderOf(name));
  }

  /** Bytes of a file that an earlier download left, if it was the same file. */
  async already(file: string, total: number | null): Promise<number> {
    const begun = await readJson<{ from: string; total: number | null }>(this.within, `${file}.begun`).catch(() => undefined);
    if (total !== null && begun?.from === this.from && begun.total === total) {
      const bytes = (await this.opfs.file(`${folderOf(this.name)}/${file}`))?.size ?? 0;
      if (bytes <= total) return bytes;
    }
    await this.within.remove(file);
    await writeJson(this.within, `${file}.begun`, { from: this.from, total });
    return 0;
  }

  append = (file: string, bytes: Uint8Array): Promise<void> => this.within.append(file, bytes);

  file = (file: string): Promise<File | undefined> => this.opfs.file(`${folderOf(this.name)}/${file}`);

  async commit(list: { name: string; bytes: number }[]): Promise<void> {
    for (const { name } of list) await this.within.remove(`${name}.begun`);
    await writeJson(this.within, COMMIT, { done: true, name: this.name, files: list, from: this.from, added: new Date().toISOString() } satisfies Commit);
  }
}

/** A folder's name that holds no separator. */
const folderOf = (name: string): string => `models/${encodeURIComponent(name).replace(/\./g, "%2E")}`;
