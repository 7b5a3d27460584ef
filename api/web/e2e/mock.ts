/** A stand-in for the service, with invented data: `npm run mock -- --precision exact --port 8000`. */
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { cellToParent, latLngToCell } from "h3-js";
import type { Gallery, PlacesLikeRequest, Precision, RecognizeRequest, SearchRequest } from "../src/contract";
import { distanceKm } from "../src/sphere";
import { countCells, locationOf, type Made, neighborsOf, onePmtiles, photosOf, picture } from "./invented";

export interface MockOptions {
  precision: Precision;
  key?: string;
  /** Path of a basemap, of those below /basemap. */
  basemap?: string;
}

const DIST = fileURLToPath(new URL("../dist/", import.meta.url));
const TYPES: Record<string, string> = {
  ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css",
  ".json": "application/json", ".svg": "image/svg+xml", ".woff2": "font/woff2", ".txt": "text/plain; charset=utf-8",
};
const POLICY =
  "default-src 'self'; img-src 'self' data: blob:; worker-src 'self' blob:; style-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'";

class Refusal extends Error {
  constructor(readonly status: number, detail: string) {
    super(detail);
  }
}

/** Listens on a free port of this machine, or on the one given. */
export async function serveMock(options: MockOptions, port = 0): Promise<{ url: string; server: Server; options: MockOptions }> {
  const server = createServer((request, response) => {
    answer(request, response, options).catch((error) => {
      const status = error instanceof Refusal ? error.status : 500;
      response.writeHead(status, { "Content-Type": "application/problem+json", ...(status === 503 && { "Retry-After": "2" }) });
      response.end(JSON.stringify({ type: "about:blank", title: "Refused", status, detail: String(error.message) }));
    });
  });
  await new Promise<void>((ready) => server.listen(port, "127.0.0.1", ready));
  const address = server.address();
  return { url: `http://127.0.0.1:${typeof address === "object" ? address?.port : port}`, server, options };
}

async function answer(request: IncomingMessage, response: ServerResponse, options: MockOptions): Promise<void> {
  const url = new URL(request.url ?? "/", "http://localhost");
  const parts = url.pathname.split("/").filter(Boolean);
  if (parts[0] === "basemap") return serveRange(parts[1] === "one.pmtiles" ? onePmtiles() : picture(url.pathname, 64), request, response);
  if (parts[0] !== "v1") return serveFile(url.pathname, response);
  const body = await bodyOf(request);
  const told = route(parts.slice(1), url, request, body, options);
  if (Buffer.isBuffer(told)) response.writeHead(200, { "Content-Type": "image/png" }).end(told);
  else response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(told));
}

function route([what, name, kind, id]: string[], url: URL, request: IncomingMessage, body: Buffer, options: MockOptions): unknown {
  const { precision, key } = options;
  if (what === "about") {
    return {
      basemap: options.basemap ?? null, attribution: options.basemap ? "Invented tiles <b>" : "",
      version: "0", precision, geolocation: true, needs_key: Boolean(key), max_body_mb: 20, formats: ["JPEG", "PNG", "WEBP"], takes_urls: false,
      misuse: "Do not use this to find out where someone is, lives or was without their consent, to watch groups of people, or as proof in decisions about a person.",
    };
  }
  if (key && request.headers.authorization !== `Bearer ${key}`) throw new Refusal(401, "This key is not known.");
  if (what === "regions") return regionsOf(name, precision);
  if (what !== "galleries") throw new Refusal(404, "No such thing.");
  if (!name) return { galleries: [galleryOf("trips", precision), galleryOf("empty", precision), galleryOf("towns", precision)], n_unavailable: 0 };
  const photos = name === "empty" ? [] : photosOf(1);
  if (!kind) return galleryOf(name, precision);
  if (kind === "photos" || (kind === "places" && id === "map")) return picture(id + url.search);
  if (kind === "places") return liked(photos, JSON.parse(body.toString()) as PlacesLikeRequest, name, precision);
  if (kind === "h3") return cellsOf(photos, url, precision);
  if (kind === "recognize" && id === "walk") return { ...recognized(photos, { image: "data:image/", limit: 12, filter: {} }, name, precision), looked_again: false, n_looked_at: 0, may_look_again: false, doubt: 0.6 };
  if (kind === "recognize") return id === "match-map" ? picture("match", 256) : recognized(photos, JSON.parse(body.toString()) as RecognizeRequest, name, precision);
  if (kind === "search") return searched(photos, JSON.parse(body.toString()) as SearchRequest, name, precision);
  if (kind !== "geolocate") throw new Refusal(404, "No such thing.");
  const isForm = request.headers["content-type"]?.startsWith("multipart/") ?? false;
  const nPhotos = isForm ? body.toString("latin1").split('name="images"').length - 1 : 1;
  const at = url.searchParams.get("prior") === "uniform" ? null : nPhotos > 1 ? { lon: 179.3, lat: -17.8 } : { lon: 2.9, lat: 48.6 };
  const near = at ? [...photos].sort((a, b) => distanceKm(a, at) - distanceKm(b, at)).slice(0, 40) : photos;
  return locationOf(at, precision, neighborsOf(near, 5, name, precision), nPhotos);
}

