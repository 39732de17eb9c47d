// What page and worker say to each other: every call with what it asks, what it answers, and what it tells on the way.

import type { Config, Drawn, Loading, Prompt, Update } from "cream-web";
import type { Accuracy, Method, PromptReport, Report } from "./report";

export interface DeviceInfo { name: string; kind: "gpu" | "cpu"; /** Why it is not the GPU, where it is not. */ why: string | null }
export interface StorageInfo { kept: "disk" | "memory"; why: string | null; used: number | null; room: number | null }
export interface StoredModel { name: string; bytes: number; files: string[]; from: string; added: string }
export interface Probe { url: string; files: { name: string; url: string; bytes: number | null }[]; bytes: number | null; ranges: boolean; kind: "gguf" | "safetensors" }
export interface ModelInfo { name: string; parameters: number; bytes: number | null; device: DeviceInfo }

/** Where a model comes from. What a session remembers of it is all but the files. */
export type ModelSource =
  | { kind: "tiny" }
  | { kind: "stored"; name: string }
  | { kind: "url"; url: string; keep: boolean }
  | { kind: "files"; files: File[]; keep: boolean };

/** What a run is made of; with the version of the page, the same settings give the same run. */
/** Of the demo's rows; its prompts where there are no own ones. */
export interface Counts { prompts: number; sft: number; questions: number }
export interface Settings { methods: Method[]; rounds: number; counts: Counts; config: Config }

export interface SessionInfo { name: string; created: string; changed: string; model: string; source: ModelSource; settings: Settings; own: Prompt[] | null; prompts: number; finished: boolean; bytes: number; /** Another tab works on it. */ busy: boolean }

export type Which = "former" | "latest" | "initial";
export type Download = "adapter" | "adapter config" | "adapter weights" | "pairs" | "report" | "session";

export type RunEvent =
  | { kind: "session"; session: SessionInfo }
  | { kind: "loading"; loading: Progress }
  | { kind: "model"; model: ModelInfo }
  | { kind: "update"; method: Method; update: Update; at: number }
  | { kind: "drawn"; method: Method; drawn: Drawn[] }
  | { kind: "log"; method: Method; line: string }
  | { kind: "report"; method: Method; report: Report }
  | { kind: "measuring"; method: Method; model: number }
  | { kind: "accuracy"; accuracy: Accuracy[] };

/** Of what is fetched, copied or loaded; `total` is null where the server does not tell. */
export interface Progress { what: "download" | Loading["stage"]; done: number; total: number | null }

export interface Calls {
  storage: { asks: object; answers: StorageInfo; tells: never };
  models: { asks: object; answers: StoredModel[]; tells: never };
  deleteModel: { asks: { name: string }; answers: null; tells: never };
  probe: { asks: { url: string }; answers: Probe; tells: never };
  defaults: { asks: object; answers: { config: Config; prompts: Prompt[] }; tells: never };
  /** The program's settings with every default filled in; fails where one is out of range. */
  check: { asks: { config: Config; method: Method }; answers: Config; tells: never };
  sessions: { asks: object; answers: SessionInfo[]; tells: never };
  deleteSession: { asks: { name: string }; answers: null; tells: never };
  /** What a kept session holds, without a model. */
  view: { asks: { name: string }; answers: { reports: Partial<Record<Method, Report>>; accuracy: Accuracy[] }; tells: never };
  /** Begins a session, or takes up the one of that name. */
  run: { asks: { name: string | null; source: ModelSource; settings: Settings; own: Prompt[] | null; device: "auto" | "cpu" }; answers: { finished: boolean }; tells: RunEvent };
  /** A prompt of the visitor's answered by two models. */
  ask: { asks: { prompt: string; method: Method; seed: number; temperature: number; longest: number; device: "auto" | "cpu" }; answers: { before: string; after: string; names: [string, string] }; tells: { which: 0 | 1; text: string } };
  /** The same prompt answered several times and ranked by the latest model and its former self. */
  judge: { asks: { prompt: string; method: Method; seed: number; device: "auto" | "cpu" }; answers: { round: number; prompt: PromptReport }; tells: { texts: string[] } };
  download: { asks: { session: string; method: Method; what: Download }; answers: { name: string; type: string; bytes: Uint8Array }; tells: never };
}
export type Call = keyof Calls;

export type ToWorker = { id: number; call: Call; asks: unknown } | { id: number; abort: true };
export type FromWorker =
  | { id: number; answers: unknown }
  | { id: number; tells: unknown }
  | { id: number; fails: { name: string; message: string } };
