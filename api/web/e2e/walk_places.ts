/** A gallery of places: a click on the map, a second one that leads away, coordinates typed, keys alone. */
import assert from "node:assert/strict";
import { fitsWidth, isAccessible, isQuiet } from "./checks";
import { type Given, matches, settled, type Walk } from "./step";

export const PLACES: Walk[] = [
  { name: "places", mock: { precision: "exact" }, steps: places },
  { name: "places dark phone", mock: { precision: "exact" }, look: { width: 390, height: 844, scheme: "dark" }, steps: places },
  { name: "places under a country cap", mock: { precision: "country" }, steps: capped },
];

async function places(given: Given): Promise<void> {
  const { page, watched, url, save, options } = given;
  assert.ok(options);
  await page.goto(`${url}/#towns`);
  await page.locator(".results-head h2", { hasText: "No place asked" }).waitFor();
  assert.deepEqual(await page.locator(".tab").allTextContents(), ["Places"], "the gallery's tabs");
  await settled(page);
  matches(await page.locator("#facts").textContent(), /places ·/, "what the gallery holds");

  const first = await asked(given, () => page.locator("#map canvas").first().click({ position: { x: 160, y: 120 } }));
  assert.equal(first.like.length, 1);
  await page.locator(".results-head h2", { hasText: "Most alike" }).waitFor();
  await page.locator(".chip img").first().waitFor();
  matches(await page.locator(".card-score").first().textContent(), /^-?\d\.\d\d · .*m$/, "similarity and distance");
  await isAccessible(page, "places");
  await fitsWidth(page, "places");

  await settled(page);
  await page.getByLabel("But not this one").check();
  const second = await asked(given, () => page.locator("#map canvas").first().click({ position: { x: 220, y: 160 } }));
  assert.deepEqual([second.like, second.unlike.length], [first.like, 1], "a second click leads away");
  await page.locator(".chip.is-minus").waitFor();
  await page.locator(".pin-unlike").waitFor();
  await settled(page);
  await save(`places-${page.viewportSize()?.width}`);

  await page.getByLabel("Like this one", { exact: true }).check();
  await page.getByLabel("Longitude").fill("-182,5");
  await page.getByLabel("Latitude").fill("95");
  await page.keyboard.press("Enter");
  await page.locator(".fault", { hasText: "from -90 to 90" }).waitFor();
  await page.getByLabel("Latitude").fill("-17.5");
  const typed = await asked(given, () => page.keyboard.press("Enter"));
  assert.deepEqual([typed.like, typed.unlike], [[{ lon: 177.5, lat: -17.5 }], []], "typed places begin anew");

  await settled(page);
  await page.locator(".card-face").first().focus();
  await page.keyboard.press("Enter");
  const like = await asked(given, () => page.getByRole("button", { name: "More like this" }).press("Enter"));
  assert.notDeepEqual(like.like, typed.like, "a place found is asked about");
  await settled(page);
  const more = await asked(given, () => page.getByRole("button", { name: "Show more" }).press("Enter"));
  assert.equal(more.limit, 24);
  await page.locator(".chip-remove").first().press("Enter");
  await page.locator(".results-head h2", { hasText: "No place asked" }).waitFor();
  isQuiet(watched, "places");
}

async function capped({ page, url }: Given): Promise<void> {
  await page.goto(`${url}/#towns`);
  matches(await page.locator(".refused p").textContent(), /told to the country/, "why it is refused");
}

/** The question that an action asks. */
async function asked({ page }: Given, act: () => Promise<void>): Promise<any> {
  const request = page.waitForRequest((each) => each.url().endsWith("/places/like"));
  const [told] = await Promise.all([request, act()]);
  return told.postDataJSON();
}
