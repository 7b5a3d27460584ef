/** Areas that a search may be limited to: their shape, their words, and reading them from numbers. */
import type { Feature, Polygon } from "geojson";
import type { Area, Place } from "./contract";
import { circleRing, EARTH_RADIUS_KM, normLon, type Ring, unwrapped } from "./sphere";
import { kilometers, place } from "./wording";

const MAX_RADIUS_KM = 20_020;

/** A circle, with its center in [-180, 180). */
export function circle(center: Place, radiusKm: number): Area {
  return { kind: "circle", lon: round(normLon(center.lon)), lat: round(center.lat), radius_km: Number(radiusKm.toPrecision(5)) };
}

/** The box between two corners as they lie on the screen: longitudes may leave [-180, 180]. */
export function box(a: Place, b: Place): Area {
  const [west, east] = [Math.min(a.lon, b.lon), Math.max(a.lon, b.lon)];
  const all = east - west >= 360;
  return {
    kind: "box",
    west: all ? -180 : round(normLon(west)),
    south: round(Math.min(a.lat, b.lat)),
    east: all ? 180 : round(normLon(east)),
    north: round(Math.max(a.lat, b.lat)),
  };
}

/** The polygon of corners; an edge goes the short way around the Earth. */
export function polygon(corners: readonly Place[]): Area {
  const ring = corners.map(({ lon, lat }) => [round(normLon(lon)), round(lat)]);
  return { kind: "polygon", geojson: { type: "Polygon", coordinates: [[...ring, ring[0]]] } };
}

/** As drawn on the map. */
export function shapeOf(area: Area): Feature<Polygon> {
  const ring = ringOf(area);
  const coordinates = area.kind === "circle" && holdsBothPoles(area) ? [mapEdge(area.lon), ring] : [ring];
  return { type: "Feature", properties: {}, geometry: { type: "Polygon", coordinates } };
}

/** Of a circle this large the ring bounds what is outside. */
function holdsBothPoles({ lat, radius_km }: { lat: number; radius_km: number }): boolean {
  return ((90 + Math.abs(lat)) / 180) * Math.PI * EARTH_RADIUS_KM < radius_km;
}

function mapEdge(lon: number): Ring {
  const [west, east] = [lon - 180, lon + 180];
  return [[west, -85], [east, -85], [east, 85], [west, 85], [west, -85]];
}

function ringOf(area: Area): Ring {
  if (area.kind === "circle") return circleRing(area, area.radius_km);
  if (area.kind === "polygon") return unwrapped(area.geojson.coordinates[0] as Ring);
  const { west, south, north } = area;
  const east = area.east < west ? area.east + 360 : area.east;
  return [
    [west, south],
    [east, south],
    [east, north],
    [west, north],
    [west, south],
  ];
}

export function describe(area: Area): string {
  if (area.kind === "circle") return `within ${kilometers(area.radius_km)} of ${place(area)}`;
  if (area.kind === "polygon") return `in a polygon of ${area.geojson.coordinates[0].length - 1} corners`;
  const across = area.west > area.east ? ", across the antimeridian" : "";
  return `${place({ lon: area.west, lat: area.south })} to ${place({ lon: area.east, lat: area.north })}${across}`;
}

/** Its middle, for looking at and for keeping near. */
export function middleOf(area: Area): Place {
  if (area.kind === "circle") return { lon: area.lon, lat: area.lat };
  const ring = ringOf(area);
  const lons = ring.map(([lon]) => lon);
  const lats = ring.map(([, lat]) => lat);
  return { lon: normLon((Math.min(...lons) + Math.max(...lons)) / 2), lat: (Math.min(...lats) + Math.max(...lats)) / 2 };
}

/** A number from a field, or the reason why it is none. */
export function readNumber(name: string, text: string, min: number, max: number): number | string {
  const value = Number(text.trim().replace(",", "."));
  if (!text.trim() || !Number.isFinite(value)) return `${name}: a number is needed`;
  return value < min || value > max ? `${name}: from ${min} to ${max}` : value;
}

/** A circle from what was typed, or the reason why it is none. */
export function readCircle(lon: string, lat: string, radiusKm: string): Area | string {
  const read = [
    readNumber("Longitude", lon, -360, 360),
    readNumber("Latitude", lat, -90, 90),
    readNumber("Radius", radiusKm, 0.001, MAX_RADIUS_KM),
  ];
  const wrong = read.filter((x) => typeof x === "string");
  if (wrong.length) return wrong.join("; ");
  const [x, y, radius] = read as number[];
  return circle({ lon: x, lat: y }, radius);
}

/** A box from what was typed, across the antimeridian where west > east; or the reason why it is none. */
export function readBox(west: string, south: string, east: string, north: string): Area | string {
  const read = [
    readNumber("West", west, -360, 360),
    readNumber("South", south, -90, 90),
    readNumber("East", east, -360, 360),
    readNumber("North", north, -90, 90),
  ];
  const wrong = read.filter((x) => typeof x === "string");
  if (wrong.length) return wrong.join("; ");
  const [w, s, e, n] = read as number[];
  if (s >= n) return "South must be below north";
  if (e - w >= 360) return { kind: "box", west: -180, south: s, east: 180, north: n };
  return { kind: "box", west: lonIn(w), south: s, east: lonIn(e), north: n };
}

function lonIn(lon: number): number {
  return Math.abs(lon) <= 180 ? lon : round(normLon(lon));
}

function round(degrees: number): number {
  return Math.round(degrees * 1e5) / 1e5;
}
