/** Everything by keys alone. */
import assert from "node:assert/strict";
import { isQuiet } from "./checks";
import { enter, type Given, matches, settled, type Walk } from "./step";

export const KEYBOARD: Walk[] = [
  { name: "keyboard search", steps: byKeys },
  { name: "keyboard circle", mock: { precision: "exact" }, steps: circleByKeys },
  { name: "keyboard numbers across the antimeridian", mock: { precision: "exact" }, steps: boxByNumbers },
];

/** Presses Tab until something has the focus; every stop on the way must be visibly focused. */
async function tabTo({ page }: Given, selector: string, most = 40): Promise<void> {
  for (let i = 0; i < most; i++) {
    await page.keyboard.press("Tab");
    const stop = await page.evaluate((wanted) => {
      const focused = document.activeElement as HTMLElement;
      const ring = [focused, focused.nextElementSibling as HTMLElement | null].some((each) => {
        if (!each) return false;
        const { outlineStyle, boxShadow } = getComputedStyle(each);
        return outlineStyle !== "none" || boxShadow.includes("inset");
      });
      return { is: focused.matches(wanted), hasRing: ring || focused === document.body, name: focused.outerHTML.slice(0, 120) };
    }, selector);
    assert.ok(stop.hasRing, `focus is visible on ${stop.name}`);
    if (stop.is) return;
  }
  assert.fail(`Tab never reaches ${selector}`);
}

async function byKeys(given: Given): Promise<void> {
  const { page, watched } = given;
  await enter(given);
  await page.keyboard.press("Tab");
  matches(await page.evaluate(() => document.activeElement?.textContent ?? ""), /Skip/, "first stop");
  await page.keyboard.press("Enter");
  await tabTo(given, ".composer-text");
  await page.keyboard.type("-car");
  await page.keyboard.press("Enter");
  await page.locator(".fault", { hasText: "minus" }).waitFor();
  await page.keyboard.type("mountains");
  await page.keyboard.press("Enter");
  await page.locator(".results-head h2", { hasText: "Most alike" }).waitFor({ timeout: 60_000 });
  assert.equal(await page.locator(".chip").count(), 2);
  await settled(page);
  await tabTo(given, ".card-face");
  await page.keyboard.press("Enter");
  await page.locator(".details").waitFor();
  await tabTo(given, ".details .button");
  await page.keyboard.press("Enter");
  await page.locator(".chip-name", { hasText: "a photo of the gallery" }).waitFor();
  assert.equal(await page.locator(".chip").count(), 1, "more like this replaces the terms");
  await page.locator("#announcements", { hasText: /alike/ }).waitFor({ state: "attached" });
  isQuiet(watched, "keyboard");
}

async function circleByKeys(given: Given): Promise<void> {
  const { page, watched } = given;
  await enter(given);
  await page.getByRole("button", { name: "Draw a circle" }).focus();
  await page.keyboard.press("Enter");
  await page.keyboard.press("Enter");
  for (let i = 0; i < 3; i++) {
    await page.keyboard.press("ArrowRight");
    await page.waitForTimeout(500);
  }
  await page.keyboard.press("Enter");
  await page.locator(".filter.is-set .filter-said", { hasText: "within" }).waitFor();
  await page.getByRole("button", { name: "Clear the area" }).click();
  assert.equal(await page.locator(".filter.is-set").count(), 0, "cleared");
  isQuiet(watched, "circle");
}

async function boxByNumbers(given: Given): Promise<void> {
  const { page, watched } = given;
  await enter(given);
  await page.locator(".filter summary", { hasText: "Area" }).click();
  await page.getByLabel("Shape").selectOption("box");
  for (const [name, value] of [["West °", "170"], ["South °", "-30"], ["East °", "-170"], ["North °", "-5"]]) await page.getByLabel(name).fill(value);
  const asked = page.waitForRequest((request) => request.url().endsWith("/search"));
  await page.getByRole("button", { name: "Set area" }).click();
  assert.deepEqual((await asked).postDataJSON().filter.within, { kind: "box", west: 170, south: -30, east: -170, north: -5 });
  await page.locator(".results-head", { hasText: "28 photos" }).waitFor();
  await settled(page);
  await given.save("antimeridian-box");
  await page.getByLabel("North °").fill("north");
  await page.getByRole("button", { name: "Set area" }).click();
  matches(await page.locator(".area-form .fault").textContent(), /North: a number/, "a wrong number is named");
  isQuiet(watched, "numbers");
}
