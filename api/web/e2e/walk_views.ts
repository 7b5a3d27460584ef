/** Every view, as it looks on a desk in light and dark and on a phone. */
import assert from "node:assert/strict";
import type { Look } from "./browser";
import { fitsWidth, hasInk, isAccessible, isQuiet } from "./checks";
import { enter, type Given, locate, matches, search, settled, type Walk } from "./step";

const LOOKS: Record<string, Look> = {
  light: { width: 1280, height: 800, scheme: "light" },
  dark: { width: 1280, height: 800, scheme: "dark" },
  phone: { width: 360, height: 740, scheme: "light", touch: true },
};

export const VIEWS: Walk[] = Object.entries(LOOKS).map(([name, look]) => ({
  name: `views ${name}`,
  look,
  steps: (given) => views(given, name),
}));

async function views(given: Given, name: string): Promise<void> {
  const { page, watched, save } = given;
  await enter(given);
  await isWell(given, `${name}, gallery`);
  const { n_photos } = await page.evaluate(async () => (await (await fetch("v1/galleries")).json()).galleries[0]);
  if (name !== "phone") matches(await page.locator("#facts").textContent(), new RegExp(`^${n_photos.toLocaleString("en-US")} photo`), "number of photos");
  assert.ok((await hasInk(page)) > 8000, "the map is drawn");
  await save(`gallery-${name}`);

  await search(given);
  assert.ok((await page.locator(".card-face").count()) >= 3, "photos are found");
  matches(await page.locator(".card-score").first().textContent(), /^1 in \d|common/, "standing of the first photo");
  assert.ok(await page.locator(".cutoff").isVisible(), "histogram");
  await isWell(given, `${name}, search`);
  await page.locator(".card-face").nth(1).click();
  await page.locator(".details").waitFor();
  matches(await page.locator(".details .facts").textContent(), /1 in|as similar|less similar/, "standing in words");
  await settled(page);
  await isWell(given, `${name}, selected`);
  await page.locator(".panel").evaluate((panel) => panel.scrollTo(0, 0));
  await save(`search-${name}`);

  await cutOff(given);
  await byPhoto(given);
  await veryPlace(given, name);
  await locate(given);
  assert.ok((await page.locator(".bars").count()) >= 2, "shares are told");
  await region(given);
  await isWell(given, `${name}, locate`);
  await save(`locate-${name}`);
  await page.locator(".panel").evaluate((panel) => panel.scrollTo(0, 1e6));
  await settled(page);
  await save(`locate-more-${name}`);
  isQuiet(watched, name);
}

async function isWell({ page }: Given, where: string): Promise<void> {
  await isAccessible(page, where);
  await fitsWidth(page, where);
}

/** Which region the photo shows, by one classifier and by another. */
async function region({ page }: Given): Promise<void> {
  const told = page.getByRole("region", { name: "Region", exact: true });
  await told.getByText("France").waitFor();
  matches(await told.textContent(), /among 3 regions and no others/, "the grounds are told");
  const choice = told.getByLabel("By the classifier");
  if (!(await choice.count())) return;
  await choice.selectOption("wards");
  await told.getByText("2 others").waitFor();
}

/** A photo beside the words, each with a weight; then more of the answer. */
async function byPhoto({ page, photos }: Given): Promise<void> {
  const asked = page.waitForRequest((request) => request.url().endsWith("/search"));
  await page.locator(".composer input[type=file]").setInputFiles(photos[0]);
  const { queries } = (await asked).postDataJSON();
  assert.deepEqual(queries.map((query: object) => Object.keys(query)), [["text", "weight"], ["image", "weight"]]);
  await page.locator(".chip img.chip-picture").waitFor();
  assert.equal(await page.locator(".chip-weight").count(), 2, "weights");
  await page.locator(".results-head h2", { hasText: "Most alike" }).waitFor({ timeout: 60_000 });
  const before = await page.locator(".card-face").count();
  await page.getByRole("button", { name: "Show more" }).click();
  await page.waitForFunction((n) => document.querySelectorAll(".card-face").length > n, before);
  await page.getByRole("button", { name: "Start over" }).click();
  await page.locator(".results-head h2", { hasText: "Photos of this gallery" }).waitFor();
  assert.equal(await page.locator(".chip").count(), 0, "started over");
}

/** The very place of a photo, and what decided it. */
async function veryPlace(given: Given, name: string): Promise<void> {
  const { page, photos, save } = given;
  assert.ok(!(await page.locator(".very-place").isVisible()), "nothing to recognize yet");
  await page.locator(".composer input[type=file]").setInputFiles(photos[0]);
  await page.locator(".results-head h2", { hasText: "Most alike" }).waitFor({ timeout: 60_000 });
  const asked = page.waitForRequest((request) => request.url().endsWith("/recognize"));
  await page.getByRole("switch", { name: /The very place/ }).press("Space");
  assert.deepEqual(Object.keys((await asked).postDataJSON()).sort(), ["filter", "image", "limit"]);
  await page.locator(".results-head h2", { hasText: "Most likely place first" }).waitFor({ timeout: 60_000 });
  matches(await page.locator(".doubt").textContent(), /near/, "doubt in words");
  matches(await page.locator(".card-score").first().textContent(), /match|alike/, "figure of the first photo");
  const toTop = () => page.locator(".panel").evaluate((panel) => panel.scrollTo(0, 0));
  await toTop();
  await settled(page);
  await isWell(given, `${name}, very place`);
  await page.getByRole("button", { name: "Show what decided it" }).press("Enter");
  await page.locator(".match-picture img").waitFor({ timeout: 60_000 });
  await page.waitForFunction(() => (document.querySelector(".match-picture img") as HTMLImageElement).naturalWidth > 0);
  await toTop();
  await settled(page);
  await isWell(given, `${name}, match`);
  await save(`very-place-${name}`);
  await page.getByRole("button", { name: "Start over" }).click();
  await page.locator(".results-head h2", { hasText: "Photos of this gallery" }).waitFor();
  assert.equal(await page.locator(".match-picture").count(), 0, "nothing is left of the answer");
}

/** Raising the cut-off leaves only photos that stand as high. */
async function cutOff({ page }: Given): Promise<void> {
  const slider = page.locator(".cutoff input");
  const least = await page.evaluate(() => {
    const shown = [...document.querySelectorAll(".card-score")].map((each) => Number((each as HTMLElement).dataset.z));
    return Math.round(10 * ((shown[0] + shown[Math.min(5, shown.length - 1)]) / 2)) / 10;
  });
  await slider.evaluate((input: HTMLInputElement, value) => {
    input.value = String(value);
    input.dispatchEvent(new Event("input"));
    input.dispatchEvent(new Event("change"));
  }, least);
  await page.waitForFunction((z) => {
    const shown = [...document.querySelectorAll(".card-score")].map((each) => Number((each as HTMLElement).dataset.z));
    return shown.length > 0 && shown.every((each) => each >= z);
  }, least);
}
