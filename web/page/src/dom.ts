// Elements, and numbers as people read them. Words of a model reach the page as text, never as HTML.

type Child = Node | string | number | null | undefined;

/** An element with attributes and children. No `style`: the page's policy refuses inline styles. */
export function make<K extends keyof HTMLElementTagNameMap>(tag: K, attributes: Record<string, string | boolean> = {}, ...children: Child[]): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  attach(element, attributes, children);
  return element;
}

export function svg<K extends keyof SVGElementTagNameMap>(tag: K, attributes: Record<string, string | number> = {}, ...children: Child[]): SVGElementTagNameMap[K] {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  attach(element, attributes, children);
  return element;
}

function attach(element: Element, attributes: Record<string, string | number | boolean>, children: Child[]): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false) element.setAttribute(name, String(value));
  }
  for (const child of children) if (child != null) element.append(child instanceof Node ? child : String(child));
}

/** An element of index.html. */
export function at<T extends HTMLElement = HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (!element) throw new Error(`no element with id ${id}`);
  return element as T;
}

/** Sets a text only where it changes: a live region would be read out again. */
export function say(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** Rows of a table; a column is a heading, a cell and perhaps a class. */
export function fill<Row>(table: HTMLTableElement, columns: [string, (row: Row) => Child, string?][], rows: Row[]): void {
  const head = columns.map(([name, , kind]) => make("th", { class: kind ?? "", scope: "col" }, name));
  const body = rows.map((row) => make("tr", {}, ...columns.map(([, cell, kind]) => make("td", { class: kind ?? "" }, cell(row)))));
  table.replaceChildren(make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body));
}

/** With a minus sign, and none before zero. */
export const signed = (text: string): string => (Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−"));
export const fixed = (value: number | null | undefined, digits = 2): string => (value == null ? "–" : signed(value.toFixed(digits)));
/** By its leading digits. */
export const short = (value: number | null | undefined): string => (value == null ? "–" : String(Number(value.toPrecision(3))).replace("-", "−"));
export const percent = (value: number | null | undefined): string => (value == null ? "–" : `${Math.round(value * 100)} %`);
export const whole = (value: number): string => Math.round(value).toLocaleString("en");
export const plural = (count: number, word: string): string => `${whole(count)} ${word}${count === 1 ? "" : "s"}`;
/** A, B, C, … for completions. */
export const letter = (i: number): string => (i < 26 ? String.fromCharCode(65 + i) : String(i + 1));

export function size(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 1e6) return `${Math.round(bytes / 1e3)} kB`;
  if (bytes < 1e9) return `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
  return `${(bytes / 1e9).toFixed(2)} GB`;
}

export function duration(seconds: number): string {
  if (seconds < 0.95) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
