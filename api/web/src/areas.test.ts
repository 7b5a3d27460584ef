import { expect, test } from "vitest";
import { box, circle, describe as inWords, middleOf, polygon, readBox, readCircle, shapeOf } from "./areas";

test("a box drawn across the antimeridian has west > east", () => {
  expect(box({ lon: 170, lat: 10 }, { lon: 190, lat: -5 })).toEqual({ kind: "box", west: 170, south: -5, east: -170, north: 10 });
});

test("a box wider than the Earth is all of it", () => {
  expect(box({ lon: -300, lat: 0 }, { lon: 100, lat: 5 })).toMatchObject({ west: -180, east: 180 });
});

test("its shape goes on eastward", () => {
  const [ring] = shapeOf({ kind: "box", west: 170, south: -5, east: -170, north: 10 }).geometry.coordinates;
  expect(ring.map(([lon]) => lon)).toEqual([170, 190, 190, 170, 170]);
});

test("corners and centers are told within 180 degrees", () => {
  expect(circle({ lon: 365, lat: 1 }, 12.34567)).toEqual({ kind: "circle", lon: 5, lat: 1, radius_km: 12.346 });
  const drawn = polygon([{ lon: 179, lat: 0 }, { lon: 181, lat: 0 }, { lon: 180.5, lat: 1 }]);
  expect(drawn.kind === "polygon" && drawn.geojson.coordinates[0]).toEqual([[179, 0], [-179, 0], [-179.5, 1], [179, 0]]);
});

test("a polygon across the antimeridian is drawn without a jump", () => {
  const [ring] = shapeOf(polygon([{ lon: 179, lat: 0 }, { lon: 181, lat: 0 }, { lon: 180.5, lat: 1 }])).geometry.coordinates;
  expect(ring.map(([lon]) => lon)).toEqual([179, 181, 180.5, 179]);
});

test("a circle larger than a hemisphere leaves out a hole", () => {
  expect(shapeOf(circle({ lon: 0, lat: 0 }, 15_000)).geometry.coordinates).toHaveLength(2);
  expect(shapeOf(circle({ lon: 0, lat: 0 }, 500)).geometry.coordinates).toHaveLength(1);
});

test("the middle of a box across the antimeridian lies in it", () => {
  expect(middleOf({ kind: "box", west: 170, south: 0, east: -170, north: 10 })).toEqual({ lon: -180, lat: 5 });
});

test("numbers are read, with a comma too, and what is wrong is named", () => {
  expect(readCircle("12,5", " 41.9", "30")).toEqual({ kind: "circle", lon: 12.5, lat: 41.9, radius_km: 30 });
  expect(readCircle("x", "95", "")).toBe("Longitude: a number is needed; Latitude: from -90 to 90; Radius: a number is needed");
  expect(readBox("170", "-10", "-170", "10")).toMatchObject({ west: 170, east: -170 });
  expect(readBox("0", "10", "1", "5")).toBe("South must be below north");
});

test("areas in words", () => {
  expect(inWords({ kind: "circle", lon: -3.7, lat: 40.4, radius_km: 25 })).toBe("within 25\u00a0km of 40.40° N, 3.70° W");
  expect(inWords({ kind: "box", west: 170, south: 0, east: -170, north: 1 })).toContain("across the antimeridian");
});
