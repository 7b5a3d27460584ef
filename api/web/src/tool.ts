/** A shape while it is drawn, apart from pointers and keys: what has been fixed, and what would come of it. */
import { box, circle, polygon } from "./areas";
import type { Area, Place } from "./contract";
import { distanceKm } from "./sphere";

export type ToolKind = Area["kind"];

export class Tool {
  readonly corners: Place[] = [];

  constructor(readonly kind: ToolKind) {}

  /** Fixes a place. Returns whether the shape is done by it. */
  fix(place: Place): boolean {
    this.corners.push(place);
    return this.kind !== "polygon" && this.corners.length === 2;
  }

  /** The area of what is fixed, with one more place where the pointer is; null while it is none. */
  area(pointer: Place | null = null): Area | null {
    const places = pointer ? [...this.corners, pointer] : this.corners;
    const [a, b] = places;
    if (this.kind === "polygon") return places.length >= 3 ? polygon(places) : null;
    if (!a || !b) return null;
    if (this.kind === "circle") {
      const radius = distanceKm(a, b);
      return radius > 0.001 ? circle(a, radius) : null;
    }
    return a.lon !== b.lon && a.lat !== b.lat ? box(a, b) : null;
  }

  hint(byKeys: boolean): string {
    const n = this.corners.length;
    const fix = byKeys ? "move the map with the arrow keys, then press Enter" : "";
    if (this.kind === "polygon") {
      if (byKeys) return n < 3 ? `Corner ${n + 1}: ${fix}` : `Corner ${n + 1}: ${fix}, or F to finish`;
      return n < 3 ? "Tap the corners one after another" : "Tap more corners, or the first one again to finish";
    }
    if (this.kind === "circle") {
      if (byKeys) return n ? `Edge: ${fix}` : `Center: ${fix}`;
      return "Press on the center and drag outward";
    }
    if (byKeys) return n ? `Opposite corner: ${fix}` : `First corner: ${fix}`;
    return "Press on one corner and drag to the opposite one";
  }
}
