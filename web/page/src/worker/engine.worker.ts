// The one worker that holds the engine: takes calls, answers them, and lets none of its failures be silent.

import type { Call, Calls, FromWorker, ToWorker } from "../protocol";
import { calls } from "./calls";

const port = self as unknown as { postMessage(message: FromWorker, transfer?: Transferable[]): void; onmessage: ((event: MessageEvent<ToWorker>) => void) | null };
const running = new Map<number, AbortController>();

port.onmessage = ({ data }) => {
  if ("abort" in data) running.get(data.id)?.abort();
  else void answer(data.id, data.call, data.asks);
};

async function answer<C extends Call>(id: number, call: C, asks: unknown): Promise<void> {
  const control = new AbortController();
  running.set(id, control);
  try {
    const tell = (tells: Calls[C]["tells"]) => port.postMessage({ id, tells });
    const answers = await calls[call](asks as Calls[C]["asks"], { signal: control.signal, tell });
    port.postMessage({ id, answers });
  } catch (error) {
    port.postMessage({ id, fails: told(error) });
  } finally {
    running.delete(id);
  }
}

/** A failure as name and one line; whatever is thrown. */
function told(error: unknown): { name: string; message: string } {
  if (error instanceof WebAssembly.RuntimeError) return { name: "RuntimeError", message: error.message };
  if (error instanceof Error || error instanceof DOMException) return { name: error.name, message: error.message };
  return { name: "Error", message: String(error) };
}
