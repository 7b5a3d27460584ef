/** Keys, refusals, an overloaded service and a lost network. */
import assert from "node:assert/strict";
import { isAccessible } from "./checks";
import { enter, type Given, locate, matches, search, type Walk } from "./step";

export const TROUBLE: Walk[] = [
  { name: "key", mock: { precision: "exact", key: "let-me-in" }, steps: key },
  { name: "busy", mock: { precision: "exact" }, steps: busy },
  { name: "network lost", mock: { precision: "exact" }, steps: lost },
  { name: "no WebGL", mock: { precision: "exact" }, steps: blind },
  { name: "empty gallery", mock: { precision: "exact" }, steps: empty },
];

async function key(given: Given): Promise<void> {
  const { page, url } = given;
  await page.goto(`${url}/`);
  await isAccessible(page, "key");
  await page.getByRole("textbox", { name: "Key" }).fill("wrong");
  await page.keyboard.press("Enter");
  await page.locator(".notice", { hasText: "This key is not known." }).waitFor();
  await page.getByRole("textbox", { name: "Key" }).fill("let-me-in");
  await page.keyboard.press("Enter");
  await page.locator(".card-face img").first().waitFor();
  const kept = await page.evaluate(() => [JSON.stringify({ ...sessionStorage }), JSON.stringify({ ...localStorage })]);
  matches(kept[0], /let-me-in/, "the key is kept in the tab");
  assert.ok(!kept[1].includes("let-me-in"), "and nowhere else");
}

async function busy(given: Given): Promise<void> {
  const { page } = given;
  await enter(given);
  await page.getByRole("searchbox").fill("busy");
  await page.keyboard.press("Enter");
  const notice = page.locator(".notice", { hasText: "ask again shortly" });
  await notice.waitFor();
  const again = notice.getByRole("button");
  matches(await again.textContent(), /Try again in \d s/, "waits as long as the service says");
  assert.ok(await again.isDisabled());
  await page.getByRole("button", { name: "Try again", exact: true }).waitFor({ timeout: 5000 });
  await isAccessible(page, "busy");
}

async function lost(given: Given): Promise<void> {
  const { page } = given;
  await enter(given);
  await page.route(/\/v1\//, (route) => route.abort());
  await page.getByRole("searchbox").fill("a harbor");
  await page.keyboard.press("Enter");
  await page.locator(".results .notice", { hasText: "cannot be reached" }).waitFor();
  await page.unroute(/\/v1\//);
  await page.locator(".results .notice").getByRole("button", { name: "Try again" }).click();
  await page.locator(".results-head h2", { hasText: "Most alike" }).waitFor();
  await search(given, "a castle");
}

async function blind(given: Given): Promise<void> {
  const { page } = given;
  await page.addInitScript(() => {
    HTMLCanvasElement.prototype.getContext = () => null;
  });
  await page.goto(`${given.url}/`);
  await page.locator(".map-missing").waitFor();
  await page.locator(".card-face").first().waitFor();
  await search(given);
  await locate(given);
}

async function empty(given: Given): Promise<void> {
  const { page, url } = given;
  await page.goto(`${url}/#empty/search`);
  await page.locator(".empty", { hasText: "no photos yet" }).waitFor();
  await page.getByRole("link", { name: "Locate" }).click();
  await page.locator(".refused", { hasText: "too few photos" }).waitFor();
  await isAccessible(page, "empty");
}
