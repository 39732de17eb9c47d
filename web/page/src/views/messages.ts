// Failures in place: one clear line each, what it means for what was done, and what to do next.

import { at, make } from "../dom";

export interface Action { label: string; act(): void }

/** Shows a message under the controls; the same one is not shown twice. */
export function message(text: string, actions: Action[] = []): void {
  const place = at("messages");
  for (const shown of [...place.children]) if (shown.firstElementChild?.textContent === text) shown.remove();
  const box = make("div", { class: "message" }, make("p", {}, text));
  const close = make("button", { type: "button", class: "quiet", "aria-label": "Dismiss this message" }, "×");
  close.addEventListener("click", () => box.remove());
  const row = make("div", { class: "row" });
  for (const { label, act } of actions) {
    const button = make("button", { type: "button" }, label);
    button.addEventListener("click", () => { box.remove(); act(); });
    row.append(button);
  }
  if (actions.length) box.append(row);
  box.append(close);
  place.append(box);
}

export const clearMessages = (): void => at("messages").replaceChildren();

/** A failure in a sentence: the engine's own words, and what they mean here. */
export function explain(error: unknown): string {
  const { name, message } = error instanceof Error ? error : { name: "Error", message: String(error) };
  const line = message.replace(/\s+/g, " ").replace(/([^.!?…])$/, "$1.");
  switch (name) {
    case "DeviceLost": return `The graphics card went away (${line.replace(/\.$/, "")}). What was saved is safe: take the run up again, or go on with the CPU.`;
    case "OutOfMemory": return `There is not enough memory: ${line} Choose a smaller model, a shorter longest answer or fewer answers, and take the run up again.`;
    case "RuntimeError":
    case "EngineEnded": return `The engine stopped: ${line} It is started anew with the next step; what was saved is safe. Out of memory is a common reason: a smaller model or shorter answers help.`;
    case "EngineFailed": return `The engine could not be started: ${line} Reload the page; if that does not help, a newer browser may.`;
    default: return line;
  }
}

/** Whether someone asked for it. */
export const isAbort = (error: unknown): boolean => error instanceof Error && error.name === "AbortError";
