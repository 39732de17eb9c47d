// What can be taken home, and the sessions that are kept.

import type { Client } from "../client";
import { at, make, plural, size } from "../dom";
import type { Download, SessionInfo } from "../protocol";
import type { Chosen, View } from "../view";
import { explain, message } from "./messages";

const DOWNLOADS: [Download, string, string][] = [
  ["adapter", "Adapter", "PEFT's two files as one zip, of the latest model"],
  ["adapter weights", "Adapter, weights alone", "adapter_model.safetensors"],
  ["adapter config", "Adapter, settings alone", "adapter_config.json"],
  ["pairs", "Pairs", "JSONL of the latest round, as TRL loads it"],
  ["report", "Report", "JSON of all that is drawn here"],
  ["session", "Session", "a zip, laid out as the program's run folders"],
];

let last = "";

export function showDownloads(client: Client, view: View, chosen: Chosen): void {
  const key = JSON.stringify([view.session?.name ?? null, chosen.method]);
  if (key === last) return;
  last = key;
  const { session } = view;
  const list = DOWNLOADS.map(([what, name, note]) => {
    const button = make("button", { type: "button", class: "link", disabled: !session }, name);
    button.addEventListener("click", async () => {
      try {
        const file = await client.call("download", { session: session!.name, method: chosen.method, what });
        save(new Blob([file.bytes as Uint8Array<ArrayBuffer>], { type: file.type }), file.name);
      } catch (error) {
        message(explain(error));
      }
    });
    return make("li", {}, button, " ", make("small", {}, note));
  });
  at("downloads").replaceChildren(make("h3", {}, session ? `Download, of ${chosen.method}` : "Download"), ...(session ? [] : [make("p", { class: "note" }, "Nothing yet: the recorded run is not yours. Start one.")]), make("ul", { class: "plain" }, ...list));
}

function save(blob: Blob, name: string): void {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

interface Options { client: Client; open(session: SessionInfo): void; onRemoved(name: string): void }

export async function showSessions({ client, open, onRemoved }: Options): Promise<SessionInfo[]> {
  const [found, storage] = await Promise.all([client.call("sessions", {}), client.call("storage", {})]);
  const items = found.map((session) => {
    const look = make("button", { type: "button", class: "link" }, `${session.model}, ${plural(session.prompts, "prompt")}, ${session.settings.methods.join(" and ")}`);
    look.addEventListener("click", () => open(session));
    const remove = make("button", { type: "button", class: "quiet", "aria-label": `Delete the session of ${session.created}` }, "Delete");
    remove.addEventListener("click", async () => {
      if (remove.textContent === "Delete") {
        remove.textContent = "Really?";
        setTimeout(() => { remove.textContent = "Delete"; }, 4000);
        return;
      }
      try {
        await client.call("deleteSession", { name: session.name });
        onRemoved(session.name);
      } catch (error) {
        message(explain(error));
      }
      void showSessions({ client, open, onRemoved });
    });
    const state = session.busy ? "at work in another tab" : session.finished ? "finished" : "can be taken up";
    return make("li", { class: "kept" }, make("div", {}, look, make("small", {}, ` ${when(session.changed)} · ${state}${session.bytes ? ` · ${size(session.bytes)}` : ""}`)), remove);
  });
  at("sessions").replaceChildren(make("h3", {}, "Sessions"), items.length ? make("ul", { class: "plain" }, ...items) : make("p", { class: "note" }, "None yet. A session is saved after every stage, and can be taken up after a closed tab or a crash."));
  at("storage").textContent = storage.why ?? `Models and sessions stay in this browser${storage.used !== null && storage.room ? ` (${size(storage.used)} of ${size(storage.room)} in use)` : ""}.`;
  return found;
}

export const when = (iso: string): string => new Date(iso).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
