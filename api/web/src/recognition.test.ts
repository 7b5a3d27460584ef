import { describe, expect, test } from "vitest";
import type { Gallery, RecognizeAnswer } from "./contract";
import { doubtOf, figureOf, foundOf, mayRecognize, mayWalk, recognizeOf, walkDoubtOf, walkOf } from "./recognition";
import { emptySearch, type Term } from "./terms";

const gallery = { can_recognize: true } as Gallery;
const photo: Term = { kind: "image", name: "a.jpg", data: "data:image/jpeg;base64,AA", url: "blob:1", note: "", weight: 1, isMinus: false };
const asked = (...terms: Term[]) => ({ ...emptySearch(), terms });
const near = { id: "a", score: 0.71, similarity: 0.9, z_score: 3 };
const answer: RecognizeAnswer = { neighbors: [near, { id: "b", score: null, similarity: 0.8, z_score: 2 }], using: "place", doubt: 0.98, looked_again: true, n_looked_at: 20, may_look_again: true, missing: [] };

describe("the very place is asked for", () => {
  test("of one photo alone", () => {
    expect(mayRecognize(asked(photo), gallery)).toBe(true);
    expect(mayRecognize(asked(), gallery)).toBe(false);
    expect(mayRecognize(asked(photo, photo), gallery)).toBe(false);
    expect(mayRecognize(asked({ ...photo, isMinus: true }), gallery)).toBe(false);
    expect(mayRecognize(asked({ kind: "text", text: "x", weight: 1, isMinus: false }), gallery)).toBe(false);
  });

  test("where the service offers it", () => {
    expect(mayRecognize(asked(photo), { can_recognize: false } as Gallery)).toBe(false);
    expect(mayRecognize(asked(photo), {} as Gallery)).toBe(false);
  });

  test("with a second look in any case", () => {
    expect(recognizeOf({ ...asked(photo), looksAgain: true }, 24).unsure).toBe(0);
    expect("unsure" in recognizeOf(asked(photo), 24)).toBe(false);
  });

  test("among the photos that pass", () => {
    const search = { ...asked(photo), isPlaced: "yes" as const, near: { lon: 1, lat: 2, halfKm: 3, weight: 0.1 }, minZ: 1 };
    expect(recognizeOf(search, 24)).toEqual({ image: photo.kind === "image" && photo.data, limit: 24, filter: { is_placed: true } });
  });
});

describe("a walk is asked for", () => {
  const exact = { can_recognize: true, precision: "exact" } as Gallery;

  test("of several photos without conditions, where places are told exactly", () => {
    expect(mayWalk(asked(photo, photo), exact)).toBe(true);
    expect(mayWalk(asked(photo), exact)).toBe(false);
    expect(mayWalk(asked(photo, { ...photo, isMinus: true }), exact)).toBe(false);
    expect(mayWalk(asked(photo, { kind: "text", text: "x", weight: 1, isMinus: false }), exact)).toBe(false);
    expect(mayWalk({ ...asked(photo, photo), isPlaced: "yes" as const }, exact)).toBe(false);
    expect(mayWalk(asked(photo, photo), { ...exact, precision: "25km" })).toBe(false);
    expect(mayWalk(asked(photo, photo), { ...exact, can_recognize: false })).toBe(false);
  });

  test("with the bytes of its photos, in their order", async () => {
    const other: Term = { ...photo, data: "data:image/png;base64,AQID" } as Term;
    const [first, second] = walkOf(asked(photo, other));
    expect([first.type, second.type]).toEqual(["image/jpeg", "image/png"]);
    expect([...new Uint8Array(await second.arrayBuffer())]).toEqual([1, 2, 3]);
  });

  test("and its doubt is that of another stretch", () => {
    expect(walkDoubtOf({ ...answer, doubt: 0.99 }, 9)).toMatch(/^Unsure: another stretch.* 9 photos/);
    expect(walkDoubtOf({ ...answer, doubt: 0.5 }, 9)).toMatch(/^9 photos, taken as a walk/);
    expect(walkDoubtOf({ ...answer, neighbors: [] }, 9)).toBe("");
  });
});

describe("doubt in words", () => {
  const said = (part: Partial<RecognizeAnswer>) => doubtOf({ ...answer, ...part });

  test("after a second look", () => {
    expect(said({})).toBe("The second is about as near as the first: looked again at 20 photos.");
    expect(said({ n_looked_at: 1, missing: ["c"] })).toMatch(/again at 1 photo\. 1 photo could not be/);
    expect(said({ n_looked_at: 0, missing: ["a", "b"] })).toBe("No file is at hand to look at again.");
    expect(said({ doubt: 0.4 })).toBe("Looked again at 20 photos.");
  });

  test("without one", () => {
    const sure = { looked_again: false, n_looked_at: 0 };
    expect(said({ ...sure, doubt: 0.5 })).toMatch(/^Sure/);
    expect(said({ ...sure, doubt: 0.9 })).toMatch(/no second look/);
    expect(said({ ...sure, doubt: 0.97 })).toMatch(/^Unsure/);
  });

  test("with nothing to compare", () => {
    expect(said({ neighbors: [near] })).toMatch(/nothing to compare/);
    expect(said({ neighbors: [] })).toBe("");
  });
});

test("cards tell the match, or the likeness of what nobody looked at again", () => {
  const found = foundOf(answer);
  expect(found.map(figureOf)).toEqual(["0.710 match", "0.80 alike"]);
  expect(found.map(({ z_score }) => z_score)).toEqual([null, null]);
  expect(figureOf({ id: "c", score: 0.3, similarity: 0.3 })).toBeUndefined();
});
