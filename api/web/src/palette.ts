/** The map's colors, designed for light and for dark, and the steps in which counts are shaded. */

export interface Palette {
  sea: string;
  land: string;
  border: string;
  name: string;
  halo: string;
  /** From few to many. */
  ramp: readonly [string, string, string, string, string];
  accent: string;
  ink: string;
  paper: string;
  area: string;
}

export const LIGHT: Palette = {
  sea: "#e4e9ec",
  land: "#f8f6f2",
  border: "#cfcbc2",
  name: "#6d7478",
  halo: "#f8f6f2",
  ramp: ["#eccfe0", "#d99cc4", "#bd63a2", "#8f3486", "#571a5c"],
  accent: "#7a2f7d",
  ink: "#20262b",
  paper: "#ffffff",
  area: "#0b6b75",
};

export const DARK: Palette = {
  sea: "#101316",
  land: "#1d2226",
  border: "#3a4248",
  name: "#98a3aa",
  halo: "#14181b",
  ramp: ["#4b2a55", "#7c3a80", "#b4559f", "#e08cc4", "#fbd7ee"],
  accent: "#eba4e2",
  ink: "#eef0f1",
  paper: "#14171a",
  area: "#5fc9d3",
};

/** Lower ends of at most five steps from 1 to a maximum: round numbers, about evenly spaced in proportion. */
export function countSteps(max: number): number[] {
  const round = [1, 2, 5].flatMap((x) => [0, 1, 2, 3, 4, 5, 6, 7].map((power) => x * 10 ** power)).sort((a, b) => a - b);
  const below = round.filter((x) => x <= max);
  if (below.length <= 5) return below.length ? below : [1];
  const last = below.length - 1;
  return [0, 1, 2, 3, 4].map((i) => below[Math.round((i * last) / 5)]);
}

/** In which step a count lies, from 0. */
export function stepOf(n: number, steps: readonly number[]): number {
  return Math.max(0, steps.findLastIndex((from) => n >= from));
}

/** The ramp's color for a step of so many; few steps use the whole ramp too. */
export function rampIndex(step: number, nSteps: number): number {
  return nSteps <= 1 ? 2 : Math.round((step * 4) / (nSteps - 1));
}
