// Light or dark: the system's, unless the visitor says otherwise.

import { at } from "./dom";

const KEY = "cream theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

export function connectTheme(onChange: () => void): void {
  let said = remembered();
  const apply = () => {
    const theme = said ?? (dark.matches ? "dark" : "light");
    document.documentElement.dataset.theme = theme;
    at("theme").textContent = theme === "dark" ? "Light" : "Dark";
    at("theme").setAttribute("aria-label", `Switch to ${theme === "dark" ? "light" : "dark"}`);
    onChange();
  };
  at("theme").addEventListener("click", () => {
    said = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    try {
      localStorage.setItem(KEY, said);
    } catch { /* A private window may keep nothing. */ }
    apply();
  });
  dark.addEventListener("change", apply);
  apply();
}

function remembered(): string | null {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}
