/** What is asked of a gallery of places: places to be like, places to be unlike, and where answers lie. */
import { readNumber } from "./areas";
import type { Area, Place, PlacesLikeRequest } from "./contract";
import { normLon } from "./sphere";

/** What the next place that is clicked or typed does. */
export type Mode = "like" | "and" | "unlike";
export const MODES: Record<Mode, string> = { like: "Like this one", and: "And like this one", unlike: "But not this one" };
/** As many as the service takes. */
export const MOST_PLACES = 8;

export interface Question {
  like: readonly Place[];
  unlike: readonly Place[];
  within: Area | null;
}

export const NOTHING_ASKED: Question = { like: [], unlike: [], within: null };

/** The question with one more place. Of the same kind the oldest gives way when there are too many. */
export function withPlace(question: Question, place: Place, mode: Mode): Question {
  const one = { lon: normLon(place.lon), lat: place.lat };
  if (mode === "like") return { ...question, like: [one], unlike: [] };
  const kind = mode === "and" ? "like" : "unlike";
  return { ...question, [kind]: [...question[kind].filter((each) => !isSame(each, one)), one].slice(-MOST_PLACES) };
}

export function without(question: Question, place: Place): Question {
  const others = (places: readonly Place[]) => places.filter((each) => !isSame(each, place));
  return { ...question, like: others(question.like), unlike: others(question.unlike) };
}

/** A place from what was typed, or the reason why it is none. */
export function readPlace(lon: string, lat: string): Place | string {
  const read = [readNumber("Longitude", lon, -360, 360), readNumber("Latitude", lat, -90, 90)];
  const [x, y] = read;
  if (typeof x === "string" || typeof y === "string") return read.filter((each) => typeof each === "string").join(". ");
  return { lon: normLon(x), lat: y };
}

export function requestOf({ like, unlike, within }: Question, limit: number): PlacesLikeRequest {
  return { like: [...like], unlike: [...unlike], limit, ...(within && { within }) };
}

function isSame(a: Place, b: Place): boolean {
  return a.lon === b.lon && a.lat === b.lat;
}
