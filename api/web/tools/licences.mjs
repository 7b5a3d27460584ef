/**
 * Lists what of others is in dist/: package, version, licence, the sha256 of the files taken, licence text.
 *
 * Taken are the packages that the page imports at run time, and the atlas and codes that it was built from.
 */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const MODULES = fileURLToPath(new URL("../node_modules/", import.meta.url));
const DIST = fileURLToPath(new URL("../dist/", import.meta.url));
const OF_THE_PAGE = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")).dependencies;
/** What the build turns into files of the page, beside its run-time imports. */
const TURNED = {
  "world-atlas": ["countries-110m.json", "countries-50m.json"],
  "i18n-iso-countries": ["codes.json"],
};

const names = [...new Set([...Object.keys(OF_THE_PAGE).flatMap((name) => withNeeds(name)), ...Object.keys(TURNED)])].sort();
const files = readdirSync(join(DIST, "assets")).sort().map((name) => `${sha256(join(DIST, "assets", name))}  assets/${name}`);
writeFileSync(join(DIST, "licences.txt"), [head(), files.join("\n"), ...names.map(entry)].join("\n\n") + "\n");
console.log(`dist/licences.txt: ${names.length} packages`);

function head() {
  return "This page holds work of others, under the licences below. Countries: Natural Earth, public domain.\n\nFiles of the page (sha256):";
}

function entry(name) {
  const about = described(name);
  const taken = filesOf(name).map((path) => `${sha256(join(MODULES, name, path))}  ${path}`);
  return [`${"=".repeat(100)}\n${name} ${about.version} (${about.license})`, taken.join("\n"), licenceText(name)].join("\n\n");
}

/** A package and everything that it needs at run time. */
function withNeeds(name, seen = new Set()) {
  if (seen.has(name) || !existsSync(join(MODULES, name, "package.json"))) return [];
  seen.add(name);
  return [name, ...Object.keys(described(name).dependencies ?? {}).flatMap((need) => (need.startsWith("@types/") ? [] : withNeeds(need, seen)))];
}

function filesOf(name) {
  if (TURNED[name]) return TURNED[name];
  if (name === "maplibre-gl") return ["maplibre-gl.mjs", "maplibre-gl-worker.mjs", "maplibre-gl.css"].map((file) => `dist/${file}`);
  if (name.startsWith("@fontsource")) return readdirSync(join(MODULES, name, "files")).filter((file) => file.includes("wght-normal")).map((file) => `files/${file}`);
  const { module, main } = described(name);
  return [(module ?? main ?? "index.js").replace(/^\.\//, "")].filter((path) => existsSync(join(MODULES, name, path)));
}

function licenceText(name) {
  const file = readdirSync(join(MODULES, name)).find((each) => /^(licen[cs]e|copying)/i.test(each));
  return file ? readFileSync(join(MODULES, name, file), "utf8").trim() : `(${described(name).license}; the package brings no text)`;
}

function described(name) {
  return JSON.parse(readFileSync(join(MODULES, name, "package.json"), "utf8"));
}

function sha256(path) {
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}
