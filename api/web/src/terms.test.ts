import { describe, expect, test } from "vitest";
import { emptySearch, faultOf, requestOf, type Term, textTerm } from "./terms";

const page = { limit: 24, offset: 0 };

test("a minus before words leads away from them", () => {
  expect(textTerm(" - people ")).toMatchObject({ text: "people", isMinus: true });
  expect(textTerm("a well-known beach")).toMatchObject({ text: "a well-known beach", isMinus: false });
  expect(textTerm(" - ")).toBeNull();
});

describe("the question", () => {
  test("nothing asked is everything", () => {
    expect(requestOf(emptySearch(), page)).toEqual({ queries: [], filter: {}, ...page });
  });

  test("terms carry their signs in their weights", () => {
    const terms: Term[] = [
      { kind: "text", text: "a beach", weight: 2, isMinus: false },
      { kind: "photo", id: "p", thumbnail: null, weight: 0.5, isMinus: true },
      { kind: "location", at: { lon: 190, lat: 5 }, weight: 1, isMinus: false },
    ];
    const asked = requestOf({ ...emptySearch(), terms, fusion: "rankings" }, page);
    expect(asked.queries).toEqual([{ text: "a beach", weight: 2 }, { photo: "p", weight: -0.5 }, { location: { lon: -170, lat: 5 }, weight: 1 }]);
    expect(asked.fusion).toBe("rankings");
  });

  test("the last day is in", () => {
    const { filter } = requestOf({ ...emptySearch(), from: "2020-02-28", until: "2020-02-29" }, page);
    expect(filter).toEqual({ captured_from: "2020-02-28T00:00:00Z", captured_until: "2020-03-01T00:00:00Z" });
  });

  test("nearness, cut-off and known places are passed on", () => {
    const search = { ...emptySearch(), near: { lon: -190, lat: 1, halfKm: 50, weight: 0.2 }, minZ: 0, isPlaced: "no" as const };
    expect(requestOf(search, page)).toMatchObject({ prefer_near: { lon: 170, half_km: 50 }, min_z_score: 0, filter: { is_placed: false } });
  });
});

test("what cannot be asked is said", () => {
  expect(faultOf({ ...emptySearch(), terms: [{ kind: "text", text: "x", weight: 1, isMinus: true }] })).toMatch(/minus/);
  expect(faultOf({ ...emptySearch(), from: "2021-01-02", until: "2021-01-01" })).toMatch(/first day/);
  expect(faultOf(emptySearch())).toBe("");
});
