/** An answer about a photo's place, in words. Nothing here touches the page. */
import type { Location, Share } from "./contract";
import { list, percent } from "./wording";

export interface Verdict {
  title: string;
  /** A sentence below the title. */
  lead: string;
}

/** What to say first; never more than the probabilities carry. */
export function verdictOf(location: Location): Verdict {
  const noun = location.n_photos > 1 ? "these photos" : "the photo";
  if (location.abstain) {
    return { title: "No answer", lead: `${sentence(location.abstain_reason)} A place shown here would only repeat where the gallery has most photos.` };
  }
  const [first, second] = named(location.countries);
  if (!first) return { title: "Somewhere at sea, or remote", lead: "No country stands out." };
  const state = named(location.states ?? [])[0];
  const inState = state && state.probability >= 0.35 ? `, ${state.probability >= 0.6 ? "" : "perhaps "}in ${state.name}` : "";
  if (first.probability < 0.35) {
    const nextBest = second ? `${first.name} or ${second.name}` : first.name;
    return { title: "Not clear", lead: `${nextBest} come closest (${shareList(location.countries, 2)}), but ${noun} could be from elsewhere.` };
  }
  const title = `${howLikely(first.probability)} ${first.name}${inState}`;
  const rest = named(location.countries).slice(1, 3).filter(({ probability }) => probability >= 0.03);
  const other = rest.length ? ` Otherwise ${list(rest.map(({ name, probability }) => `${name} (${percent(probability)})`))}.` : "";
  return { title, lead: `${percent(first.probability)} for ${first.name}.${other}` };
}

/** Radii and probabilities, nearest first. */
export function certaintyOf(location: Location): { km: number; probability: number }[] {
  return Object.entries(location.p_within_km ?? {})
    .map(([km, probability]) => ({ km: Number(km), probability }))
    .sort((a, b) => a.km - b.km);
}

/** What stands behind the figures. */
export function groundsOf(location: Location): string[] {
  const noun = location.n_photos > 1 ? `The ${location.n_photos} photos together say` : "The photo says";
  const bits = location.information_bits;
  const factor = 2 ** bits;
  const lines = [
    `${noun} ${bits.toFixed(1)} bits about the place: they narrow it down about ${factor >= 10 ? Math.round(factor) : factor.toFixed(1)}-fold against what was known without.`,
    `${percent(location.prior_share)} of the answer rests on where photos are taken at all, and not on what is seen.`,
    location.is_calibrated
      ? "The probabilities were fitted on photos of this gallery whose place is known; they hold for photos like those."
      : "The gallery is too small to fit probabilities on it, or another prior was chosen: take them as rough.",
  ];
  return location.n_photos > 1 ? lines : [lines[0].replace(": they narrow", ": it narrows"), ...lines.slice(1)];
}

/** Shares with a name that add to a picture: the foremost, and the rest as one. */
export function foremost(shares: readonly Share[], n: number): Share[] {
  const shown = shares.slice(0, n).filter(({ probability }) => probability >= 0.005);
  const rest = 1 - shown.reduce((sum, { probability }) => sum + probability, 0);
  return rest >= 0.01 && shares.length > shown.length ? [...shown, { name: "elsewhere", code: "", probability: rest }] : shown;
}

function named(shares: readonly Share[]): Share[] {
  return shares.filter(({ code, name }) => code !== "" && name !== "");
}

function howLikely(p: number): string {
  if (p >= 0.9) return "Very likely";
  return p >= 0.6 ? "Likely" : "Perhaps";
}

function shareList(shares: readonly Share[], n: number): string {
  return list(named(shares).slice(0, n).map(({ name, probability }) => `${name} ${percent(probability)}`));
}

function sentence(reason: string): string {
  const text = reason || "the photo says too little about its place";
  return `${text[0].toUpperCase()}${text.slice(1)}${text.endsWith(".") ? "" : "."}`;
}
