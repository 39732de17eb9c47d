// The visitor's own prompt: before and after, or judged.

import type { Client } from "../client";
import { at, make, say } from "../dom";
import type { Calls } from "../protocol";
import type { Setup } from "../settings";
import type { Chosen } from "../view";
import { explain, isAbort } from "./messages";

interface Options {
  client: Client;
  setup(): Setup;
  chosen(): Chosen;
  /** Why nothing can be asked now, or null. */
  busy(): string | null;
  onJudged(judged: Calls["judge"]["answers"]): void;
  onJudging(prompt: string, texts: string[]): void;
}

export function connectAsk({ client, setup, chosen, busy, onJudged, onJudging }: Options): void {
  let control: AbortController | null = null;
  const text = at<HTMLTextAreaElement>("ask-text");
  const place = at("answers");
  const working = (on: boolean) => {
    at("ask-stop").hidden = !on;
    for (const id of ["ask", "judge"]) at<HTMLButtonElement>(id).disabled = on;
  };
  const attempt = async (work: (prompt: string, signal: AbortSignal) => Promise<void>) => {
    const why = busy();
    if (why) return place.replaceChildren(make("p", { class: "note" }, why));
    control = new AbortController();
    working(true);
    try {
      await work(text.value.trim() || text.placeholder, control.signal);
    } catch (error) {
      if (!isAbort(error)) place.replaceChildren(make("p", { class: "note wrong" }, explain(error)));
    } finally {
      working(false);
    }
  };
  const asks = (prompt: string) => ({ prompt, method: chosen().method, seed: Number(setup().values.seed) || 0, device: setup().device });

  at<HTMLFormElement>("ask-form").addEventListener("submit", (event) => {
    event.preventDefault();
    void attempt(async (prompt, signal) => {
      const boxes = ["before", "after"].map((heading) => ({ title: make("h3", {}, heading), said: make("p", { class: "whole" }, "…") }));
      place.replaceChildren(...boxes.map(({ title, said }) => make("div", { class: "card" }, title, said)));
      const onNews = ({ which, text }: { which: 0 | 1; text: string }) => say(boxes[which]!.said, text || "…");
      const longest = Number(setup().values["sample.max_new_tokens"]) || 64;
      const { before, after, names } = await client.call("ask", { ...asks(prompt), temperature: 0, longest }, { signal, onNews });
      [before, after].forEach((answer, i) => {
        boxes[i]!.title.textContent = `${i === 0 ? "Before" : "After"}, ${names[i]}`;
        say(boxes[i]!.said, answer || "(empty)");
      });
      if (names[1] === "M0") place.append(make("p", { class: "note" }, "Nothing has been trained yet, so both are M0: run a round, then ask again."));
    });
  });
  at("judge").addEventListener("click", () => void attempt(async (prompt, signal) => {
    const judged = await client.call("judge", asks(prompt), { signal, onNews: ({ texts }) => onJudging(prompt, texts) });
    onJudged(judged);
    at("centre").scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  }));
  at("ask-stop").addEventListener("click", () => control?.abort());
}