/** Two classifiers of regions where places are told exactly, one of countries elsewhere. */
function regionsOf(name: string | undefined, precision: Precision): unknown {
  const known: Record<string, string[]> = { countries: ["France", "Fiji", "Brazil"], ...(precision === "exact" && { wards: ["Minato", "Chuo", "Koto", "Shibuya", "Shinjuku", "Chiyoda", "Asahikawa"] }) };
  if (!name) return { classifiers: Object.entries(known).map(([name, regions]) => ({ name, regions, mean_recall: 0.64, model: "color" })) };
  if (!known[name]) throw new Refusal(404, `no region classifier '${name}' is served here`);
  const shares = known[name].map((region, i) => ({ region, probability: 0.55 * 0.45 ** i }));
  return { classifier: name, regions: shares.slice(0, 5), n_regions: known[name].length, n_photos: 1 };
}

function cellsOf(photos: Made[], url: URL, precision: Precision): unknown {
  const [west, south, east, north] = (url.searchParams.get("bbox") ?? "-180,-90,180,90").split(",").map(Number);
  const finest = { country: 1, region: 2, "25km": 4, exact: 7 }[precision];
  const resolution = Math.min(finest, Number(url.searchParams.get("resolution") ?? 1));
  const inView = photos.filter(({ lon, lat }) => lat >= south && lat <= north && (west <= east ? lon >= west && lon <= east : lon >= west || lon <= east));
  const cells = countCells(photos, resolution);
  const seen = new Set(inView.map(({ lon, lat }) => latLngToCell(lat, lon, resolution)));
  const few = precision === "exact" && inView.length <= 60 && resolution >= 4;
  return {
    resolution,
    cells: cells.filter(({ cell }) => seen.has(cellToParent(cell, resolution))),
    n_photos: inView.length,
    photos: few ? inView : null,
    is_truncated: false,
  };
}

function searched(photos: Made[], request: SearchRequest, gallery: string, precision: Precision): unknown {
  const { within, is_placed } = request.filter;
  if (within && (precision === "country" || precision === "region")) throw new Refusal(403, `within: places are told to the ${precision} here.`);
  if (request.queries.some((query) => "text" in query && query.text.includes("busy"))) throw new Refusal(503, "All places are taken; ask again shortly.");
  let passing = is_placed === false ? [] : photos;
  if (within?.kind === "circle") passing = passing.filter((photo) => distanceKm(photo, within) <= within.radius_km);
  if (within?.kind === "box") {
    const { west, south, east, north } = within;
    passing = passing.filter(({ lon, lat }) => lat >= south && lat <= north && (west <= east ? lon >= west && lon <= east : lon >= west || lon <= east));
  }
  const [first] = request.queries;
  let found = neighborsOf(passing, JSON.stringify(request.queries).length, gallery, precision);
  if (!first) found = found.map(({ z_score, similarity, ...rest }) => ({ ...rest, score: 0 }));
  if (first && "location" in first && request.queries.length === 1) {
    const at = first.location;
    found = found.map(({ z_score, similarity, ...rest }) => ({ ...rest, distance_km: distanceKm({ lon: rest.lon ?? 0, lat: rest.lat ?? 0 }, at) }));
    found.sort((a, b) => (a.distance_km ?? 0) - (b.distance_km ?? 0));
  }
  found = found.filter(({ z_score }) => request.min_z_score === undefined || (z_score ?? 9) >= request.min_z_score);
  const page = found.slice(request.offset, request.offset + request.limit);
  const next = request.offset + request.limit;
  return { neighbors: page, next_offset: next < found.length ? next : null, n_matches: passing.length, notes: [] };
}

