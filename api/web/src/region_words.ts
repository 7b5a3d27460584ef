/** What is said of a photo's region. */
import type { RegionClassifier, RegionsAnswer } from "./contract";
import { percent } from "./wording";

/** So many regions are named. */
export const SHOWN = 5;

/** The regions to show, and what the rest of them comes to. */
export function rowsOf({ regions, n_regions }: RegionsAnswer): { name: string; share: number }[] {
  const rows = regions.slice(0, SHOWN).map(({ region, probability }) => ({ name: region, share: probability }));
  const rest = 1 - rows.reduce((sum, { share }) => sum + share, 0);
  const n = n_regions - rows.length;
  return n > 0 ? [...rows, { name: n === 1 ? "another one" : `${n} others`, share: Math.max(0, rest) }] : rows;
}

/** How far the answer can be trusted, in a sentence. */
export function groundsOf({ mean_recall, regions }: RegionClassifier): string {
  const right =
    mean_recall == null ? "" : ` Of photos of areas that it never saw it tells ${percent(mean_recall)} right.`;
  return `By the look alone, among ${regions.length} regions and no others.${right}`;
}
