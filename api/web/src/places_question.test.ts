import { describe, expect, test } from "vitest";
import { MOST_PLACES, NOTHING_ASKED, readPlace, requestOf, without, withPlace } from "./places_question";

const [a, b, c] = [{ lon: 9.5, lat: 47.1 }, { lon: 10, lat: 48 }, { lon: 178, lat: -17 }];

describe("the places asked about", () => {
  test("a new place begins anew", () => {
    const asked = withPlace(withPlace(withPlace(NOTHING_ASKED, a, "like"), b, "unlike"), c, "like");
    expect(asked).toMatchObject({ like: [c], unlike: [] });
  });

  test("further places join, likes and unlikes apart", () => {
    const asked = withPlace(withPlace(withPlace(NOTHING_ASKED, a, "like"), b, "and"), c, "unlike");
    expect(asked).toMatchObject({ like: [a, b], unlike: [c] });
    expect(without(asked, b)).toMatchObject({ like: [a], unlike: [c] });
    expect(without(asked, c)).toMatchObject({ like: [a, b], unlike: [] });
  });

  test("a place counts once, and over the map's edge it is the same place", () => {
    const asked = withPlace(withPlace(NOTHING_ASKED, { lon: 538, lat: -17 }, "and"), c, "and");
    expect(asked.like).toEqual([c]);
  });

  test("the service takes so many", () => {
    let asked = NOTHING_ASKED;
    for (let lat = 0; lat < 12; lat++) asked = withPlace(asked, { lon: 0, lat }, "and");
    expect(asked.like.map(({ lat }) => lat)).toEqual([4, 5, 6, 7, 8, 9, 10, 11]);
    expect(asked.like).toHaveLength(MOST_PLACES);
  });
});

test("a place is typed in degrees", () => {
  expect(readPlace("-182.5", "47,1")).toEqual({ lon: 177.5, lat: 47.1 });
  expect(readPlace("", "91")).toBe("Longitude: a number is needed. Latitude: from -90 to 90");
});

test("an area goes along only where there is one", () => {
  expect(requestOf({ ...NOTHING_ASKED, like: [a] }, 12)).toEqual({ like: [a], unlike: [], limit: 12 });
  const within = { kind: "circle", lon: 0, lat: 0, radius_km: 5 } as const;
  expect(requestOf({ like: [a], unlike: [b], within }, 24)).toEqual({ like: [a], unlike: [b], limit: 24, within });
});
