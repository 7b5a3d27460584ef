/** Light, dark, or as the system has it. The choice is kept in this browser. */
export type Theme = "auto" | "light" | "dark";
const NEXT: Record<Theme, Theme> = { auto: "light", light: "dark", dark: "auto" };
const NAME = "placeprint-theme";

const system = matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set<() => void>();
system.addEventListener("change", () => tell());

export function theme(): Theme {
  const kept = localStorage.getItem(NAME);
  return kept === "light" || kept === "dark" ? kept : "auto";
}

export function isDark(): boolean {
  return theme() === "auto" ? system.matches : theme() === "dark";
}

export function nextTheme(): Theme {
  const next = NEXT[theme()];
  if (next === "auto") localStorage.removeItem(NAME);
  else localStorage.setItem(NAME, next);
  applyTheme();
  tell();
  return next;
}

export function applyTheme(): void {
  document.documentElement.dataset.theme = theme();
}

export function onThemeChange(call: () => void): void {
  listeners.add(call);
}

function tell(): void {
  for (const call of listeners) call();
}
