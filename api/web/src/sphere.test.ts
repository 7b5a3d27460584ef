import { describe, expect, test } from "vitest";
import { boundsOf, circleRing, destination, distanceKm, normLon, outline, type Ring, unwrapped } from "./sphere";

describe("longitudes", () => {
  test.each([[190, -170], [-190, 170], [180, -180], [-180, -180], [540, -180], [12.5, 12.5]])("%d is the meridian %d", (lon, same) => {
    expect(normLon(lon)).toBeCloseTo(same, 9);
  });

  test("the distance is short across the antimeridian", () => {
    expect(distanceKm({ lon: 179.5, lat: 0 }, { lon: -179.5, lat: 0 })).toBeCloseTo(111.195, 2);
  });

  test("a destination lies at its distance, also beyond a pole", () => {
    const from = { lon: 30, lat: 88 };
    expect(distanceKm(from, destination(from, 10, 900))).toBeCloseTo(900, 6);
  });
});

describe("rings", () => {
  const steps = (ring: Ring) => ring.slice(1).map(([lon], i) => Math.abs(lon - ring[i][0]));

  test("a circle in Fiji goes on beyond 180 degrees", () => {
    const ring = circleRing({ lon: 179, lat: -18 }, 500);
    expect(Math.max(...steps(ring))).toBeLessThan(10);
    expect(Math.max(...ring.map(([lon]) => lon))).toBeGreaterThan(180);
  });

  test("a circle around the pole is closed along the map's edge", () => {
    const ring = circleRing({ lon: 20, lat: 85 }, 1000);
    expect(ring.some(([, lat]) => lat > 85.05)).toBe(true);
    expect(ring[0]).toEqual(ring[ring.length - 1]);
  });

  test("around the south pole on the southern side", () => {
    expect(circleRing({ lon: 0, lat: -88 }, 1500).some(([, lat]) => lat < -85.05)).toBe(true);
  });

  test("a ring stays on the side of the Earth of its center", () => {
    const ring: Ring = [[-179, 0], [179, 0], [179, 1], [-179, 0]];
    expect(unwrapped(ring, 179).every(([lon]) => lon > 170)).toBe(true);
  });

  test("an outline has no line along the antimeridian", () => {
    expect(outline([[170, 0], [180, 0], [180, 10], [170, 10], [170, 0]])).toEqual([[[170, 0], [180, 0]], [[180, 10], [170, 10], [170, 0]]]);
  });
});

test("bounds are the narrow ones", () => {
  expect(boundsOf([{ lon: 178, lat: -17 }, { lon: -178, lat: -20 }])).toEqual([178, -20, 182, -17]);
  expect(boundsOf([{ lon: -10, lat: 1 }, { lon: 30, lat: 2 }])).toEqual([-10, 1, 30, 2]);
  expect(boundsOf([])).toBeNull();
});
