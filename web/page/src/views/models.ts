// The model to begin with: the tiny one, one that is kept, a file, or an address. Sizes are told before anything is fetched.

import type { Client } from "../client";
import { at, make, size } from "../dom";
import type { StoredModel } from "../protocol";
import { defaultsOf, type Setup } from "../settings";
import { explain } from "./messages";

/** Put in by the build. */
declare const TINY_BYTES: number;
declare const ENGINE_BYTES: number;
export const sizes = { tiny: TINY_BYTES, engine: ENGINE_BYTES };

interface Options { client: Client; setup: Setup; set: Set<string>; onChange(): void }

export async function showModels(options: Options): Promise<void> {
  const { client, setup } = options;
  const stored = await client.call("models", {}).catch(() => [] as StoredModel[]);
  const place = at("models");
  const choices = make("div", { class: "radios", role: "radiogroup", "aria-label": "Model" });
  const choose = (source: Setup["source"]) => {
    setup.source = source;
    const defaults = defaultsOf(source);
    for (const key of Object.keys(defaults)) if (!options.set.has(key)) setup.values[key] = defaults[key]!;
    options.onChange();
    void showModels(options);
  };
  choices.append(radio("tiny", `1.2 million parameters, knows short tasks; ${size(sizes.tiny)}`, setup.source.kind === "tiny", () => choose({ kind: "tiny" })));
  for (const { name, bytes } of stored) {
    const remove = make("button", { type: "button", class: "quiet", "aria-label": `Delete ${name} from this disk` }, "Delete");
    remove.addEventListener("click", async () => {
      await client.call("deleteModel", { name });
      if (setup.source.kind === "stored" && setup.source.name === name) choose({ kind: "tiny" });
      else void showModels(options);
    });
    const line = radio(name, `on this disk, ${size(bytes)}`, setup.source.kind === "stored" && setup.source.name === name, () => choose({ kind: "stored", name }));
    line.append(remove);
    choices.append(line);
  }
  if (setup.source.kind === "files") choices.append(radio(setup.source.files[0]?.name ?? "a file", "your file", true, () => undefined));
  if (setup.source.kind === "url") choices.append(radio(setup.source.url.split("/").filter(Boolean).pop()!, `from ${new URL(setup.source.url).host}, fetched when you start`, true, () => undefined));
  place.replaceChildren(make("legend", {}, "Model"), choices, fromFile(choose), fromUrl(client, choose));
}

function radio(name: string, note: string, checked: boolean, choose: () => void): HTMLElement {
  const input = make("input", { type: "radio", name: "model" });
  input.checked = checked;
  input.addEventListener("change", choose);
  return make("div", { class: "radio" }, make("label", {}, input, " ", make("span", {}, name), " ", make("small", {}, note)));
}

type Choose = (source: Setup["source"]) => void;

function fromFile(choose: Choose): HTMLElement {
  const input = make("input", { type: "file", id: "model-file", multiple: true, accept: ".gguf,.safetensors,.json,.jinja" });
  const take = (files: File[]) => { if (files.length) choose({ kind: "files", files, keep: keep.checked }); };
  const keep = make("input", { type: "checkbox", id: "model-keep" });
  keep.checked = true;
  input.addEventListener("change", () => take([...(input.files ?? [])]));
  const zone = make("div", { class: "drop" },
    make("label", { for: input.id }, "A file of yours ", make("small", {}, "GGUF, or config.json, tokenizer files and model.safetensors together; choose or drop here")), input,
    make("label", { class: "inline" }, keep, " keep a copy for the next visit"));
  zone.addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("over"); });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    take([...(event.dataTransfer?.files ?? [])]);
  });
  return zone;
}

function fromUrl(client: Client, choose: Choose): HTMLElement {
  const input = make("input", { type: "url", id: "model-url", placeholder: "https://…/model.gguf, or a folder ending in /" });
  const look = make("button", { type: "button" }, "Look at it");
  const told = make("p", { class: "note", role: "status" });
  look.addEventListener("click", async () => {
    const url = input.value.trim();
    told.classList.remove("wrong");
    told.textContent = "Asking for its first bytes …";
    try {
      const { bytes, ranges, kind } = await client.call("probe", { url });
      const use = make("button", { type: "button" }, bytes ? `Use it (${size(bytes)})` : "Use it");
      use.addEventListener("click", () => choose({ kind: "url", url, keep: true }));
      told.replaceChildren(`${kind === "gguf" ? "GGUF" : "A folder of safetensors"}, ${bytes ? size(bytes) : "of a size that the server does not tell"}. ${ranges ? "It comes in parts, and goes on where it stopped." : "The server gives no parts: it comes in one piece, from the start if it is cut off."} `, use);
    } catch (error) {
      told.classList.add("wrong");
      told.textContent = explain(error);
    }
  });
  return make("div", { class: "field" }, make("label", { for: input.id }, "An address ", make("small", {}, "Llama architecture, such as SmolLM2; SmolLM2-135M as Q4_1 has 98 MB")), make("div", { class: "row tight" }, input, look), told);
}
