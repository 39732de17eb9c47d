// Start, pause, stop, reset; the recording's button; and what happens when the tab is hidden.

import { at, say } from "./dom";
import type { Recording } from "./recording";
import type { LiveRun } from "./run";

interface Options { start(): void; stop(): void; reset(): void; run: LiveRun; recording(): Recording | null }

export function connectControls({ start, stop, reset, run, recording }: Options): void {
  let pausedByHiding: Promise<void> | null = null;
  at("start").addEventListener("click", start);
  at("pause").addEventListener("click", () => void run.pause());
  at("stop").addEventListener("click", () => {
    stop();
    at("setup").scrollIntoView({ block: "start" });
  });
  at("reset").addEventListener("click", () => {
    const button = at("reset");
    if (button.textContent === "Reset") {
      say(button, "Really delete this run?");
      setTimeout(() => say(button, "Reset"), 4000);
    } else {
      say(button, "Reset");
      reset();
    }
  });
  at("replay").addEventListener("click", () => {
    const played = recording();
    if (played?.playing) played.pause();
    else played?.play();
    played?.show();
  });
  // The address's fragment holds the settings: a link within the page must not replace it.
  for (const link of document.querySelectorAll<HTMLAnchorElement>('a[href^="#"]')) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      const target = document.getElementById(link.hash.slice(1)) ?? document.body;
      target.scrollIntoView();
      target.focus({ preventScroll: true });
    });
  }
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) void run.stayAwake();
    const wanted = document.querySelector<HTMLInputElement>("#pause-hidden")?.checked;
    if (document.hidden && wanted && run.state === "running") {
      pausedByHiding = run.pause();
    } else if (!document.hidden && pausedByHiding) {
      // A run stops at its next await, which may come after the tab is back.
      void pausedByHiding.then(() => {
        if (document.hidden || !pausedByHiding) return;
        pausedByHiding = null;
        if (run.state === "paused") start();
      });
    }
  });
}

/** Which buttons there are. */
export function showState(run: LiveRun, recording: Recording | null): void {
  const { state } = run;
  at("start").hidden = state === "running";
  say(at("start"), state === "paused" ? "Resume" : state === "finished" ? "Run again" : "Run it here");
  at("pause").hidden = state !== "running";
  at("stop").hidden = state !== "running";
  at("reset").hidden = state !== "paused" && state !== "finished";
  at("weight").hidden = state !== "idle";
  at("replay").hidden = state !== "idle" || !recording;
  if (recording) say(at("replay"), recording.playing ? "Pause the recording" : recording.over ? "Play it again" : "Play the recording");
  document.documentElement.dataset.state = state;
}