function recognized(photos: Made[], { image, limit }: RecognizeRequest, gallery: string, precision: Precision): object {
  if (!image.startsWith("data:image/")) throw new Refusal(422, "image: not base64.");
  const found = neighborsOf(photos, 11, gallery, precision).slice(0, limit);
  return {
    neighbors: found.map((one, i) => ({ ...one, score: i < 20 ? 0.7 - 0.01 * i : null })),
    using: "place", doubt: 0.98, looked_again: true, n_looked_at: 20, may_look_again: true, missing: [], notes: [],
  };
}

function liked(photos: Made[], { like, unlike, limit }: PlacesLikeRequest, gallery: string, precision: Precision): unknown {
  const map = ({ lon, lat }: { lon: number; lat: number }) => `/v1/galleries/${gallery}/places/map?lon=${lon}&lat=${lat}`;
  const asked = [...like.map((at) => ({ ...at, is_like: true })), ...unlike.map((at) => ({ ...at, is_like: false }))];
  const found = neighborsOf(photos, 7 + asked.length, gallery, precision).slice(0, limit);
  return {
    asked: asked.map((at) => ({ ...at, embedded_by: "map", thumbnail: map(at) })),
    neighbors: found.map((one) => {
      const at = { lon: one.lon ?? 0, lat: one.lat ?? 0 };
      return { ...one, thumbnail: map(at), distance_km: Math.min(...like.map((each) => distanceKm(each, at))) };
    }),
    ground_m: 800, apart_m: 800, attribution: "Invented maps", notes: [],
  };
}

function galleryOf(name: string, precision: Precision): Gallery {
  const n = name === "empty" ? 0 : photosOf(1).length;
  const isPlaceTold = precision === "exact" || precision === "25km";
  return {
    name, n_photos: n, n_placed: n, model: { name: "invented", id: "0".repeat(64), dimension: 8, takes_text: true }, precision,
    can_locate: name === "trips", can_recognize: name === "trips", can_search_areas: isPlaceTold, is_read_only: false,
    places: name === "towns" ? { ground_m: 800, attribution: "Invented maps", has_map: true } : null, bbox: n ? [-130, -45, 185 - 360, 60] : null,
  };
}

function serveFile(path: string, response: ServerResponse): void {
  const file = join(DIST, normalize(path === "/" ? "/index.html" : path));
  try {
    if (!file.startsWith(DIST)) throw new Error("outside");
    const content = readFileSync(file);
    response.writeHead(200, { "Content-Type": TYPES[extname(file)] ?? "application/octet-stream", "Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff" });
    response.end(content);
  } catch {
    response.writeHead(404).end();
  }
}

function serveRange(content: Buffer, request: IncomingMessage, response: ServerResponse): void {
  const asked = /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? "");
  if (!asked) return void response.writeHead(200, { "Content-Type": "image/png" }).end(content);
  const [from, to] = [Number(asked[1]), Math.min(Number(asked[2]), content.length - 1)];
  response.writeHead(206, { "Content-Range": `bytes ${from}-${to}/${content.length}`, ETag: '"one"' }).end(content.subarray(from, to + 1));
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { port: { type: "string", default: "8000" }, precision: { type: "string", default: "exact" }, key: { type: "string" } } });
  const { url } = await serveMock({ precision: values.precision as Precision, key: values.key }, Number(values.port));
  console.log(`${url}/`);
}
