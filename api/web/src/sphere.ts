/** Shapes on the Earth as rings that a flat map can draw. Degrees, [lon, lat]; kilometers on a sphere. */
import type { Place } from "./contract";

export const EARTH_RADIUS_KM = 6371.0088;
/** Where the Mercator map ends. */
const MAP_EDGE_LAT = 85.06;
export type Ring = [number, number][];

/** The same meridian in [-180, 180). */
export function normLon(lon: number): number {
  return ((((lon + 180) % 360) + 360) % 360) - 180;
}

/** Distance along the great circle. */
export function distanceKm(a: Place, b: Place): number {
  const [p, q, dLon] = [radians(a.lat), radians(b.lat), radians(b.lon - a.lon)];
  const h = Math.sin((q - p) / 2) ** 2 + Math.cos(p) * Math.cos(q) * Math.sin(dLon / 2) ** 2;
  return 2 * EARTH_RADIUS_KM * Math.asin(Math.min(1, Math.sqrt(h)));
}

/** The place at a distance in a direction (degrees from north over east). */
export function destination(from: Place, bearing: number, km: number): Place {
  const [lat, turn, angle] = [radians(from.lat), radians(bearing), km / EARTH_RADIUS_KM];
  const sin = Math.sin(lat) * Math.cos(angle) + Math.cos(lat) * Math.sin(angle) * Math.cos(turn);
  const y = Math.sin(turn) * Math.sin(angle) * Math.cos(lat);
  const x = Math.cos(angle) - Math.sin(lat) * sin;
  return { lon: from.lon + degrees(Math.atan2(y, x)), lat: degrees(Math.asin(Math.max(-1, Math.min(1, sin)))) };
}

/** A closed ring around all places within a distance of a center. */
export function circleRing(center: Place, radiusKm: number, steps = 128): Ring {
  const ring: Ring = [];
  for (let i = 0; i <= steps; i++) {
    const { lon, lat } = destination(center, (360 * i) / steps, radiusKm);
    ring.push([lon, lat]);
  }
  return unwrapped(ring, center.lon, center.lat);
}

/**
 * A closed ring without jumps of longitude, beginning within half a turn of `aroundLon`.
 *
 * Each step goes the short way, so that a shape across the antimeridian leaves [-180, 180] instead of
 * running back around the Earth. A ring that goes once around a pole is closed along the map's edge, on the
 * side where `insideLat` lies.
 */
export function unwrapped(ring: Ring, aroundLon?: number, insideLat?: number): Ring {
  if (!ring.length) return ring;
  const start = aroundLon ?? ring[0][0];
  let lon = start + normLon(ring[0][0] - start);
  const out: Ring = [[lon, ring[0][1]]];
  for (let i = 1; i < ring.length; i++) {
    lon += normLon(ring[i][0] - ring[i - 1][0]);
    out.push([lon, ring[i][1]]);
  }
  const turns = Math.round((lon - out[0][0]) / 360);
  if (turns === 0) return out;
  const mean = ring.reduce((sum, [, lat]) => sum + lat, 0) / ring.length;
  const edge = (insideLat ?? mean) >= 0 ? MAP_EDGE_LAT : -MAP_EDGE_LAT;
  return [...out, [lon, edge], [out[0][0], edge], out[0]];
}

/** Pieces of a ring's outline, without those that only run along the antimeridian or the map's edge. */
export function outline(ring: Ring): Ring[] {
  const onSeam = (a: number[], b: number[]) =>
    (Math.abs(Math.abs(a[0]) - 180) < 1e-6 && Math.abs(Math.abs(b[0]) - 180) < 1e-6) ||
    (Math.abs(a[1]) >= MAP_EDGE_LAT && Math.abs(b[1]) >= MAP_EDGE_LAT);
  const pieces: Ring[] = [[]];
  for (const point of ring) {
    const piece = pieces[pieces.length - 1];
    if (piece.length && onSeam(piece[piece.length - 1], point)) pieces.push([point]);
    else piece.push(point);
  }
  return pieces.filter((piece) => piece.length > 1);
}

/** [west, south, east, north] of places, with the least width; east may exceed 180. Null without places. */
export function boundsOf(places: readonly Place[]): [number, number, number, number] | null {
  if (!places.length) return null;
  const lons = places.map(({ lon }) => normLon(lon)).sort((a, b) => a - b);
  let [west, gap] = [lons[0], lons[0] + 360 - lons[lons.length - 1]];
  for (let i = 1; i < lons.length; i++) {
    if (lons[i] - lons[i - 1] > gap) [west, gap] = [lons[i], lons[i] - lons[i - 1]];
  }
  const lats = places.map(({ lat }) => lat);
  return [west, Math.min(...lats), west + 360 - gap, Math.max(...lats)];
}

function radians(x: number): number {
  return (x * Math.PI) / 180;
}

function degrees(x: number): number {
  return (x * 180) / Math.PI;
}
