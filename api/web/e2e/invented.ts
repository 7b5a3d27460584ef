/** Invented galleries, answers and pictures for the stand-in service. Nothing in it is about a real photo. */
import { crc32, deflateSync } from "node:zlib";
import { cellToLatLng, gridDisk, latLngToCell } from "h3-js";
import type { Cell, Location, Neighbor, Place, Precision, Region, SurfaceCell } from "../src/contract";
import { circleRing, normLon } from "../src/sphere";

const HUBS: [number, number, number][] = [
  [2.35, 48.86, 90], [13.4, 52.5, 50], [-3.7, 40.4, 40], [12.5, 41.9, 60], [-0.1, 51.5, 70], [23.7, 38, 25],
  [139.7, 35.7, 70], [77.2, 28.6, 30], [100.5, 13.7, 35], [151.2, -33.9, 30], [178.4, -18.1, 20], [-175.2, -21.1, 8],
  [-74, 40.7, 60], [-122.4, 37.8, 45], [-43.2, -22.9, 30], [-70.7, -33.5, 20], [18.4, -33.9, 25], [36.8, -1.3, 20], [31.2, 30, 20],
];

/** The same numbers on every run. */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface Made extends Place {
  id: string;
  captured_at: string;
}

export function photosOf(seed: number): Made[] {
  const random = randomOf(seed);
  const normal = () => Math.sqrt(-2 * Math.log(random() + 1e-9)) * Math.cos(2 * Math.PI * random());
  return HUBS.flatMap(([lon, lat, n]) =>
    Array.from({ length: n }, () => ({
      id: `00000000-0000-4000-8000-${Math.floor(random() * 2 ** 40).toString(16).padStart(12, "0")}`,
      lon: normLon(lon + 2.2 * normal()),
      lat: lat + 1.6 * normal(),
      captured_at: new Date(Date.UTC(2008 + Math.floor(16 * random()), Math.floor(12 * random()), 3)).toISOString(),
    })),
  );
}

export function countCells(photos: readonly Made[], resolution: number): Cell[] {
  const counts = new Map<string, number>();
  for (const { lon, lat } of photos) {
    const cell = latLngToCell(lat, lon, resolution);
    counts.set(cell, (counts.get(cell) ?? 0) + 1);
  }
  return [...counts].map(([cell, n_photos]) => {
    const [lat, lon] = cellToLatLng(cell);
    return { cell, lon, lat, n_photos };
  });
}

export function neighborsOf(photos: readonly Made[], seed: number, gallery: string, precision: Precision): Neighbor[] {
  const random = randomOf(seed);
  const told = precision === "exact" || precision === "25km";
  return photos
    .map((photo) => ({ photo, z: 4.6 - 5.2 * random() ** 0.35 }))
    .sort((a, b) => b.z - a.z)
    .map(({ photo, z }) => ({
      id: photo.id,
      score: 0.2 + 0.05 * z,
      similarity: 0.2 + 0.05 * z,
      z_score: z,
      captured_at: photo.captured_at,
      thumbnail: `/v1/galleries/${gallery}/photos/${photo.id}/thumbnail`,
      ...(told && { lon: photo.lon, lat: photo.lat }),
      ...(precision === "exact" && { payload: { caption: "a quiet street at noon", season: "summer" } }),
    }));
}

/** An answer around a place; without one, an abstention. */
export function locationOf(at: Place | null, precision: Precision, evidence: Neighbor[], nPhotos: number): Location {
  const center = at ?? { lon: 10, lat: 30 };
  const told = precision === "exact" || precision === "25km";
  const isFiji = center.lon > 170;
  const countries = at
    ? isFiji
      ? [share("Fiji", "FJ", 0.71), share("Tonga", "TO", 0.16), share("New Zealand", "NZ", 0.06), share("remote or at sea", "", 0.07)]
      : [share("France", "FR", 0.64), share("Belgium", "BE", 0.14), share("Germany", "DE", 0.09), share("Switzerland", "CH", 0.05), share("Luxembourg", "LU", 0.02)]
    : [share("United States", "US", 0.14), share("France", "FR", 0.11), share("Japan", "JP", 0.09)];
  const states = isFiji ? [share("Central", "FJ", 0.5)] : [share("Île-de-France", "FR", 0.41), share("Grand Est", "FR", 0.12), share("Wallonia", "BE", 0.1)];
  const reached: Record<string, number> = { "200": 0.55, "750": 0.83, ...(told && { "25": 0.21 }) };
  return {
    countries,
    states: precision === "country" ? null : states,
    abstain: at === null,
    abstain_reason: at ? "" : "the photo says little about its place: 0.21 bits over where the gallery's photos lie",
    information_bits: at ? 4.3 : 0.21,
    prior_share: at ? 0.12 : 0.94,
    is_calibrated: true,
    p_within_km: precision === "country" ? null : reached,
    ...(told && {
      ...center,
      mode: { lon: center.lon + 1.2, lat: center.lat + 0.7 },
      regions: [region(0.5, center, 190), region(0.9, center, 620)],
      surface: surface(center, precision === "exact" ? 4 : 3),
      surface_resolution: precision === "exact" ? 4 : 3,
      cells: [decisive("Around Paris", center, 0.34, 0.05), decisive("Champagne", { lon: center.lon + 2, lat: center.lat + 0.4 }, 0.11, 0.01)],
    }),
    evidence: evidence.slice(0, 8),
    n_photos: nPhotos,
    precision,
    notes: [],
  };
}

