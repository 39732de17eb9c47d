// Plays the recorded run, before anything is downloaded, through the very view that a live run is drawn from.

import { amount, length, momentAt, reportsAt, spans, type Moment } from "./playback";
import type { Method, Recorded } from "./report";
import { emptyView, promptOf, type View } from "./view";

const FRAME_MS = 80;

export class Recording {
  private readonly list;
  private seconds = 0;
  private timer: ReturnType<typeof setInterval> | null = null;

  constructor(private readonly recorded: Recorded, private readonly onView: (view: View) => void) {
    this.list = spans(recorded.reports);
  }

  get playing(): boolean {
    return this.timer !== null;
  }

  get over(): boolean {
    return this.seconds >= length(this.list);
  }

  play(): void {
    if (this.over) this.seconds = 0;
    this.timer ??= setInterval(() => this.step(), FRAME_MS);
    this.show();
  }

  pause(): void {
    if (this.timer !== null) clearInterval(this.timer);
    this.timer = null;
  }

  /** To a share of the whole; 1 is the finished run. */
  seek(share: number): void {
    this.seconds = length(this.list) * share;
    this.show();
  }

  show(): void {
    this.onView(viewOf(this.recorded, this.list, this.seconds));
  }

  private step(): void {
    if (!document.hidden) this.seconds += FRAME_MS / 1000;
    if (this.over) this.pause();
    this.show();
  }
}

function viewOf({ reports, accuracy, made }: Recorded, list: ReturnType<typeof spans>, seconds: number): View {
  const view = emptyView("recorded");
  view.methods = Object.keys(reports) as Method[];
  view.rounds = Math.max(...Object.values(reports).map((report) => report.iterations[report.iterations.length - 1]!.iteration));
  view.notes = [`Recorded: a run of ${made.command}, ${made.prompts} prompts, ${made.questions} questions, seed ${made.seed}; all weights were trained, where a run in this page trains an adapter.`];
  const moment = momentAt(list, seconds);
  view.reports = moment ? reportsAt(reports, list, moment) : reports;
  view.accuracy = moment ? accuracy.filter((row) => row.model <= modelsDone(view, row.method)) : accuracy;
  if (moment) {
    const report = reports[moment.method]!;
    view.now = { method: moment.method, iteration: moment.iteration, stage: moment.stage, rate: null, left: null, ...amount(report, moment) };
    view.drawing = drawingAt(reports, moment);
  }
  return view;
}

/** M0 is there from the start; a model is measured once its iteration is done. */
function modelsDone(view: View, method: Method): number {
  const done = view.reports[method]?.iterations.filter((step) => step.summary).map((step) => step.iteration + 1) ?? [];
  return Math.max(0, ...done);
}

/** Three prompts are seen being answered; the last is the one whose rankings are shown. */
function drawingAt(reports: Recorded["reports"], { method, iteration, stage, share }: Moment): View["drawing"] {
  if (stage !== "sample" && stage !== "score") return null;
  const step = reports[method]!.iterations.find((of) => of.iteration === iteration);
  const last = promptOf(step, null);
  if (!step?.round || !last) return null;
  const others = step.round.shown.filter((prompt) => prompt !== last);
  const seen = [others[Math.floor(others.length / 3)] ?? last, others[Math.floor((others.length * 2) / 3)] ?? last, last];
  const at = stage === "score" ? seen.length - 0.001 : share * seen.length;
  const prompt = seen[Math.min(seen.length - 1, Math.floor(at))]!;
  const written = stage === "score" ? 1 : Math.min(1, (at % 1) * 1.25);
  return { id: prompt.id, prompt: prompt.prompt, texts: prompt.completions.map((text) => text.slice(0, Math.round(text.length * written))) };
}
