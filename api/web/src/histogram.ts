/** How values spread, in bins of equal width. */
export interface Histogram {
  from: number;
  to: number;
  counts: number[];
}

/** Bins between rounded ends that hold every value; null where there is nothing to tell apart. */
export function histogram(values: readonly number[], nBins = 24): Histogram | null {
  const known = values.filter(Number.isFinite);
  if (known.length < 2) return null;
  const from = Math.floor(Math.min(...known) * 2) / 2;
  const to = Math.max(Math.ceil(Math.max(...known) * 2) / 2, from + 0.5);
  const counts = new Array<number>(nBins).fill(0);
  for (const value of known) {
    counts[Math.min(nBins - 1, Math.floor(((value - from) / (to - from)) * nBins))] += 1;
  }
  return { from, to, counts };
}