function share(name: string, code: string, probability: number) {
  return { name, code, probability };
}

function decisive(name: string, { lon, lat }: Place, probability: number, prior: number) {
  return { cell_id: name, name, lon, lat, probability, prior_probability: prior, bits: Math.log2(probability / prior) };
}

function region(level: number, center: Place, km: number): Region {
  const ring = circleRing(center, km, 48).map(([lon, lat]) => [normLon(lon), lat]);
  return { level, area_km2: Math.PI * km * km, geojson: { type: "Polygon", coordinates: [ring] } };
}

function surface(center: Place, resolution: number): SurfaceCell[] {
  const cells = gridDisk(latLngToCell(center.lat, center.lon, resolution), resolution === 4 ? 12 : 6);
  const made = cells.map((cell) => {
    const [lat, lon] = cellToLatLng(cell);
    const away = Math.hypot(normLon(lon - center.lon) * Math.cos((lat * Math.PI) / 180), lat - center.lat);
    return { cell, lon, lat, probability: Math.exp(-((away / 2) ** 2)) };
  });
  const total = made.reduce((sum, { probability }) => sum + probability, 0);
  return made.map((cell) => ({ ...cell, probability: (0.95 * cell.probability) / total })).filter(({ probability }) => probability > 1e-5);
}

/** A picture of sky, hill and sun as PNG bytes, another for each id. */
export function picture(id: string, side = 128): Buffer {
  const random = randomOf([...id].reduce((sum, letter) => (Math.imul(sum, 31) + letter.charCodeAt(0)) | 0, 7));
  const color = (base: number) => [0, 1, 2].map(() => base + 110 * random()) as [number, number, number];
  const [sky, hill, sun] = [color(120), color(30), color(140)];
  const [height, swell, phase, sunX] = [0.45 + 0.3 * random(), 0.04 + 0.12 * random(), 6 * random(), random()];
  const rows = Buffer.alloc(side * (1 + 3 * side));
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const ground = height + swell * Math.sin(phase + (5 * x) / side);
      const isSun = Math.hypot(x / side - sunX, y / side - 0.22) < 0.09;
      const shade = 1 - (0.4 * y) / side;
      const pixel = y / side > ground ? hill : isSun ? sun : sky;
      for (let c = 0; c < 3; c++) rows[y * (1 + 3 * side) + 1 + 3 * x + c] = Math.min(255, pixel[c] * shade);
    }
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(side, 0);
  header.writeUInt32BE(side, 4);
  header.set([8, 2, 0, 0, 0], 8);
  return Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), chunk("IHDR", header), chunk("IDAT", deflateSync(rows)), chunk("IEND", Buffer.alloc(0))]);
}

/** A PMTiles archive (version 3, nothing compressed) with one picture for the whole Earth. */
export function onePmtiles(): Buffer {
  const tile = picture("basemap", 256);
  const varint = (n: number): number[] => (n < 128 ? [n] : [(n & 127) | 128, ...varint(Math.floor(n / 128))]);
  // One entry: tile 0, run of 1, its length, its offset plus 1.
  const directory = Buffer.from([...varint(1), ...varint(0), ...varint(1), ...varint(tile.length), ...varint(1)]);
  const metadata = Buffer.from("{}");
  const header = Buffer.alloc(127);
  header.write("PMTiles", 0, "latin1");
  header[7] = 3;
  const at = (position: number, value: number) => header.writeBigUInt64LE(BigInt(value), position);
  at(8, 127);
  at(16, directory.length);
  at(24, 127 + directory.length);
  at(32, metadata.length);
  at(40, 0);
  at(56, 127 + directory.length + metadata.length);
  at(64, tile.length);
  for (const position of [72, 80, 88]) at(position, 1);
  header.set([1, 1, 1, 2, 0, 0], 96);
  header.writeInt32LE(-1_800_000_000, 102);
  header.writeInt32LE(-850_000_000, 106);
  header.writeInt32LE(1_800_000_000, 110);
  header.writeInt32LE(850_000_000, 114);
  return Buffer.concat([header, directory, metadata, tile]);
}

function chunk(name: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(name, "latin1"), data]);
  const ends = Buffer.alloc(8);
  ends.writeUInt32BE(data.length, 0);
  ends.writeUInt32BE(crc32(body), 4);
  return Buffer.concat([ends.subarray(0, 4), body, ends.subarray(4)]);
}
