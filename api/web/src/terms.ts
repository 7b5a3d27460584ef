/** What a search is made of, and the question to the service that comes of it. Nothing here touches the page. */
import type { Area, Filter, Place, Query, SearchRequest } from "./contract";
import { normLon } from "./sphere";
import { place } from "./wording";

export type Term = { weight: number; isMinus: boolean } & (
  | { kind: "text"; text: string }
  | { kind: "image"; name: string; data: string; url: string; note: string }
  | { kind: "photo"; id: string; thumbnail: string | null }
  | { kind: "location"; at: Place }
);

export interface Search {
  terms: Term[];
  fusion: "vectors" | "rankings";
  area: Area | null;
  /** Days, as YYYY-MM-DD; both are in. */
  from: string;
  until: string;
  isPlaced: "" | "yes" | "no";
  near: (Place & { halfKm: number; weight: number }) | null;
  minZ: number | null;
  /** Whether the very place of a photo is asked for, where it can be. */
  isVeryPlace: boolean;
  /** Whether to look again at its photos however sure the first look is. */
  looksAgain: boolean;
}

export function isEmpty(search: Search): boolean {
  return JSON.stringify({ ...search, minZ: null }) === JSON.stringify(emptySearch());
}

export function emptySearch(): Search {
  return { terms: [], fusion: "vectors", area: null, from: "", until: "", isPlaced: "", near: null, minZ: null, isVeryPlace: false, looksAgain: false };
}

/** A text term; a minus before it leads away from what it says. */
export function textTerm(typed: string): Term | null {
  const trimmed = typed.trim();
  const isMinus = /^[-−–]/.test(trimmed);
  const text = trimmed.replace(/^[-−–]\s*/, "").slice(0, 1000);
  return text ? { kind: "text", text, weight: 1, isMinus } : null;
}

/** The question for one page of a search. */
export function requestOf(search: Search, page: { limit: number; offset: number }): SearchRequest {
  const { near, area } = search;
  const filter: Filter = {};
  if (area) filter.within = area;
  if (search.from) filter.captured_from = `${search.from}T00:00:00Z`;
  if (search.until) filter.captured_until = nextDay(search.until);
  if (search.isPlaced) filter.is_placed = search.isPlaced === "yes";
  return {
    queries: search.terms.map(queryOf),
    ...(search.terms.length > 1 && { fusion: search.fusion }),
    filter,
    ...(near && { prefer_near: { lon: normLon(near.lon), lat: near.lat, half_km: near.halfKm, weight: near.weight } }),
    ...(search.minZ !== null && { min_z_score: search.minZ }),
    ...page,
  };
}

function queryOf(term: Term): Query {
  const weight = (term.isMinus ? -1 : 1) * term.weight;
  if (term.kind === "text") return { text: term.text, weight };
  if (term.kind === "image") return { image: term.data, weight };
  if (term.kind === "photo") return { photo: term.id, weight };
  return { location: { lon: normLon(term.at.lon), lat: term.at.lat }, weight };
}

function nextDay(day: string): string {
  const next = new Date(`${day}T00:00:00Z`);
  next.setUTCDate(next.getUTCDate() + 1);
  return next.toISOString().replace(".000", "");
}

/** Why a search cannot be asked as it stands; empty where it can. */
export function faultOf(search: Search): string {
  if (search.from && search.until && search.from > search.until) return "The first day is after the last.";
  if (search.terms.length && search.terms.every(({ isMinus }) => isMinus)) {
    return "Only minus terms: add something to look for as well.";
  }
  return search.terms.length > 16 ? "At most 16 terms." : "";
}

export function nameOf(term: Term): string {
  if (term.kind === "text") return `“${term.text}”`;
  if (term.kind === "image") return term.name;
  if (term.kind === "photo") return "a photo of the gallery";
  return `near ${place(term.at)}`;
}
