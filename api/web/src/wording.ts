/** Numbers, distances, dates and places as people read them. */
import type { Place } from "./contract";

const COUNT = new Intl.NumberFormat("en-US");
const DATE = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });

export function count(n: number): string {
  return COUNT.format(n);
}

export function photos(n: number): string {
  return `${count(n)} ${n === 1 ? "photo" : "photos"}`;
}

export function places(n: number): string {
  return `${count(n)} ${n === 1 ? "place" : "places"}`;
}

/** Between a figure and its unit, so that a line never breaks there. */
const GLUE = "\u00a0";

/** A probability, without false certainty at either end. */
export function percent(p: number): string {
  if (p >= 0.995 && p < 1) return `> 99${GLUE}%`;
  if (p > 0 && p < 0.005) return `< 1${GLUE}%`;
  return `${Math.round(100 * p)}${GLUE}%`;
}

export function kilometers(km: number): string {
  if (km < 0.95) return `${Math.max(10, Math.round(km * 100) * 10)}${GLUE}m`;
  if (km < 9.95 && !Number.isInteger(km)) return `${km.toFixed(1)}${GLUE}km`;
  return `${count(Math.round(km))}${GLUE}km`;
}

export function squareKilometers(km2: number): string {
  if (km2 >= 1e6) return `${(km2 / 1e6).toPrecision(2)} million${GLUE}km²`;
  const digits = 10 ** Math.max(0, Math.floor(Math.log10(Math.max(km2, 1))) - 1);
  return `${count(Math.round(km2 / digits) * digits)}${GLUE}km²`;
}

/** A place, as precisely as `decimals` says. */
export function place({ lon, lat }: Place, decimals = 2): string {
  const ns = lat < 0 ? "S" : "N";
  const ew = lon < 0 ? "W" : "E";
  return `${Math.abs(lat).toFixed(decimals)}° ${ns}, ${Math.abs(lon).toFixed(decimals)}° ${ew}`;
}

export function date(iso: string): string {
  const when = new Date(iso);
  return Number.isNaN(when.getTime()) ? iso : DATE.format(when);
}

/** "a", "a and b", "a, b and c". */
export function list(parts: readonly string[]): string {
  if (parts.length < 2) return parts.join("");
  return `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}`;
}
