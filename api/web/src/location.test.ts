import { cellToLatLng, latLngToCell } from "h3-js";
import { expect, test } from "vitest";
import type { Location } from "./contract";
import { cellArea, hexagon, resolutionFor } from "./hexagons";
import { legendOf, pinsOf, pointsOf, regionsOf, sharesOf, viewOf } from "./location_map";
import { certaintyOf, foremost, groundsOf, verdictOf } from "./location_words";
import { Tool } from "./tool";

const ANSWER: Location = {
  countries: [{ name: "Fiji", code: "FJ", probability: 0.7 }, { name: "Tonga", code: "TO", probability: 0.2 }, { name: "", code: "", probability: 0.1 }],
  states: [{ name: "Central", code: "FJ", probability: 0.65 }],
  abstain: false, abstain_reason: "", information_bits: 4, prior_share: 0.2, is_calibrated: true,
  p_within_km: { "750": 0.8, "25": 0.1, "200": 0.5 },
  lon: 179.5, lat: -17, mode: { lon: -179.8, lat: -17 },
  regions: [{ level: 0.5, area_km2: 1000, geojson: { type: "Polygon", coordinates: [[[179, -18], [-179, -18], [-179, -16], [179, -16], [179, -18]]] } }],
  surface: [
    { cell: "839b5bfffffffff", lon: 179.5, lat: -17, probability: 0.6 },
    { cell: "839b59fffffffff", lon: -179.5, lat: -17.5, probability: 0.3 },
    { cell: "831fb4fffffffff", lon: 2, lat: 49, probability: 0.05 },
  ],
  evidence: [{ id: "a", score: 1, lon: 178, lat: -18 }, { id: "b", score: 0.5 }],
  n_photos: 1, precision: "exact",
};
const NO_ANSWER: Location = { ...ANSWER, abstain: true, abstain_reason: "the photo says little about its place" };

test("the verdict says no more than the probabilities", () => {
  expect(verdictOf(ANSWER).title).toBe("Likely Fiji, in Central");
  expect(verdictOf(ANSWER).lead).toBe("70\u00a0% for Fiji. Otherwise Tonga (20\u00a0%).");
  const unclear = { ...ANSWER, countries: [{ name: "Fiji", code: "FJ", probability: 0.3 }, { name: "Tonga", code: "TO", probability: 0.28 }] };
  expect(verdictOf(unclear).title).toBe("Not clear");
  expect(verdictOf(NO_ANSWER)).toMatchObject({ title: "No answer", lead: expect.stringContaining("The photo says little about its place.") });
});

test("an abstention has no pin, and no regions in the legend", () => {
  expect(pinsOf(NO_ANSWER)).toEqual([]);
  expect(legendOf(NO_ANSWER, false).map(({ kind }) => kind)).toEqual(["note", "mark"]);
  expect(pinsOf(ANSWER).map(({ kind }) => kind)).toEqual(["mode", "best"]);
});

test("radii come nearest first", () => {
  expect(certaintyOf(ANSWER).map(({ km }) => km)).toEqual([25, 200, 750]);
  expect(certaintyOf({ ...ANSWER, p_within_km: null })).toEqual([]);
});

test("the rest of the shares is one", () => {
  const shares = [0.5, 0.2, 0.1, 0.1].map((probability, i) => ({ name: `${i}`, code: "XX", probability }));
  expect(foremost(shares, 2).map(({ name }) => name)).toEqual(["0", "1", "elsewhere"]);
});

test("defaults are called rough", () => {
  expect(groundsOf({ ...ANSWER, is_calibrated: false }).join()).toMatch(/rough/);
  expect(groundsOf(ANSWER)[0]).toMatch(/16-fold/);
});

test("regions across the antimeridian have no line around the Earth", () => {
  const [{ geometry }] = regionsOf(ANSWER);
  const lines = geometry.type === "MultiLineString" ? geometry.coordinates : [];
  const longest = Math.max(...lines.flatMap((line) => line.slice(1).map(([lon], i) => Math.abs(lon - line[i][0]))));
  expect(longest).toBeLessThanOrEqual(2);
});

test("the view holds most of the probability, and not its far remnants", () => {
  const view = viewOf(ANSWER);
  expect(view?.[0]).toBeGreaterThan(170);
  expect(view?.[2]).toBeLessThan(190);
});

test("countries are shaded by their codes; places without one, and traces, not", () => {
  const countries = [...ANSWER.countries, { name: "Chad", code: "TD", probability: 0.001 }];
  expect([...sharesOf({ ...ANSWER, countries }).keys()]).toEqual(["FJ", "TO"]);
});

test("only photos whose place is told are on the map", () => {
  expect(pointsOf(ANSWER.evidence, "a")).toHaveLength(1);
  expect(pointsOf(ANSWER.evidence, "a")[0].properties).toMatchObject({ selected: true });
});

test("cells are finer the nearer one looks, down to what the cap allows", () => {
  const zooms = [0, 2, 4, 6, 8, 12].map((zoom) => resolutionFor(zoom, 0));
  expect(zooms).toEqual([...zooms].sort((a, b) => a - b));
  expect(resolutionFor(12, 0, 2)).toBe(2);
  expect(resolutionFor(20, 0)).toBe(7);
});

test("a cell on the antimeridian is one piece beside its center, and an area to search in", () => {
  const cell = latLngToCell(-17, 180, 3);
  const [lat, lon] = cellToLatLng(cell);
  const [ring] = hexagon(cell, { lon, lat }, {}).geometry.coordinates;
  const lons = ring.map(([x]) => x);
  expect(Math.max(...lons.map(Math.abs))).toBeGreaterThan(180);
  expect(Math.max(...lons) - Math.min(...lons)).toBeLessThan(5);
  expect(cellArea(cell)).toMatchObject({ kind: "polygon" });
});

test("the cell around the pole reaches the map's edge", () => {
  const cell = latLngToCell(90, 0, 1);
  const [lat, lon] = cellToLatLng(cell);
  const [ring] = hexagon(cell, { lon, lat }, {}).geometry.coordinates;
  const lons = ring.map(([x]) => x);
  expect(Math.max(...lons) - Math.min(...lons)).toBeCloseTo(360, 6);
});

test("a tool makes an area of the places fixed", () => {
  const tool = new Tool("circle");
  expect(tool.fix({ lon: 0, lat: 0 })).toBe(false);
  expect(tool.area()).toBeNull();
  expect(tool.fix({ lon: 0, lat: 1 })).toBe(true);
  expect(tool.area()).toMatchObject({ kind: "circle", radius_km: 111.2 });
  const polygon = new Tool("polygon");
  for (const lon of [0, 1]) polygon.fix({ lon, lat: 0 });
  expect(polygon.area()).toBeNull();
  expect(polygon.area({ lon: 1, lat: 1 })).toMatchObject({ kind: "polygon" });
});
