// The page: puts together what is shown, what can be set and what runs.

import "./style/base.css";
import "./style/page.css";
import { Client } from "./client";
import { connectControls, showState } from "./controls";
import { at, make, say, size } from "./dom";
import type { DeviceInfo, SessionInfo } from "./protocol";
import { Recording } from "./recording";
import type { Recorded } from "./report";
import { LiveRun } from "./run";
import { adoptDemo, defaultSetup, fromFragment, toFragment } from "./settings";
import { emptyView, type Chosen, type View } from "./view";
import { connectAsk } from "./views/ask";
import { connectCentre, showCentre } from "./views/centre";
import { chartParts, forgetCharts, placeCharts } from "./views/charts";
import { showDownloads, showSessions, when } from "./views/home";
import { clearMessages, explain, message } from "./views/messages";
import { showModels, sizes } from "./views/models";
import { showProgress } from "./views/progress";
import { showDrawing } from "./views/ranking";
import { showPrompts, showSettings } from "./views/setup";
import { showTable } from "./views/table";
import { connectTheme } from "./theme";

const linked = fromFragment(location.hash);
const setup = linked?.setup ?? defaultSetup();
const set = linked?.set ?? new Set<string>();
const client = new Client();
const chosen: Chosen = { method: setup.methods[0]!, round: null, prompt: null, yours: false };
let view: View = emptyView("recorded");
let recording: Recording | null = null;

const run = new LiveRun(client, {
  onView: () => { view = run.view; draw(); },
  onState: () => { showState(run, recording); void refreshSessions(); },
  onDevice: showDevice,
  onError: (error) => {
    const lost = error instanceof Error && ["DeviceLost", "OutOfMemory", "RuntimeError", "EngineEnded"].includes(error.name);
    message(explain(error), run.view.session
      ? [{ label: "Take it up again", act: start }, ...(lost && setup.device === "auto" ? [{ label: "Go on with the CPU", act: () => { setup.device = "cpu"; changed(); start(); } }] : [])]
      : [{ label: "Try again", act: start }]);
  },
});

/** What is drawn, a part a frame: all at once is felt on a slow machine. */
const parts = [
  () => {
    say(at("origin"), view.origin === "recorded" ? "Recorded run" : view.origin === "saved" ? "Kept run" : run.state === "running" ? "Live" : "Your run");
    at("origin").dataset.origin = view.origin;
    showProgress(view);
    showState(run, recording);
  },
  () => showCentre(view, chosen),
  ...chartParts.map((show) => () => show(view, chosen)),
  () => { showTable(view); showDownloads(client, view, chosen); },
];
let planned = false;
let news = false;
/** Draws from the next frame on, and several news at once. */
function draw(): void {
  news = true;
  if (!planned) plan(0);
}

function plan(part: number): void {
  planned = true;
  const frame = document.hidden ? (work: () => void) => setTimeout(work, 500) : requestAnimationFrame;
  frame(() => {
    planned = false;
    if (part === 0) news = false;
    if (!view.methods.includes(chosen.method)) chosen.method = view.methods[0]!;
    parts[part]!();
    if (part + 1 < parts.length) plan(part + 1);
    else if (news) plan(0);
  });
}

function showDevice({ name, kind, why }: DeviceInfo): void {
  say(at("device"), kind === "gpu" ? `on the GPU: ${name}` : `on the CPU${why && why !== "chosen in the settings" ? `, since the GPU cannot be used: ${why}` : why ? `, as ${why}` : ""}`);
}

function start(): void {
  clearMessages();
  recording?.pause();
  if (run.state === "paused" && run.needsFile && setup.source.kind !== "files") {
    return message(`This session's model was a file of yours, and no copy was kept: choose ${run.view.session?.model ?? "it"} again under Setup, then resume.`);
  }
  try {
    chosen.round = chosen.prompt = null;
    chosen.yours = false;
    void (run.state === "paused" ? run.resume(setup) : client.call("defaults", {}).then(async ({ config, prompts }) => {
      if (setup.source.kind === "tiny") {
        adoptDemo(config, set, setup.values);
        run.know(prompts.map((row) => [row.id, "prompt" in row ? row.prompt : row.messages.map((turn) => turn.content).join("\n")]));
        changed();
      }
      await run.begin(setup);
    }).catch((error: unknown) => message(explain(error), [{ label: "Try again", act: start }])));
  } catch (error) {
    message(explain(error));
  }
}

