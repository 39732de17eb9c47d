// The settings and the prompts, as fields. Models have a file of their own.

import { at, make, plural } from "../dom";
import { COUNTS, FIELDS, problem, readPrompts, type Field, type Setup } from "../settings";
import { METHODS, type Method } from "../report";

interface Options { setup: Setup; set: Set<string>; onChange(): void }

const NAMES: Record<Method, string> = { cream: "cream", srlm: "plain self-rewarding (srlm)" };

export function showSettings({ setup, set, onChange }: Options): void {
  const place = at("settings");
  place.replaceChildren(make("legend", {}, "Settings"), methods(setup, onChange), fields(FIELDS, { setup, set, onChange }), computing(setup, onChange));
}

function fields(list: Field[], { setup, set, onChange }: Options): HTMLElement {
  const grid = make("div", { class: "fields" });
  for (const field of list) {
    const id = `set-${field.key.replace(".", "-")}`;
    const input = field.kind === "choice" ? make("select", { id }, ...field.choices!.map(([value, name]) => make("option", { value }, name))) : make("input", { id, inputmode: "decimal", autocomplete: "off" });
    input.value = setup.values[field.key] ?? "";
    const wrong = make("span", { class: "wrong", id: `${id}-wrong` });
    input.setAttribute("aria-describedby", wrong.id);
    input.addEventListener("change", () => {
      const told = problem(field, input.value);
      wrong.textContent = told ? told.replace(`${field.key}: `, "") : "";
      input.toggleAttribute("aria-invalid", told !== null);
      setup.values[field.key] = input.value;
      set.add(field.key);
      onChange();
    });
    grid.append(make("div", { class: "field" }, make("label", { for: id }, field.label, " ", make("small", {}, field.help)), input, wrong));
  }
  return grid;
}

function methods(setup: Setup, onChange: () => void): HTMLElement {
  const boxes = METHODS.map((method) => {
    const box = make("input", { type: "checkbox", id: `method-${method}` });
    box.checked = setup.methods.includes(method);
    box.addEventListener("change", () => {
      const chosen = METHODS.filter((name) => at<HTMLInputElement>(`method-${name}`).checked);
      if (!chosen.length) box.checked = true;
      setup.methods = chosen.length ? chosen : [method];
      onChange();
    });
    return make("label", {}, box, " ", NAMES[method]);
  });
  return make("div", { class: "row", role: "group", "aria-label": "Methods" }, ...boxes);
}

function computing(setup: Setup, onChange: () => void): HTMLElement {
  const cpu = make("input", { type: "checkbox", id: "cpu" });
  cpu.checked = setup.device === "cpu";
  cpu.addEventListener("change", () => { setup.device = cpu.checked ? "cpu" : "auto"; onChange(); });
  const hidden = make("input", { type: "checkbox", id: "pause-hidden" });
  return make("div", { class: "row" },
    make("label", {}, cpu, " compute on the CPU, even where there is a GPU"),
    make("label", {}, hidden, " pause while this tab is hidden"));
}

export function showPrompts({ setup, set, onChange }: Options): void {
  const place = at("prompts");
  const tiny = setup.source.kind === "tiny";
  const text = make("textarea", { id: "own-prompts", rows: "6", spellcheck: "false", placeholder: tiny ? "Leave empty for the demo's own questions" : "One prompt a line, or JSONL: {\"id\": …, \"prompt\": …}" });
  text.value = (setup.own ?? []).map((row) => ("prompt" in row && !row.prompt.includes("\n") ? row.prompt : JSON.stringify(row))).join("\n");
  const told = make("p", { class: "note", role: "status" });
  const take = () => {
    try {
      const rows = readPrompts(text.value);
      setup.own = rows.length ? rows : null;
      told.textContent = rows.length ? plural(rows.length, "prompt") : "";
      told.classList.remove("wrong");
    } catch (error) {
      told.textContent = (error as Error).message;
      told.classList.add("wrong");
      return;
    }
    onChange();
  };
  text.addEventListener("change", take);
  const file = make("input", { type: "file", id: "prompt-file", accept: ".jsonl,.txt,.json" });
  file.addEventListener("change", async () => {
    text.value = (await file.files?.[0]?.text()) ?? text.value;
    take();
  });
  place.replaceChildren(make("legend", {}, "Prompts"),
    ...(tiny ? [fields(COUNTS, { setup, set, onChange })] : []),
    make("div", { class: "field" }, make("label", { for: text.id }, "Or your own ", make("small", {}, "one a line, or JSONL")), text),
    make("div", { class: "field" }, make("label", { for: file.id }, "From a file"), file), told);
}
