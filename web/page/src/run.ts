// A run as the page sees it: begun, paused, taken up, ended. What the worker tells becomes the view.

import type { Client } from "./client";
import { size } from "./dom";
import type { DeviceInfo, ModelSource, Progress, RunEvent, SessionInfo } from "./protocol";
import { settingsOf, type Setup } from "./settings";
import { emptyView, withDrawn, type Now, type StageName, type View } from "./view";
import { Pace } from "./views/progress";

export type State = "idle" | "running" | "paused" | "finished";
interface Listener { onView(): void; onState(): void; onDevice(device: DeviceInfo): void; onError(error: unknown): void }

export class LiveRun {
  view: View = emptyView("live");
  state: State = "idle";
  private control: AbortController | null = null;
  private ending = false;
  private ended = Promise.resolve();
  private readonly pace = new Pace();
  private prompts = new Map<string, string>();
  private source: ModelSource = { kind: "tiny" };
  private wake: WakeLockSentinel | null = null;

  constructor(private readonly client: Client, private readonly listener: Listener) {}

  /** Begins a session by the setup. */
  begin(setup: Setup): Promise<void> {
    const settings = settingsOf(setup);
    this.view = { ...emptyView("live"), methods: settings.methods, rounds: settings.rounds };
    this.source = setup.source;
    return (this.ended = this.go(null, setup, settings, setup.own));
  }

  /** A kept session, to be looked at and perhaps taken up. */
  look(session: SessionInfo, held: Pick<View, "reports" | "accuracy">): void {
    this.view = { ...emptyView("saved"), session, methods: session.settings.methods, rounds: session.settings.rounds, ...held };
    this.source = session.source;
    this.setState(session.finished ? "finished" : "paused");
    this.listener.onView();
  }

  /** Whether the model must be chosen again: a file that was not kept. */
  get needsFile(): boolean {
    return this.source.kind === "files" && this.source.files.length === 0;
  }

  resume(setup: Setup): Promise<void> {
    const { session } = this.view;
    if (!session) return this.begin(setup);
    if (this.needsFile && setup.source.kind === "files") this.source = setup.source;
    return (this.ended = this.go(session.name, setup, session.settings, session.own));
  }

  /** Stops at the next await, which is waited for; what the store holds is kept. */
  pause(): Promise<void> {
    this.control?.abort();
    return this.ended;
  }

  /** Pauses and has done with it; it can be taken up from the kept sessions. */
  stop(): void {
    this.ending = true;
    this.control?.abort();
  }

  forget(): void {
    this.view = emptyView("live");
    this.setState("idle");
  }

  private async go(name: string | null, setup: Setup, settings: SessionInfo["settings"], own: SessionInfo["own"]): Promise<void> {
    this.control = new AbortController();
    this.ending = false;
    this.view.origin = "live";
    this.setState("running");
    void this.stayAwake();
    try {
      await this.client.call("run", { name, source: this.source, settings, own, device: setup.device }, { signal: this.control.signal, onNews: (event) => this.hear(event) });
      this.setState("finished");
    } catch (error) {
      this.setState(!this.view.session ? "idle" : this.ending ? "finished" : "paused");
      if (!(error instanceof Error && error.name === "AbortError")) this.listener.onError(error);
    } finally {
      this.view.now = null;
      this.view.drawing = null;
      await this.wake?.release().catch(() => undefined);
      this.wake = null;
      this.listener.onView();
    }
  }

  private hear(event: RunEvent): void {
    const { view } = this;
    switch (event.kind) {
      case "session": view.session = event.session; view.rounds = event.session.settings.rounds; view.methods = event.session.settings.methods; break;
      case "loading": view.now = this.loading(event.loading); break;
      case "model": this.listener.onDevice(event.model.device); break;
      case "report": {
        view.reports[event.method] = event.report;
        for (const step of event.report.iterations) for (const prompt of step.round?.shown ?? []) this.prompts.set(prompt.id, prompt.prompt);
        break;
      }
      case "accuracy": view.accuracy = event.accuracy; break;
      case "log": if (!view.notes.includes(event.line)) view.notes.push(event.line); break;
      case "measuring": view.now = { method: event.method, stage: "measure", iteration: Math.max(0, event.model - 1), done: 0, total: 0, unit: `M${event.model} answers held-out questions`, rate: null, left: null }; break;
      case "drawn": withDrawn(view, event.drawn, this.prompts, Number((view.session?.settings.config.sample as { completions?: number } | undefined)?.completions ?? 5)); break;
      case "update": {
        const { stage, output, done, total, tokens } = event.update;
        const iteration = Number(/iteration-(\d+)/.exec(output)?.[1] ?? 1);
        const unit = stage === "sample" ? "completions" : stage === "score" ? "prompts" : "steps";
        view.now = { method: event.method, stage: stage as StageName, iteration, done, total, unit, ...this.pace.of(`${event.method} ${output} ${stage}`, event.at, done, total, tokens) };
        if (stage !== "sample" && stage !== "score") view.drawing = null;
      }
    }
    this.listener.onView();
  }

  private loading({ what, done, total }: Progress): Now {
    const unit = what === "download" ? `of the model fetched (${size(done)})` : what === "pipelines" ? "of the GPU's programs made" : "of the model read";
    return { method: this.view.methods[0]!, stage: "load", iteration: 0, done, total: total ?? 0, unit, rate: null, left: null };
  }

  /** Names of prompts, before a report tells them. */
  know(prompts: Iterable<[string, string]>): void {
    this.prompts = new Map(prompts);
  }

  /** The screen stays on while a run works; a hidden tab loses that and asks again. */
  async stayAwake(): Promise<void> {
    if (this.state !== "running") return;
    this.wake = (await navigator.wakeLock?.request("screen").catch(() => null)) ?? null;
  }

  private setState(state: State): void {
    this.state = state;
    this.listener.onState();
  }
}
