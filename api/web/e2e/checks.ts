/** Checks that hold on every view: accessible, within the page's width, no complaint, no foreign request. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Page } from "playwright-core";
import type { Watched } from "./browser";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
interface Violation {
  id: string;
  impact: string | null;
  nodes: { target: string[]; failureSummary: string }[];
}

/** No violation of WCAG 2.2 A or AA that axe calls serious or critical. */
export async function isAccessible(page: Page, where: string): Promise<void> {
  await page.evaluate(AXE);
  const violations = await page.evaluate(async () => {
    const { axe } = window as unknown as { axe: { run: (root: Document, options: object) => Promise<{ violations: Violation[] }> } };
    const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
    return (await axe.run(document, { runOnly: { type: "tag", values: tags } })).violations;
  });
  const bad = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  const said = bad.map(({ id, nodes }) => `${id}: ${nodes.map(({ target, failureSummary }) => `${target} (${failureSummary})`).join("; ")}`);
  assert.deepEqual(said, [], `${where}: accessibility`);
  const mild = violations.filter((each) => !bad.includes(each)).map(({ id }) => id);
  if (mild.length) console.log(`    ${where}: axe also notes ${mild.join(", ")}`);
}

/** Nothing sticks out at the sides. */
export async function fitsWidth(page: Page, where: string): Promise<void> {
  const wide = await page.evaluate(() => {
    const panel = document.querySelector(".panel") as HTMLElement;
    const out = [...document.querySelectorAll<HTMLElement>("body *")].filter((element) => {
      const { right, width } = element.getBoundingClientRect();
      return width > 0 && right > innerWidth + 1 && !element.closest("#map, .said-only");
    });
    return { page: document.documentElement.scrollWidth - innerWidth, panel: panel.scrollWidth - panel.clientWidth, out: out.slice(0, 3).map(({ className }) => className) };
  });
  assert.ok(wide.page <= 0 && wide.panel <= 0 && !wide.out.length, `${where}: too wide ${JSON.stringify(wide)}`);
}

export function isQuiet(watched: Watched, where: string, allowed: RegExp[] = []): void {
  const loud = watched.complaints.filter((line) => !allowed.some((pattern) => pattern.test(line)));
  assert.deepEqual(loud, [], `${where}: complaints in the console`);
  assert.deepEqual(watched.elsewhere, [], `${where}: requests to other origins`);
}

/** What the map draws in a layer, as its features' properties. */
export async function hasInk(page: Page): Promise<number> {
  // Pixels are read from a screenshot of the canvas: a map that failed to draw has one color.
  const shot = await page.locator("#map canvas").screenshot({ type: "png" });
  return shot.length;
}
