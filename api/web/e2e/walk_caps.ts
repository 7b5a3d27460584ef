/** What is shown under the operator's caps, several photos of one place, and abstention. */
import assert from "node:assert/strict";
import type { Precision } from "../src/contract";
import { isAccessible, isQuiet } from "./checks";
import { enter, type Given, locate, matches, search, settled, type Walk } from "./step";

export const CAPS: Walk[] = [
  ...(["country", "region"] as const).map((precision): Walk => ({ name: `cap ${precision}`, mock: { precision }, steps: (given) => capped(given, precision) })),
  { name: "cap 25km", mock: { precision: "25km" }, steps: rounded },
  { name: "several photos of one place", mock: { precision: "exact" }, steps: several },
  { name: "abstention", mock: { precision: "exact" }, steps: abstains },
  { name: "drawing by pointer", mock: { precision: "exact" }, steps: drawn },
  { name: "drawing by touch", mock: { precision: "exact" }, look: { width: 360, height: 740, touch: true }, steps: touched },
  { name: "basemap of tiles", mock: { precision: "exact", basemap: "/basemap/{z}/{x}/{y}.png" }, steps: (given) => based(given, "tiles") },
  { name: "basemap of one file", mock: { precision: "exact", basemap: "/basemap/one.pmtiles" }, steps: (given) => based(given, "pmtiles") },
  { name: "colors", mock: { precision: "exact" }, steps: colored },
];

async function capped(given: Given, precision: Precision): Promise<void> {
  const { page, watched } = given;
  await enter(given);
  assert.equal(await page.getByRole("button", { name: "Draw a circle" }).isVisible(), false, "no areas");
  matches(await page.locator(".legend").textContent(), new RegExp(`told to the ${precision}`), "the cap is told");
  await search(given);
  await locate(given);
  assert.equal(await page.locator(".pin").count(), 0, "no pin");
  matches(await page.locator(".legend").textContent(), /Probability of a country/, "countries are shaded");
  matches(await page.locator(".answer").textContent(), /France/, "the foremost country");
  assert.equal(await page.locator(".bars caption", { hasText: "States" }).count(), precision === "region" ? 1 : 0, "states");
  await given.save(`cap-${precision}`);
  await isAccessible(page, precision);
  isQuiet(watched, precision);
}

async function rounded(given: Given): Promise<void> {
  await enter(given);
  await locate(given);
  matches(await given.page.locator(".point").textContent(), /48\.6° N, 2\.9° E/, "the point is rounded");
  isQuiet(given.watched, "25km");
}

async function several(given: Given): Promise<void> {
  const { page, watched } = given;
  await enter(given);
  await locate(given, 2);
  matches(await page.locator(".answer h2").textContent(), /Fiji/, "the answer");
  matches(await page.locator(".view").textContent(), /2 photos, taken as one place/, "as one place");
  await given.save("antimeridian-locate");
  await page.getByRole("button", { name: /Leave out/ }).first().click();
  await page.locator(".verdict h2", { hasText: "France" }).waitFor();
  isQuiet(watched, "several");
}

async function abstains(given: Given): Promise<void> {
  const { page, watched } = given;
  await enter(given);
  await locate(given);
  await page.getByLabel("Before looking").selectOption("uniform");
  await page.locator(".verdict.is-abstaining", { hasText: "No answer" }).waitFor();
  assert.equal(await page.locator(".pin").count(), 0, "no pin where there is no answer");
  matches(await page.locator(".verdict").textContent(), /says little about its place/, "why");
  await settled(page);
  await given.save("abstention");
  await isAccessible(page, "abstention");
  isQuiet(watched, "abstention");
}

async function drawn(given: Given): Promise<void> {
  const { page, watched } = given;
  await enter(given);
  const canvas = await page.locator("#map canvas").boundingBox();
  assert.ok(canvas);
  const at = (x: number, y: number) => [canvas.x + x * canvas.width, canvas.y + y * canvas.height] as const;
  const said = page.locator(".filter.is-set .filter-said");

  await page.getByRole("button", { name: "Draw a box" }).click();
  await page.mouse.move(...at(0.4, 0.35));
  await page.mouse.down();
  await page.mouse.move(...at(0.6, 0.55), { steps: 4 });
  await page.mouse.up();
  await said.filter({ hasText: "to" }).waitFor();
  assert.equal(await page.locator(".map-menu").count(), 0, "the end of a shape is no tap");

  await page.getByRole("button", { name: "Draw a polygon" }).click();
  for (const [x, y] of [[0.3, 0.3], [0.6, 0.3], [0.6, 0.6]]) await page.mouse.click(...at(x, y), { delay: 30 });
  await page.getByRole("button", { name: "Finish" }).click();
  await said.filter({ hasText: "polygon of 3 corners" }).waitFor();

  await page.getByRole("button", { name: "Draw a circle" }).click();
  await page.mouse.move(...at(0.45, 0.4));
  await page.mouse.down();
  await page.mouse.move(...at(0.55, 0.4), { steps: 4 });
  await page.mouse.up();
  await said.filter({ hasText: "within" }).waitFor();
  await settled(page);
  await given.save("area");

  await page.waitForTimeout(400);
  await page.mouse.click(...at(0.48, 0.8));
  await page.locator(".map-menu .button", { hasText: "Photos near here" }).click();
  await page.locator(".results-head h2", { hasText: "Nearest first" }).waitFor();
  matches(await page.locator(".card-score").first().textContent(), /km$/, "distance");
  isQuiet(watched, "drawing");
}

async function touched(given: Given): Promise<void> {
  const { page, watched } = given;
  await enter(given);
  const canvas = await page.locator("#map canvas").boundingBox();
  assert.ok(canvas);
  await page.getByRole("button", { name: "Draw a circle" }).tap();
  const session = await watched.context.newCDPSession(page);
  const touch = (type: "touchStart" | "touchMove" | "touchEnd", x = 0) =>
    session.send("Input.dispatchTouchEvent", { type, touchPoints: type === "touchEnd" ? [] : [{ x: canvas.x + x, y: canvas.y + 130 }] });
  await touch("touchStart", 150);
  for (const x of [170, 190, 210]) await touch("touchMove", x);
  await touch("touchEnd");
  await page.locator(".filter.is-set .filter-said", { hasText: "within" }).waitFor();
  isQuiet(watched, "touch");
}

async function based(given: Given, kind: string): Promise<void> {
  const { page, watched } = given;
  const asked: string[] = [];
  page.on("request", (request) => asked.push(request.url()));
  await enter(given);
  assert.ok(asked.some((address) => address.includes("/basemap/")), "tiles are asked for");
  matches(await page.locator(".maplibregl-ctrl-attrib").textContent(), /Natural Earth · Invented tiles <b>/, "attribution, as text");
  await given.save(`basemap-${kind}`);
  isQuiet(watched, kind);
}

async function colored(given: Given): Promise<void> {
  const { page, watched } = given;
  await enter(given);
  const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const inLight = await paper();
  const toggle = page.getByRole("button", { name: /^Colors/ });
  await toggle.click();
  assert.equal(await paper(), inLight, "light, as the system has it");
  await toggle.click();
  assert.notEqual(await paper(), inLight, "dark");
  await settled(page);
  await isAccessible(page, "dark by choice");
  await given.save("dark-by-choice");
  await page.reload();
  assert.notEqual(await paper(), inLight, "kept");
  isQuiet(watched, "colors");
}
