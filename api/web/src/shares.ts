/** Names with bars: shares of countries and states, and how near the answer lies. */
import { el } from "./dom";
import { percent } from "./wording";

export function bars(title: string, rows: readonly { name: string; share: number; note?: string }[]): HTMLElement {
  const lines = rows.map(({ name, share, note }) => {
    const bar = el("span", { class: "bar-fill" });
    bar.style.width = `${Math.max(0.8, 100 * share)}%`;
    return el(
      "tr",
      {},
      el("th", { scope: "row" }, name, note && el("small", {}, note)),
      el("td", { class: "bar", "aria-hidden": "true" }, el("span", { class: "bar-track" }, bar)),
      el("td", { class: "figure" }, percent(share)),
    );
  });
  return el("table", { class: "bars" }, el("caption", {}, title), el("tbody", {}, ...lines));
}
