/**
 * Countries as GeoJSON, from the TopoJSON of world-atlas (Natural Earth, public domain).
 *
 * Writes generated/world-{110,50}m.json, where a country has `iso`, its ISO 3166-1 alpha-2 code, and
 * generated/names.json: where countries' names stand, and around what to look at them. The atlas knows the
 * Earth as round: what crosses the antimeridian jumps from 180 to -180 degrees. Here it goes on beyond 180,
 * as a flat map needs it.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { feature } from "topojson-client";

const require = createRequire(import.meta.url);
const ALPHA2 = new Map(require("i18n-iso-countries/codes.json").map(([two, , numeric]) => [numeric, two]));
const NO_NUMBER = new Map([
  ["Kosovo", "XK"],
  ["Somaliland", "SO"],
  ["N. Cyprus", "CY"],
]);

const OUT = new URL("../generated/", import.meta.url);
mkdirSync(OUT, { recursive: true });
for (const scale of ["110m", "50m"]) {
  const atlas = JSON.parse(readFileSync(require.resolve(`world-atlas/countries-${scale}.json`), "utf8"));
  write(`world-${scale}.json`, countries(atlas));
  if (scale === "50m") write("names.json", labels(atlas));
}

function write(name, value) {
  writeFileSync(new URL(name, OUT), JSON.stringify(value));
}

function countries(atlas) {
  const { features } = feature(atlas, atlas.objects.countries);
  return collection(
    features.map(({ id, properties, geometry }) => ({
      type: "Feature",
      properties: { iso: isoOf(id, properties), name: properties.name },
      geometry: { type: "MultiPolygon", coordinates: rounded(partsOf(geometry).map(flat)) },
    })),
  );
}

function isoOf(id, { name }) {
  return ALPHA2.get(id) ?? NO_NUMBER.get(name) ?? "";
}

function partsOf({ type, coordinates }) {
  return type === "Polygon" ? [coordinates] : coordinates;
}

/** A polygon without jumps; its holes on the same side of the Earth as its outer ring. */
function flat([outer, ...holes]) {
  const ring = closedAroundPole(unwrapped(outer));
  return [ring, ...holes.map((hole) => unwrapped(hole, ring[0][0]))];
}

/** Each step goes the short way around the Earth. */
function unwrapped(line, near = line[0][0]) {
  const short = (degrees) => ((((degrees + 180) % 360) + 360) % 360) - 180;
  let lon = near + short(line[0][0] - near);
  return line.map(([x, y], i) => {
    if (i) lon += short(x - line[i - 1][0]);
    return [lon, y];
  });
}

/** Antarctica goes once around the Earth; below it the map ends. */
function closedAroundPole(ring) {
  const [first, last] = [ring[0], ring.at(-1)];
  return Math.abs(last[0] - first[0]) < 300 ? ring : [...ring, [last[0], -89], [first[0], -89], first];
}

/** One point for a country's name: the place of its largest part that lies farthest from the edge. */
function labels(atlas) {
  const { features } = feature(atlas, atlas.objects.countries);
  return collection(
    features.flatMap(({ id, properties, geometry }) => {
      const parts = partsOf(geometry).map(flat);
      const largest = parts.reduce((a, b) => (area(a[0]) >= area(b[0]) ? a : b));
      const size = Math.sqrt(area(largest[0]));
      const coordinates = inside(largest[0]).map((degrees) => Math.round(degrees * 100) / 100);
      const properties_ = { name: properties.name, iso: isoOf(id, properties), size: Math.round(size * 10) / 10, bbox: boundsOf(largest[0]).map(Math.round) };
      return size > 0.05 ? [{ type: "Feature", properties: properties_, geometry: { type: "Point", coordinates } }] : [];
    }),
  );
}

/** Area on the sphere, in square degrees at the equator. */
function area(ring) {
  const sin = (degrees) => Math.sin((degrees * Math.PI) / 180);
  let sum = 0;
  for (let i = 1; i < ring.length; i++) sum += (ring[i][0] - ring[i - 1][0]) * (sin(ring[i][1]) + sin(ring[i - 1][1]));
  return (Math.abs(sum) / 2) * (180 / Math.PI);
}

function inside(ring) {
  const [w, s, e, n] = boundsOf(ring);
  let best = { depth: -Infinity, point: [(w + e) / 2, (s + n) / 2] };
  const steps = 24;
  for (let i = 1; i < steps; i++) {
    for (let j = 1; j < steps; j++) {
      const point = [w + ((e - w) * i) / steps, s + ((n - s) * j) / steps];
      const depth = holds(ring, point) ? distance(ring, point) : -1;
      if (depth > best.depth) best = { depth, point };
    }
  }
  return best.point;
}

function boundsOf(ring) {
  const [lons, lats] = [ring.map(([lon]) => lon), ring.map(([, lat]) => lat)];
  return [Math.min(...lons), Math.min(...lats), Math.max(...lons), Math.max(...lats)];
}

function holds(ring, [x, y]) {
  let is = false;
  for (let i = 1; i < ring.length; i++) {
    const [[ax, ay], [bx, by]] = [ring[i - 1], ring[i]];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) is = !is;
  }
  return is;
}

function distance(ring, [x, y]) {
  // A name is wide and low: room to the sides counts a third.
  return Math.min(...ring.map(([a, b]) => Math.hypot((a - x) / 3, b - y)));
}

function rounded(coordinates) {
  if (typeof coordinates[0] === "number") return coordinates.map((degrees) => Math.round(degrees * 100) / 100);
  return coordinates.map(rounded);
}

function collection(features) {
  return { type: "FeatureCollection", features };
}
