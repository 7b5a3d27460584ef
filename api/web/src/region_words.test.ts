import { expect, test } from "vitest";
import { groundsOf, rowsOf } from "./region_words";

const share = (region: string, probability: number) => ({ region, probability });

test("what is not named adds up to the rest", () => {
  const answer = { classifier: "wards", n_photos: 1, n_regions: 8, regions: [share("Minato", 0.6), share("Chuo", 0.3)] };
  expect(rowsOf(answer).map(({ name }) => name)).toEqual(["Minato", "Chuo", "6 others"]);
  expect(rowsOf(answer)[2].share).toBeCloseTo(0.1);
});

test("where all are named there is no rest, and one left has a word of its own", () => {
  const regions = [share("Minato", 0.7), share("Chuo", 0.30000001)];
  expect(rowsOf({ classifier: "wards", n_photos: 1, n_regions: 2, regions })).toHaveLength(2);
  expect(rowsOf({ classifier: "wards", n_photos: 1, n_regions: 3, regions })[2]).toEqual({ name: "another one", share: 0 });
});

test("the grounds say how often it is right, where that is known", () => {
  const known = { name: "wards", regions: ["a", "b", "c"], mean_recall: 0.64, model: "clip" };
  expect(groundsOf(known)).toContain("among 3 regions");
  expect(groundsOf(known)).toContain("64");
  expect(groundsOf({ ...known, mean_recall: null })).not.toContain("never saw");
});
