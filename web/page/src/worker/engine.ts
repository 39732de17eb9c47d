// The engine's device and model: made when first needed, kept while they are asked for again, given up after a loss.

import init, { Device, Model, type Loading } from "cream-web";
import type { DeviceInfo, ModelInfo, ModelSource, Progress } from "../protocol";
import { open } from "./loading";

interface Held { device: Device; info: DeviceInfo; want: "auto" | "cpu" }
interface HeldModel { model: Model; info: ModelInfo; source: ModelSource; opened: { bytes: number | null } }

let started: Promise<unknown> | undefined;
let held: Held | undefined;
let heldModel: HeldModel | undefined;

/** The engine's code, fetched once. */
export const ready = (): Promise<unknown> => (started ??= init().catch((error: unknown) => {
  started = undefined;
  throw new Error(`The engine could not be loaded: ${error instanceof Error ? error.message : String(error)}. Check the connection and try again.`);
}));

async function device(want: "auto" | "cpu"): Promise<Held> {
  await ready();
  if (held?.want === want) return held;
  release();
  if (want === "auto") {
    try {
      const gpu = await Device.gpu();
      return (held = { device: gpu, info: { name: gpu.name, kind: gpu.kind, why: null }, want });
    } catch (error) {
      const why = (error instanceof Error ? error.message : String(error)).replace(/\.$/, "");
      return (held = { device: Device.cpu(), info: { name: "CPU", kind: "cpu", why }, want });
    }
  }
  return (held = { device: Device.cpu(), info: { name: "CPU", kind: "cpu", why: "chosen in the settings" }, want });
}

/** The model of a source on a device, for so many answers at once; the one that is there already where it is the same. */
export async function model(source: ModelSource, want: "auto" | "cpu", slots: number, signal: AbortSignal, onProgress: (progress: Progress) => void): Promise<{ model: Model; info: ModelInfo }> {
  const { device: on, info } = await device(want);
  if (heldModel && same(heldModel.source, source)) return heldModel;
  heldModel?.model.free();
  heldModel = undefined;
  const opened = await open(source, { signal, onProgress });
  const onLoading = ({ stage, done, total }: Loading) => onProgress({ what: stage, done, total });
  const model = await Model.open(opened.source, on, { name: opened.name, slots, onLoading, signal });
  heldModel = { model, info: { name: model.name || opened.name, parameters: model.parameters, bytes: opened.bytes, device: info }, source, opened };
  return heldModel;
}

/** The model that is open now, if any is. */
export const current = (): { model: Model; info: ModelInfo } | undefined => heldModel;

/** Gives up device and model: after a loss nothing of them can be used. */
export function release(): void {
  for (const owned of [heldModel?.model, held?.device]) {
    try {
      owned?.free();
    } catch { /* Lost already. */ }
  }
  heldModel = held = undefined;
}

function same(a: ModelSource, b: ModelSource): boolean {
  if (a.kind === "files" || b.kind === "files") return a.kind === b.kind && (a as { files: File[] }).files.every((file, i) => {
    const other = (b as { files: File[] }).files[i];
    return other?.name === file.name && other.size === file.size && other.lastModified === file.lastModified;
  });
  return JSON.stringify(a) === JSON.stringify(b);
}
