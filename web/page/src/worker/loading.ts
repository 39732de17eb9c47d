// From what the visitor names to what the engine opens: the tiny model beside the page, a kept model, files, or a URL.
// A URL is asked for its first bytes before anything else is fetched: what it is, how large, whether it gives ranges.

import type { ModelSource, Probe, Progress } from "../protocol";
import { told } from "./opfs";
import { deleteModel, newModel, storedFiles, storedModels, type ModelFolder } from "./models";

/** What the engine's Model.open takes. */
export interface Opened { source: Blob | URL | Record<string, Blob>; name: string; bytes: number | null }
interface Options { signal: AbortSignal; onProgress: (progress: Progress) => void }

const RANGE = 8 * 2 ** 20;
const TINY = ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"];
const FOLDER = ["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json", "chat_template.jinja", "special_tokens_map.json"];
const NEEDED = ["config.json", "tokenizer.json", "model.safetensors"];

export async function open(source: ModelSource, options: Options): Promise<Opened> {
  switch (source.kind) {
    case "tiny": return tiny(options);
    case "stored": return opened(source.name, await storedFiles(source.name));
    case "files": return fromFiles(source.files, source.keep, options);
    case "url": return fromUrl(source.url, source.keep, options);
  }
}

async function tiny({ signal, onProgress }: Options): Promise<Opened> {
  const found: Record<string, Blob> = {};
  let done = 0;
  for (const name of TINY) {
    const response = await get(new URL(`../tiny/${name}`, pageOf(import.meta.url)), signal);
    const parts: Uint8Array<ArrayBuffer>[] = [];
    for await (const bytes of chunks(response)) {
      parts.push(bytes);
      done += bytes.length;
      onProgress({ what: "download", done, total: null });
    }
    found[name] = new Blob(parts);
  }
  return { source: found, name: "tiny", bytes: done };
}

/** The worker's script lies in a folder of the page's (assets/, or src/worker/ while it is worked on). */
function pageOf(script: string): URL {
  return new URL(script.replace(/\/src\/worker\/[^/]*$/, "/src/").replace(/\?.*$/, ""));
}

async function fromFiles(list: File[], keep: boolean, { signal, onProgress }: Options): Promise<Opened> {
  const all = Object.fromEntries(list.map((file) => [file.name, file as Blob]));
  const gguf = list.filter((file) => file.name.toLowerCase().endsWith(".gguf"));
  if (gguf.length > 1) throw new Error(`${gguf.map((file) => file.name).join(", ")}: one model at a time, please.`);
  const name = gguf[0]?.name ?? folderName(list);
  const chosen: Record<string, Blob> = gguf[0] ? { [gguf[0].name]: gguf[0] } : all;
  await check(name, chosen);
  const folder = keep ? await newModel(name, "a file of yours") : null;
  if (folder) {
    const total = Object.values(chosen).reduce((sum, file) => sum + file.size, 0);
    let done = 0;
    for (const [file, blob] of Object.entries(chosen)) {
      await folder.already(file, null);
      await told(async () => {
        for await (const bytes of blob.stream() as unknown as AsyncIterable<Uint8Array>) {
          if (signal.aborted) throw signal.reason;
          await folder.append(file, bytes);
          onProgress({ what: "download", done: (done += bytes.length), total });
        }
      }).catch(async (error: unknown) => {
        await deleteModel(name);
        throw error;
      });
    }
    await folder.commit(Object.entries(chosen).map(([file, blob]) => ({ name: file, bytes: blob.size })));
  }
  return opened(name, chosen);
}

export async function probe(url: string, signal?: AbortSignal): Promise<Probe> {
  const address = parse(url);
  if (!address.pathname.endsWith("/")) {
    const head = await first(address, signal);
    const name = decodeURIComponent(address.pathname.split("/").pop() || "model.gguf");
    if (!isGguf(head.bytes)) throw new Error(`${name} at ${address.host} is no GGUF file: it begins with ${shown(head.bytes)}. Name a .gguf file, or a folder (ending in /) with config.json, tokenizer.json and model.safetensors.`);
    return { url, files: [{ name, url: address.href, bytes: head.total }], bytes: head.total, ranges: head.ranges, kind: "gguf" };
  }
  const weights = await first(new URL("model.safetensors", address), signal);
  const list: Probe["files"] = [];
  for (const name of FOLDER) {
    const file = new URL(name, address);
    const response = await fetch(file, { method: "HEAD", signal: signal ?? null }).catch(() => undefined);
    if (response?.ok) list.push({ name, url: file.href, bytes: Number(response.headers.get("content-length")) || null });
    else if (NEEDED.includes(name)) throw new Error(`${file.href}: not there, expected beside model.safetensors.`);
  }
  list.push({ name: "model.safetensors", url: new URL("model.safetensors", address).href, bytes: weights.total });
  return { url, files: list, bytes: weights.total, ranges: weights.ranges, kind: "safetensors" };
}

