// Calls to the worker that holds the engine: a number for each, an answer or a failure, news on the way, an end on demand.

import type { Call, Calls, FromWorker, ToWorker } from "./protocol";

interface Waiting { answer(value: unknown): void; fail(error: Error): void; tell(news: unknown): void }
interface Options<C extends Call> { signal?: AbortSignal; onNews?: (news: Calls[C]["tells"]) => void }

export class Client {
  private worker: Worker | null = null;
  private readonly waiting = new Map<number, Waiting>();
  private next = 1;

  /** The worker's script and the engine are fetched at the first call, not before. */
  call<C extends Call>(call: C, asks: Calls[C]["asks"], { signal, onNews }: Options<C> = {}): Promise<Calls[C]["answers"]> {
    const id = this.next++;
    return new Promise((answer, fail) => {
      if (signal?.aborted) return fail(named("AbortError", "stopped"));
      const abort = () => this.send({ id, abort: true });
      const over = () => {
        this.waiting.delete(id);
        signal?.removeEventListener("abort", abort);
      };
      this.waiting.set(id, {
        answer: (value) => { over(); answer(value as Calls[C]["answers"]); },
        fail: (error) => { over(); fail(error); },
        tell: (news) => onNews?.(news as Calls[C]["tells"]),
      });
      signal?.addEventListener("abort", abort);
      this.send({ id, call, asks });
    });
  }

  /** Gives up the worker with all that it holds; what is kept on disk stays. The next call starts another. */
  end(reason: string, name = "EngineEnded"): void {
    this.worker?.terminate();
    this.worker = null;
    for (const waiting of [...this.waiting.values()]) waiting.fail(named(name, reason));
  }

  private send(message: ToWorker): void {
    this.worker ??= this.start();
    this.worker.postMessage(message);
  }

  private start(): Worker {
    const worker = new Worker(new URL("./worker/engine.worker.ts", import.meta.url), { type: "module", name: "cream engine" });
    worker.addEventListener("message", ({ data }: MessageEvent<FromWorker>) => {
      const waiting = this.waiting.get(data.id);
      if ("answers" in data) waiting?.answer(data.answers);
      else if ("tells" in data) waiting?.tell(data.tells);
      else {
        waiting?.fail(named(data.fails.name, data.fails.message));
        // A trap leaves the engine's memory in no state to go on with.
        if (data.fails.name === "RuntimeError") this.end("The engine was started anew after a failure.");
      }
    });
    worker.addEventListener("error", (event) => this.end(event.message || "The engine's files could not be loaded.", "EngineFailed"));
    return worker;
  }
}

function named(name: string, message: string): Error {
  const error = new Error(message);
  error.name = name;
  return error;
}
