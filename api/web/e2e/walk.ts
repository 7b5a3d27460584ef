/**
 * Walks through the page in a browser: `npm run e2e -- --url http://127.0.0.1:8000 --out DIR --photo FILE`.
 *
 * Without --url against the stand-in. Caps, keys and failures are always walked against the stand-in. Exit
 * status 1 if anything is not as it should be; pictures are left in DIR.
 */
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Look, Watched } from "./browser";
import { picture } from "./invented";
import { serveMock } from "./mock";
import { type Given, type Walk } from "./step";
import { CAPS } from "./walk_caps";
import { KEYBOARD } from "./walk_keyboard";
import { PLACES } from "./walk_places";
import { TROUBLE } from "./walk_trouble";
import { VIEWS } from "./walk_views";

const { values } = parseArgs({
  options: {
    url: { type: "string" },
    out: { type: "string", default: "generated/e2e" },
    photo: { type: "string", multiple: true, default: [] },
    text: { type: "string", default: "a church by the sea" },
    only: { type: "string", default: "" },
  },
});
mkdirSync(values.out, { recursive: true });
const photos = values.photo.length
  ? values.photo.map((path) => ({ name: "photo.jpg", mimeType: path.endsWith("png") ? "image/png" : "image/jpeg", buffer: readFileSync(path) }))
  : ["one", "two"].map((name) => ({ name: `${name}.png`, mimeType: "image/png", buffer: picture(name, 256) }));

let nFailed = 0;
for (const walk of [...VIEWS, ...KEYBOARD, ...PLACES, ...CAPS, ...TROUBLE]) {
  if (!walk.name.includes(values.only)) continue;
  await run(walk);
}
console.log(nFailed ? `${nFailed} failed` : "all as it should be");
process.exitCode = nFailed ? 1 : 0;

async function run(walk: Walk): Promise<void> {
  const mock = walk.mock || !values.url ? await serveMock({ precision: "exact", ...walk.mock }) : null;
  const url = mock?.url ?? (values.url as string);
  const look: Look = { width: 1280, height: 800, scheme: "light", ...walk.look };
  const watched = await Watched.open(url, look);
  const given: Given = { url, page: watched.page, watched, photos, text: values.text, isMock: Boolean(mock), options: mock?.options, save: (name) => save(watched, name) };
  const started = Date.now();
  try {
    await walk.steps(given);
    console.log(`ok    ${walk.name} (${((Date.now() - started) / 1000).toFixed(1)} s)`);
  } catch (error) {
    nFailed += 1;
    console.log(`FAIL  ${walk.name}: ${error instanceof Error ? error.message : error}`);
    await watched.page.screenshot({ path: join(values.out, `failed-${walk.name.replaceAll(" ", "-")}.png`) }).catch(() => {});
  } finally {
    await watched.close();
    mock?.server.closeAllConnections();
    mock?.server.close();
  }
}

/** A picture of the page below 200 kB. */
async function save({ page }: Watched, name: string): Promise<void> {
  for (const quality of [84, 74, 62, 50]) {
    const path = join(values.out, `${name}.jpg`);
    const bytes = await page.screenshot({ path, type: "jpeg", quality });
    if (bytes.length < 200_000) return;
  }
}
