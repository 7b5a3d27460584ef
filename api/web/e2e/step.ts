/** What a walk is given, and steps that several walks take. */
import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import type { Look, Watched } from "./browser";
import type { MockOptions } from "./mock";

export interface Given {
  url: string;
  page: Page;
  watched: Watched;
  photos: { name: string; mimeType: string; buffer: Buffer }[];
  /** Words to search for. */
  text: string;
  isMock: boolean;
  options?: MockOptions;
  /** Keeps a picture of the page. */
  save: (name: string) => Promise<void>;
}

export interface Walk {
  name: string;
  look?: Partial<Look>;
  /** Against the stand-in with these options, whatever service was named. */
  mock?: Partial<MockOptions>;
  steps: (given: Given) => Promise<void>;
}

/** Opens the page and waits for the gallery's first photos and the map. */
export async function enter({ page, url }: Given): Promise<void> {
  await page.goto(`${url}/`);
  await page.locator(".card-face").first().waitFor();
  await page.locator("#map canvas").waitFor();
  await settled(page);
}

/** Waits until pictures in view are there and the map has come to rest. */
export async function settled(page: Page): Promise<void> {
  await page.waitForLoadState("networkidle");
  await page.waitForFunction(() => {
    const panel = (document.querySelector(".panel") as HTMLElement).getBoundingClientRect();
    return [...document.querySelectorAll(".picture.is-loading")].every((each) => {
      const { top, bottom } = each.getBoundingClientRect();
      return top > panel.bottom || bottom < panel.top;
    });
  });
  await page.waitForTimeout(1200);
}

export async function locate({ page, photos }: Given, n = 1): Promise<void> {
  await page.getByRole("link", { name: "Locate" }).click();
  await page.locator(".drop input[type=file]").setInputFiles(photos.slice(0, n));
  await page.locator(".verdict h2").waitFor({ timeout: 60_000 });
  await settled(page);
}

export async function search({ page, text }: Given, words = text): Promise<void> {
  const input = page.getByRole("searchbox");
  await input.fill(words);
  await input.press("Enter");
  await page.locator(".results-head h2", { hasText: /Most alike|Nothing/ }).waitFor({ timeout: 60_000 });
  await settled(page);
}

export function matches(text: string | null, pattern: RegExp, what: string): void {
  assert.ok(text !== null && pattern.test(text), `${what}: ${JSON.stringify(text)} does not match ${pattern}`);
}
