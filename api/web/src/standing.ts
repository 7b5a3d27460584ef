/** A z-score in plain words, by the tail of the normal distribution. A rough guide: real tails are heavier. */
import { count } from "./wording";

/** Share of a normal distribution above z (complementary error function, Abramowitz and Stegun 7.1.26). */
export function upperTail(z: number): number {
  const x = Math.abs(z) / Math.SQRT2;
  const t = 1 / (1 + 0.3275911 * x);
  const series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  // Far out the series loses all digits; the asymptotic form takes over.
  const tail = x > 3 ? asymptotic(Math.abs(z)) : (series * Math.exp(-x * x)) / 2;
  return z >= 0 ? tail : 1 - tail;
}

function asymptotic(z: number): number {
  const density = Math.exp(-(z * z) / 2) / Math.sqrt(2 * Math.PI);
  return (density / z) * (1 - 1 / z ** 2 + 3 / z ** 4 - 15 / z ** 6);
}

/** One in how many, rounded to a figure that one can say. */
export function oneIn(z: number): number {
  const n = 1 / upperTail(z);
  const digits = 10 ** Math.floor(Math.log10(n));
  return n < 10 ? Math.round(n) : Math.round(n / digits) * digits;
}

/** The same on a picture's edge. */
export function shortStanding(z: number): string {
  const n = oneIn(z);
  if (z < 1) return "common";
  if (n >= 1e6) return `1 in ${n >= 1e9 ? "10⁹" : `${count(Math.round(n / 1e6))} M`}`;
  return `1 in ${count(n)}`;
}

/** How unusual a similarity is, for people. */
export function standing(z: number): string {
  if (z < 0) return "less similar than an ordinary photo";
  if (z < 0.5) return "as similar as an ordinary photo";
  const n = oneIn(z);
  if (n >= 1e9) return "fewer than 1 in a billion are as similar";
  if (n >= 1e6) return `1 in ${count(Math.round(n / 1e6))} million is as similar`;
  return `1 in ${count(n)} is as similar`;
}
