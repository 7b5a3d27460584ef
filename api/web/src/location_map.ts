/** An answer about a photo's place as sheets, pins and a legend of the map. */
import type { Feature } from "geojson";
import type { Bbox, Location, Neighbor, Place, SurfaceCell } from "./contract";
import { hexagon } from "./hexagons";
import type { LegendRow } from "./legend";
import { boundsOf, outline, type Ring, unwrapped } from "./sphere";
import type { Pin } from "./stage";
import { percent, place } from "./wording";

/** Cells shaded by probability, on a square-root scale: half the shade is a quarter of the probability. */
export function surfaceOf(cells: readonly SurfaceCell[]): Feature[] {
  const largest = Math.max(...cells.map(({ probability }) => probability), 1e-12);
  return cells.map((cell) =>
    hexagon(cell.cell, cell, {
      id: cell.cell,
      heat: Math.sqrt(cell.probability / largest),
      text: `${fine(cell.probability)} in this cell`,
    }),
  );
}

/** Outlines of the credible regions, without the seams along the antimeridian. */
export function regionsOf(location: Location): Feature[] {
  return (location.regions ?? [])
    .filter(({ level }) => level === 0.5 || level === 0.9)
    .map(({ level, geojson }) => {
      const polygons = geojson.type === "Polygon" ? [geojson.coordinates] : geojson.coordinates;
      const lines = polygons.flat().flatMap((ring) => outline(unwrapped(ring as Ring)));
      return { type: "Feature", properties: { level }, geometry: { type: "MultiLineString", coordinates: lines } };
    });
}

/** The best point, the likeliest one and the cells that decided; none where no answer is given. */
export function pinsOf(location: Location): Pin[] {
  if (location.abstain) return [];
  const pins: Pin[] = (location.cells ?? []).slice(0, 5).map((cell, i) => ({
    kind: "cell",
    lon: cell.lon,
    lat: cell.lat,
    label: `Decisive place ${i + 1}: ${cell.name}`,
    text: String(i + 1),
  }));
  if (location.mode) pins.push({ kind: "mode", ...pointOf(location.mode), label: `Densest point: ${place(location.mode)}` });
  const best = bestOf(location);
  if (best) pins.push({ kind: "best", ...best, label: `Best point: ${place(best)}` });
  return pins;
}

export function bestOf(location: Location): Place | null {
  if (location.abstain || location.lon == null || location.lat == null) return null;
  return { lon: location.lon, lat: location.lat };
}

/** Photos of known place as points; one may be selected. */
export function pointsOf(photos: readonly Neighbor[], selected: string | null, noun = "Photo"): Feature[] {
  return photos.flatMap(({ id, lon, lat }, i): Feature[] => {
    if (lon == null || lat == null) return [];
    const properties = { id, selected: id === selected, text: `${noun} ${i + 1}` };
    return [{ type: "Feature", properties, geometry: { type: "Point", coordinates: [lon, lat] } }];
  });
}

/** Where to look: around the cells that hold most of the probability. */
export function viewOf(location: Location): Bbox | null {
  const cells = [...(location.surface ?? [])].sort((a, b) => b.probability - a.probability);
  const total = cells.reduce((sum, { probability }) => sum + probability, 0);
  const held: Place[] = [];
  let sum = 0;
  for (const cell of cells) {
    if (sum > 0.8 * total) break;
    sum += cell.probability;
    held.push(cell);
  }
  const best = bestOf(location);
  if (best) held.push(best);
  const bounds = boundsOf(held);
  if (!bounds) return null;
  const pad = Math.max(1, 0.08 * (bounds[2] - bounds[0]), 0.08 * (bounds[3] - bounds[1]));
  return [bounds[0] - pad, bounds[1] - pad, bounds[2] + pad, bounds[3] + pad];
}

/** Shares of countries by code, for shading; of what is remote there is no country, and traces stay blank. */
export function sharesOf(location: Location): Map<string, number> {
  return new Map(location.countries.filter(({ code, probability }) => code && probability >= 0.005).map(({ code, probability }) => [code, probability]));
}

/** @param isShown whether probabilities are drawn: without an answer they are not, unless asked for. */
export function legendOf(location: Location, isShown: boolean): LegendRow[] {
  const rows: LegendRow[] = [];
  const cells = location.surface ?? [];
  const drawn = cells.length ? cells : location.countries.filter(({ code }) => code);
  const largest = Math.max(0, ...drawn.map(({ probability }) => probability));
  // The shades follow the square root, so that the middle one is a quarter of the last.
  if (isShown) rows.push({ kind: "ramp", title: `Probability ${cells.length ? "in a cell" : "of a country"}`, labels: ["0", fine(largest / 4), fine(largest)] });
  else rows.push({ kind: "note", text: "No answer, so no probabilities are drawn." });
  const levels = new Set(location.abstain ? [] : location.regions?.map(({ level }) => level));
  if (levels.has(0.5)) rows.push({ kind: "mark", mark: "half", text: "holds the place in 50 of 100 cases" });
  if (levels.has(0.9)) rows.push({ kind: "mark", mark: "most", text: "in 90 of 100" });
  const kinds = new Set(pinsOf(location).map(({ kind }) => kind));
  if (kinds.has("best")) rows.push({ kind: "mark", mark: "best", text: "best point" });
  if (kinds.has("mode")) rows.push({ kind: "mark", mark: "mode", text: "densest point" });
  if (kinds.has("cell")) rows.push({ kind: "mark", mark: "cell", text: "places that decided" });
  if (location.evidence.some(({ lon }) => lon != null)) rows.push({ kind: "mark", mark: "evidence", text: "similar photos" });
  return rows;
}

function pointOf({ lon, lat }: Place): Place {
  return { lon, lat };
}

function fine(p: number): string {
  return p >= 0.005 && p < 0.1 ? `${(100 * p).toFixed(1)}\u00a0%` : percent(p);
}
