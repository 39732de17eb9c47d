// A store over the file system that a browser keeps for a page's origin (OPFS). Runs in a worker only.
//
// A file is made or replaced at once: its bytes go to a temporary file, which is then moved over it. Where files cannot be
// moved, a commit record takes the move's place: the temporary file is whole once its record names its size, and whoever
// opens the store next finishes the copy.

import type { Store } from "cream-web";

const PART = ".part";
const COMMIT = ".commit";

export class OpfsStore implements Store {
  private readonly folders = new Map<string, FileSystemDirectoryHandle>();
  private constructor(private readonly root: FileSystemDirectoryHandle) {}

  /** Rejects where the browser has none, or gives none to a private window. */
  static async open(): Promise<OpfsStore> {
    if (!navigator.storage?.getDirectory) throw new Error("no origin private file system");
    const store = new OpfsStore(await navigator.storage.getDirectory());
    // A browser may hand out the folder and then refuse to write.
    const probe = `probe-${crypto.randomUUID()}`;
    await store.write(probe, new Uint8Array([1]));
    await store.remove(probe);
    return store;
  }

  async read(name: string): Promise<Uint8Array | undefined> {
    const file = await this.file(name);
    return file && new Uint8Array(await file.arrayBuffer());
  }

  /** The file itself, to be read part by part. */
  async file(name: string): Promise<File | undefined> {
    const handle = await this.handle(name, false);
    return handle && (await handle.getFile());
  }

  async exists(name: string): Promise<boolean> {
    return (await this.handle(name, false)) !== undefined;
  }

  async names(start: string): Promise<string[]> {
    const [folder] = split(start);
    const from = await this.folder(folder, false);
    const found: string[] = [];
    if (from) await collect(from, folder ? `${folder}/` : "", found);
    return found.filter((name) => name.startsWith(start)).sort();
  }

  async write(name: string, bytes: Uint8Array): Promise<void> {
    await told(async () => {
      const [path, file] = split(name);
      const folder = (await this.folder(path, true))!;
      const part = await folder.getFileHandle(file + PART, { create: true });
      await into(part, bytes, (open) => { open.truncate(0); return 0; });
      await this.replace(folder, part, file, bytes.length);
    });
  }

  async append(name: string, bytes: Uint8Array): Promise<void> {
    await told(async () => into((await this.handle(name, true))!, bytes, (open) => open.getSize()));
  }

  async truncate(name: string, length: number): Promise<void> {
    const handle = await this.handle(name, false);
    if (!handle) throw new Error(`${name}: not there, expected a file to cut to ${length} bytes`);
    await into(handle, new Uint8Array(), (open) => { open.truncate(length); return length; });
  }

  async rename(from: string, to: string): Promise<void> {
    const handle = await this.handle(from, false);
    if (!handle) throw new Error(`${from}: not there, expected a file to rename`);
    const [path, file] = split(to);
    const folder = (await this.folder(path, true))!;
    if (await moved(handle, folder, file)) return;
    await this.write(to, new Uint8Array(await (await handle.getFile()).arrayBuffer()));
    await this.remove(from);
  }

  async remove(name: string): Promise<void> {
    const [path, file] = split(name);
    await (await this.folder(path, false))?.removeEntry(file).catch(unlessMissing);
  }

  /** Removes a folder with all that is in it. */
  async removeFolder(path: string): Promise<void> {
    const [above, name] = split(path);
    await (await this.folder(above, false))?.removeEntry(name, { recursive: true }).catch(unlessMissing);
    for (const known of [...this.folders.keys()]) if (known === path || known.startsWith(`${path}/`)) this.folders.delete(known);
  }

  /** Finishes or forgets what a tab closed in the midst of a write left in a folder. */
  async recover(path: string): Promise<void> {
    const folder = await this.folder(path, false);
    if (!folder) return;
    for (const [name, entry] of await entries(folder)) {
      if (entry.kind === "directory") await this.recover(path ? `${path}/${name}` : name);
      else if (name.endsWith(PART)) await this.finish(folder, entry as FileSystemFileHandle, name.slice(0, -PART.length));
    }
  }

