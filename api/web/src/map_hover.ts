/** What lies under the pointer, or, for the keyboard, under the cross-hair in the map's middle. */
import { announce } from "./announce";
import type { Drawing } from "./drawing";
import { debounced } from "./latest";
import type { Stage } from "./stage";

export function hover(stage: Stage, drawing: Drawing): void {
  const { map, container } = stage;
  if (!map) return;
  const canvas = map.getCanvas();
  canvas.setAttribute("aria-label", "Map. Arrow keys move it, plus and minus zoom; what lies in its middle is read out.");
  const look = (x: number, y: number): string | null => {
    const tap = stage.at(x, y);
    const uppermost = tap?.features.find(({ properties }) => properties.text);
    const cell = uppermost && (uppermost.sheet === "cells" || uppermost.sheet === "surface") ? uppermost : null;
    stage.point("cells", cell?.sheet === "cells" ? String(cell.properties.id) : null);
    const text = uppermost ? String(uppermost.properties.text) : null;
    stage.tell(text, x, y);
    return text;
  };
  map.on("mousemove", ({ point }) => {
    container.classList.remove("by-keys");
    if (drawing.isDrawing) return stage.tell(null);
    const text = look(point.x, point.y);
    canvas.style.cursor = text ? "pointer" : "";
  });
  // What was read out lies elsewhere then, or is another cell.
  for (const event of ["movestart", "click"] as const) map.on(event, () => stage.tell(null));
  map.on("mouseout", () => {
    stage.tell(null);
    stage.point("cells", null);
  });
  const middle = debounced(() => {
    if (!container.classList.contains("by-keys") || drawing.isDrawing) return;
    announce(look(canvas.clientWidth / 2, canvas.clientHeight / 2) ?? "Nothing in the middle of the map");
  }, 300);
  canvas.addEventListener("focus", () => {
    if (!canvas.matches(":focus-visible")) return;
    container.classList.add("by-keys");
    middle();
  });
  canvas.addEventListener("blur", () => {
    container.classList.remove("by-keys");
    stage.tell(null);
  });
  canvas.addEventListener("keydown", ({ key }) => {
    if (key !== "Tab") container.classList.add("by-keys");
    if (key === "Enter" && !drawing.isDrawing) {
      map.fire("click", { point: map.project(map.getCenter()), lngLat: map.getCenter() });
    }
  });
  map.on("moveend", middle);
  map.on("idle", middle);
}