async function fromUrl(url: string, keep: boolean, { signal, onProgress }: Options): Promise<Opened> {
  const kept = (await storedModels()).find((model) => model.from === url);
  if (kept) return opened(kept.name, await storedFiles(kept.name));
  const found = await probe(url, signal);
  const address = parse(url);
  const name = found.kind === "gguf" ? found.files[0]!.name : address.pathname.split("/").filter(Boolean).slice(-1)[0] ?? address.host;
  const folder = keep ? await newModel(name, url) : null;
  const total = found.files.every((file) => file.bytes !== null) ? found.files.reduce((sum, file) => sum + file.bytes!, 0) : null;
  const got: Record<string, Blob> = {};
  let before = 0;
  for (const file of found.files) {
    const onDone = (done: number) => onProgress({ what: "download", done: before + done, total });
    const blob = await download(file, found.ranges, folder, signal, onDone);
    if (file.bytes !== null && blob.size !== file.bytes) throw new Error(`${file.name} came to an end after ${blob.size} of ${file.bytes} bytes: load it again, it goes on from there.`);
    got[file.name] = blob;
    before += blob.size;
  }
  await check(name, got);
  await folder?.commit(Object.entries(got).map(([file, blob]) => ({ name: file, bytes: blob.size })));
  return opened(name, got);
}

/** A file, in ranges where the server gives them, to the disk or into memory. */
async function download(file: Probe["files"][number], ranges: boolean, folder: ModelFolder | null, signal: AbortSignal, onDone: (done: number) => void): Promise<Blob> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  const inRanges = ranges && file.bytes !== null;
  let done = folder ? await folder.already(file.name, inRanges ? file.bytes : null) : 0;
  onDone(done);
  const take = async (response: Response) => {
    for await (const bytes of chunks(response)) {
      if (folder) await folder.append(file.name, bytes);
      else parts.push(bytes);
      onDone((done += bytes.length));
    }
  };
  if (!inRanges) await take(await get(new URL(file.url), signal));
  while (inRanges && done < file.bytes!) {
    const end = Math.min(done + RANGE, file.bytes!) - 1;
    const response = await get(new URL(file.url), signal, `bytes=${done}-${end}`);
    if (response.status !== 206) throw new Error(`${file.name}: the server gives no ranges any more (it answers ${response.status}); load it again.`);
    await take(response);
  }
  if (!folder) return new Blob(parts);
  return (await folder.file(file.name)) ?? new Blob();
}

/** A file's first bytes, and what the server tells of the rest. */
async function first(url: URL, signal?: AbortSignal): Promise<{ bytes: Uint8Array; total: number | null; ranges: boolean }> {
  const response = await get(url, signal, "bytes=0-15");
  const ranges = response.status === 206;
  const total = ranges ? Number(response.headers.get("content-range")?.split("/")[1]) : Number(response.headers.get("content-length"));
  const reader = response.body?.getReader();
  const { value } = (await reader?.read()) ?? { value: undefined };
  // Without ranges the whole file is on its way.
  void reader?.cancel().catch(() => undefined);
  // Other origins may hide the header that tells a range's total.
  return { bytes: value ?? new Uint8Array(), total: Number.isFinite(total) && total > 0 ? total : null, ranges };
}

async function get(url: URL, signal?: AbortSignal, range?: string): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, { signal: signal ?? null, ...(range ? { headers: { range } } : {}) });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Error(`${url.host} could not be reached for ${url.pathname}: you may be offline, the name may be wrong, or that server may not let other pages read its files (CORS). Download the file yourself and choose it here.`);
  }
  if (!response.ok) throw new Error(`${url.host} answers ${response.status} ${response.statusText} for ${url.pathname}: check the address${response.status === 401 || response.status === 403 ? ", or sign in there, download the file and choose it here" : ""}.`);
  return response;
}

async function* chunks(response: Response): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const reader = response.body!.getReader();
  for (;;) {
    const { done, value } = await reader.read().catch((error: unknown) => {
      if (error instanceof DOMException && error.name === "AbortError") throw error;
      throw new Error("The connection broke off while the model was coming in: load it again, it goes on from there where the server gives ranges.");
    });
    if (done) return;
    yield value;
  }
}

/** Whether files are what their names say, so that a cut or wrong file is told before the engine reads it. */
async function check(name: string, list: Record<string, Blob>): Promise<void> {
  const gguf = Object.keys(list).find((file) => file.toLowerCase().endsWith(".gguf"));
  if (gguf) {
    const head = new Uint8Array(await list[gguf]!.slice(0, 16).arrayBuffer());
    if (!isGguf(head)) throw new Error(`${gguf} is no GGUF file: it begins with ${shown(head)}.`);
    return;
  }
  const missing = NEEDED.filter((file) => !list[file] && !(file === "model.safetensors" && Object.keys(list).some((other) => other.endsWith(".safetensors"))));
  if (missing.length) throw new Error(`${name}: ${missing.join(", ")} missing. Choose one .gguf file, or all of config.json, tokenizer.json, tokenizer_config.json and model.safetensors together.`);
}

function parse(url: string): URL {
  try {
    const parsed = new URL(url);
    if (/^https?:$/.test(parsed.protocol)) return parsed;
  } catch { /* told below */ }
  throw new Error(`"${url}" is no address: expected https://… of a .gguf file, or of a folder ending in /.`);
}

function opened(name: string, list: Record<string, Blob>): Opened {
  const gguf = Object.keys(list).find((file) => file.toLowerCase().endsWith(".gguf"));
  const bytes = Object.values(list).reduce((sum, blob) => sum + blob.size, 0);
  return { source: gguf ? list[gguf]! : list, name, bytes };
}

const folderName = (list: File[]): string => list[0]?.webkitRelativePath?.split("/")[0] || `model of ${list.length} files`;
const isGguf = (bytes: Uint8Array): boolean => new TextDecoder().decode(bytes.subarray(0, 4)) === "GGUF";
const shown = (bytes: Uint8Array): string => JSON.stringify(new TextDecoder().decode(bytes.subarray(0, 8)));
