import { describe, expect, test } from "vitest";
import { histogram } from "./histogram";
import { countSteps, rampIndex, stepOf } from "./palette";
import { oneIn, shortStanding, standing, upperTail } from "./standing";
import { kilometers, list, percent, place, squareKilometers } from "./wording";

describe("standing", () => {
  // Tails of the normal distribution from tables.
  test.each([[0, 0.5], [1, 0.158655], [1.6449, 0.05], [3.0902, 0.001], [5, 2.8665e-7], [-1, 0.841345]])("above z = %d lies %d", (z, tail) => {
    expect(upperTail(z) / tail).toBeCloseTo(1, 3);
  });

  test("the two forms meet", () => {
    const joint = 3 * Math.SQRT2;
    expect(upperTail(joint - 1e-6) / upperTail(joint + 1e-6)).toBeCloseTo(1, 2);
  });

  test("in plain words", () => {
    expect(oneIn(3.0902)).toBe(1000);
    expect(standing(3.0902)).toBe("1 in 1,000 is as similar");
    expect(standing(0.1)).toBe("as similar as an ordinary photo");
    expect(standing(-2)).toBe("less similar than an ordinary photo");
    expect(standing(9)).toMatch(/a billion/);
    expect(shortStanding(0.3)).toBe("common");
    expect(shortStanding(2.33)).toBe("1 in 100");
  });
});

test("a histogram holds every value, the largest too", () => {
  const drawn = histogram([0.1, 0.2, 3, 2.9], 6);
  expect(drawn).toMatchObject({ from: 0, to: 3 });
  expect(drawn?.counts).toEqual([2, 0, 0, 0, 0, 2]);
  expect(histogram([1])).toBeNull();
});

test("counts are shaded in at most five round steps", () => {
  expect(countSteps(1)).toEqual([1]);
  expect(countSteps(9)).toEqual([1, 2, 5]);
  const steps = countSteps(50_000);
  expect(steps).toHaveLength(5);
  expect(steps[0]).toBe(1);
  expect(stepOf(0, steps)).toBe(0);
  expect(stepOf(50_000, steps)).toBe(4);
  expect(rampIndex(0, 1)).toBe(2);
  expect(rampIndex(2, 3)).toBe(4);
});

test("figures say no more than they know", () => {
  expect([percent(0.999), percent(0.001), percent(0), percent(1), percent(0.314)]).toEqual(["> 99\u00a0%", "< 1\u00a0%", "0\u00a0%", "100\u00a0%", "31\u00a0%"]);
  expect([kilometers(0.0004), kilometers(0.42), kilometers(1), kilometers(3.14), kilometers(2500)]).toEqual(["10\u00a0m", "420\u00a0m", "1\u00a0km", "3.1\u00a0km", "2,500\u00a0km"]);
  expect(squareKilometers(113_411)).toBe("110,000\u00a0km²");
  expect(squareKilometers(1_230_000)).toBe("1.2 million\u00a0km²");
  expect(place({ lon: -175.2, lat: -21.14 })).toBe("21.14° S, 175.20° W");
  expect([list([]), list(["a"]), list(["a", "b", "c"])]).toEqual(["", "a", "a, b and c"]);
});