  private async finish(folder: FileSystemDirectoryHandle, part: FileSystemFileHandle, file: string): Promise<void> {
    const record = await folder.getFileHandle(file + COMMIT).catch(unlessMissing);
    const bytes = new Uint8Array(await (await part.getFile()).arrayBuffer());
    if (record && Number(await (await record.getFile()).text()) === bytes.length) {
      await into(await folder.getFileHandle(file, { create: true }), bytes, (open) => { open.truncate(0); return 0; });
    }
    if (record) await folder.removeEntry(file + COMMIT);
    await folder.removeEntry(file + PART);
  }

  private async replace(folder: FileSystemDirectoryHandle, part: FileSystemFileHandle, file: string, length: number): Promise<void> {
    if (await moved(part, folder, file)) return;
    const record = await folder.getFileHandle(file + COMMIT, { create: true });
    await into(record, new TextEncoder().encode(String(length)), (open) => { open.truncate(0); return 0; });
    await this.finish(folder, part, file);
  }

  private async handle(name: string, create: boolean): Promise<FileSystemFileHandle | undefined> {
    const [path, file] = split(name);
    const folder = await this.folder(path, create);
    return folder?.getFileHandle(file, { create }).catch(unlessMissing);
  }

  private async folder(path: string, create: boolean): Promise<FileSystemDirectoryHandle | undefined> {
    const known = path === "" ? this.root : this.folders.get(path);
    if (known) return known;
    const [above, name] = split(path);
    const found = await (await this.folder(above, create))?.getDirectoryHandle(name, { create }).catch(unlessMissing);
    if (found) this.folders.set(path, found);
    return found;
  }
}

/** Whether a file could be moved over another; false where the browser cannot. */
async function moved(handle: FileSystemFileHandle, folder: FileSystemDirectoryHandle, name: string): Promise<boolean> {
  if (!handle.move) return false;
  try {
    await handle.move(folder, name);
    return true;
  } catch (error) {
    if (error instanceof DOMException && error.name === "QuotaExceededError") throw error;
    return false;
  }
}

/** Writes bytes at the place that `prepare` returns, and waits until they are on disk. */
async function into(handle: FileSystemFileHandle, bytes: Uint8Array, prepare: (open: FileSystemSyncAccessHandle) => number): Promise<void> {
  // The engine's memory may move while this waits.
  const own = bytes.byteLength === bytes.buffer.byteLength ? bytes : bytes.slice();
  const open = await handle.createSyncAccessHandle();
  try {
    const at = prepare(open);
    let done = 0;
    while (done < own.length) {
      const written = open.write(own.subarray(done), { at: at + done });
      if (written === 0) throw new DOMException("no room", "QuotaExceededError");
      done += written;
    }
    open.flush();
  } finally {
    open.close();
  }
}

/** A full disk in words that say what to do. */
export async function told<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof DOMException) || error.name !== "QuotaExceededError") throw error;
    const estimate = await navigator.storage?.estimate?.().catch(() => undefined);
    const of = estimate?.quota ? ` (${Math.round((estimate.usage ?? 0) / 1e6)} MB of ${Math.round(estimate.quota / 1e6)} MB are in use)` : "";
    const full = new Error(`The browser gives this page no more room on disk${of}. Delete a kept model or an old session, then go on: nothing that was saved is lost.`);
    full.name = "QuotaExceeded";
    throw full;
  }
}

async function collect(folder: FileSystemDirectoryHandle, path: string, found: string[]): Promise<void> {
  for (const [name, entry] of await entries(folder)) {
    if (entry.kind === "directory") await collect(entry as FileSystemDirectoryHandle, `${path}${name}/`, found);
    else if (!name.endsWith(PART) && !name.endsWith(COMMIT)) found.push(path + name);
  }
}

async function entries(folder: FileSystemDirectoryHandle): Promise<[string, FileSystemHandle][]> {
  const found: [string, FileSystemHandle][] = [];
  for await (const entry of (folder as unknown as AsyncIterable<[string, FileSystemHandle]>)) found.push(entry);
  return found;
}

/** `a/b/c` as `a/b` and `c`. */
function split(path: string): [string, string] {
  const end = path.lastIndexOf("/");
  return end < 0 ? ["", path] : [path.slice(0, end), path.slice(end + 1)];
}

function unlessMissing(error: unknown): undefined {
  if (error instanceof DOMException && (error.name === "NotFoundError" || error.name === "TypeMismatchError")) return undefined;
  throw error;
}