function stop(): void {
  run.stop();
  recording?.pause();
}

async function reset(): Promise<void> {
  const name = run.view.session?.name;
  run.forget();
  if (name) await client.call("deleteSession", { name }).catch((error: unknown) => message(explain(error)));
  chosen.round = chosen.prompt = null;
  recording?.show();
  void refreshSessions();
}

async function look(session: SessionInfo): Promise<void> {
  if (run.state === "running") return message("A run is at work: pause it first, then look at another session.");
  clearMessages();
  recording?.pause();
  try {
    run.look(session, await client.call("view", { name: session.name }));
    at("offers").replaceChildren();
    if (session.busy) message("Another tab works on this session: it can be looked at here, and taken up once that tab is closed.");
  } catch (error) {
    message(explain(error));
  }
}

async function refreshSessions(): Promise<SessionInfo[]> {
  try {
    return await showSessions({ client, open: (session) => void look(session), onRemoved: (name) => { if (run.view.session?.name === name && run.state !== "running") void reset(); } });
  } catch (error) {
    say(at("storage"), explain(error));
    return [];
  }
}

/** The setup changed: fields and address follow. */
function changed(): void {
  const { fragment, complete } = toFragment(setup);
  history.replaceState(null, "", `#${fragment}`);
  at("copy-link").title = complete ? "" : "The prompts or the model's file are not in the link: give them along.";
  const options = { setup, set, onChange: changed };
  if (!document.activeElement?.closest("#settings")) showSettings(options);
  if (!document.activeElement?.closest("#prompts")) showPrompts(options);
}

async function begin(): Promise<void> {
  placeCharts();
  connectTheme(() => { forgetCharts(); draw(); });
  connectControls({ start, stop, reset: () => void reset(), run, recording: () => recording });
  connectCentre(() => view, chosen, draw);
  const options = { client, setup, set, onChange: changed };
  showSettings(options);
  showPrompts(options);
  say(at("weight"), `Fetches ${size(sizes.tiny + sizes.engine)}${sizes.engine ? ": engine and tiny model" : ": the tiny model"}. Larger models under Setup.`);
  at("copy-link").addEventListener("click", async () => {
    changed();
    const { complete } = toFragment(setup);
    const copied = await navigator.clipboard?.writeText(location.href).then(() => true, () => false);
    say(at("copied"), copied ? (complete ? "Copied." : "Copied, without your prompts or file: give those along.") : "Copy it from the address bar.");
  });
  connectAsk({
    client, setup: () => setup, chosen: () => chosen,
    busy: () => (run.state === "running" ? "A run is at work: pause it, then ask." : null),
    onJudging: (prompt, texts) => { recording?.pause(); showDrawing(prompt, texts, ["its former self", "as it is now"], "Your prompt is being answered."); },
    onJudged: ({ round, prompt }) => { view.yours = { round, prompt }; chosen.yours = true; draw(); },
  });
  const recorded = await fetch("./recorded.json").then((response) => response.json() as Promise<Recorded>).catch(() => null);
  if (recorded) {
    recording = new Recording(recorded, (next) => { if (run.state === "idle") { view = next; draw(); } });
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) recording.seek(1);
    else recording.play();
  } else draw();
  void showModels(options);
  const last = (await refreshSessions()).find((session) => !session.finished);
  // A page that was reloaded holds its session for a moment still.
  if (last?.busy) await new Promise((go) => setTimeout(go, 1000));
  const free = last?.busy ? (await refreshSessions()).find((session) => session.name === last.name) : last;
  if (free && !free.busy && run.state === "idle") offer(free);
  addEventListener("hashchange", () => { if (fromFragment(location.hash)) location.reload(); });
  if (linked) at("weight").append(" The settings come from the link.");
  if (linked?.wrong.length) message(`The link says what this page cannot use; the rest is taken. ${linked.wrong.join(". ")}.`);
}

function offer(session: SessionInfo): void {
  const button = make("button", { type: "button" }, "Take it up");
  button.addEventListener("click", () => void look(session).then(start));
  const see = make("button", { type: "button", class: "quiet" }, "Look at it");
  see.addEventListener("click", () => void look(session));
  at("offers").replaceChildren(make("div", { class: "offer" }, make("p", {}, `Your run of ${when(session.changed)} (${session.model}) is not finished. `), make("div", { class: "row" }, button, see)));
}

void begin();
