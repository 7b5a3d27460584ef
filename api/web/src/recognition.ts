/** The very place of a photo: the question, and its answer in words. Nothing here touches the page. */
import type { Gallery, Neighbor, RecognizeAnswer, RecognizeRequest } from "./contract";
import { emptySearch, requestOf, type Search } from "./terms";
import { photos } from "./wording";

/** The doubt from which the service looks again, unless it is told another. */
const UNSURE = 0.97;
/** Below it the first is far ahead. */
const FAR_AHEAD = 0.8;

/** Whether the very place can be asked for: of one photo alone, where the service looks for places. */
export function mayRecognize({ terms }: Search, gallery: Gallery): boolean {
  return Boolean(gallery.can_recognize) && terms.length === 1 && terms[0].kind === "image" && !terms[0].isMinus;
}

/** Whether several photos can be taken as a walk: all of them wanted, without conditions, where walks are told. */
export function mayWalk(search: Search, gallery: Gallery): boolean {
  const { terms } = search;
  const isWalk = terms.length > 1 && terms.every((term) => term.kind === "image" && !term.isMinus);
  const page = { limit: 1, offset: 0 };
  const isUnfiltered = JSON.stringify(requestOf(search, page).filter) === JSON.stringify(requestOf(emptySearch(), page).filter);
  return Boolean(gallery.can_recognize) && gallery.precision === "exact" && isWalk && isUnfiltered;
}

/** The photos of a walk, in their order. */
export function walkOf({ terms }: Search): Blob[] {
  return terms.flatMap((term) => (term.kind === "image" ? [blobOf(term.data)] : []));
}

function blobOf(data: string): Blob {
  const [head, base64] = data.split(",", 2);
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  return new Blob([bytes], { type: head.slice("data:".length).split(";")[0] });
}

/** How sure the place of a walk is, in words. */
export function walkDoubtOf({ neighbors, doubt }: RecognizeAnswer, n: number): string {
  if (!neighbors.length) return "";
  const said = `${photos(n)}, taken as a walk in this order; the place is that of the last.`;
  return doubt >= UNSURE ? `Unsure: another stretch fits about as well. ${said}` : said;
}

export function recognizeOf(search: Search, limit: number): RecognizeRequest {
  const [term] = search.terms;
  const { filter } = requestOf(search, { limit, offset: 0 });
  return { image: term.kind === "image" ? term.data : "", limit, filter, ...(search.looksAgain && { unsure: 0 }) };
}

/** How sure the answer is, in words. */
export function doubtOf({ neighbors, doubt, looked_again, n_looked_at, missing }: RecognizeAnswer): string {
  if (neighbors.length < 2) return neighbors.length ? "Only one place passes, so there is nothing to compare it with." : "";
  const near = "The second is about as near as the first";
  if (looked_again && !n_looked_at) return "No file is at hand to look at again.";
  if (looked_again) {
    const why = doubt >= UNSURE ? `${near}: looked again` : "Looked again";
    const gone = missing.length ? ` ${photos(missing.length)} could not be: the files are not at hand.` : "";
    return `${why} at ${photos(n_looked_at)}.${gone}`;
  }
  if (doubt >= UNSURE) return `Unsure: ${near.toLowerCase()}, and nobody looks again here.`;
  return doubt < FAR_AHEAD ? "Sure: the first is far nearer than the second." : "The first is nearer than the second: no second look was taken.";
}

/** Photos as the grid takes them. Standings are left out: the order is another. */
export function foundOf({ neighbors }: RecognizeAnswer): Neighbor[] {
  return neighbors.map(({ score, ...photo }) => ({ ...photo, z_score: null, score: score ?? photo.similarity ?? 0, match: score ?? null }));
}

/** The figure on a card; nothing for photos of another search. */
export function figureOf({ match, similarity }: Neighbor): string | undefined {
  if (match === undefined) return undefined;
  return match === null ? `${(similarity ?? 0).toFixed(2)} alike` : `${match.toFixed(3)} match`;
}
