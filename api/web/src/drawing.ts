/** Drawing an area on the map: by pointer or finger, or by keys with a cross-hair in the map's middle. */
import type { Feature } from "geojson";
import type { MapMouseEvent, MapTouchEvent } from "maplibre-gl";
import { announce } from "./announce";
import { describe, shapeOf } from "./areas";
import type { Area, Place } from "./contract";
import { button, el, fill, iconButton } from "./dom";
import { icon } from "./icons";
import type { Stage } from "./stage";
import { Tool, type ToolKind } from "./tool";

const SAME_PX = 12;
const TOOLS: [ToolKind, string][] = [
  ["circle", "Draw a circle"],
  ["box", "Draw a box"],
  ["polygon", "Draw a polygon"],
];

export class Drawing {
  readonly bar = el("div", { class: "map-tools", role: "group", "aria-label": "Limit the search to an area" });
  readonly hint = el("div", { class: "map-hint", hidden: true });
  /** Called with each area drawn, and with null when it is cleared. */
  onArea: (area: Area | null) => void = () => {};
  private tool: Tool | null = null;
  private isPressed = false;
  private endedAt = Number.NEGATIVE_INFINITY;
  private readonly buttons = new Map<ToolKind, HTMLButtonElement>();
  private readonly clear = iconButton("Clear the area", icon("close"), () => this.set(null, true));

  constructor(private readonly stage: Stage) {
    for (const [kind, name] of TOOLS) {
      const pressed = iconButton(name, icon(kind), () => this.toggle(kind));
      pressed.setAttribute("aria-pressed", "false");
      this.buttons.set(kind, pressed);
      this.bar.append(pressed);
    }
    this.clear.hidden = true;
    this.bar.append(this.clear);
    stage.container.append(this.bar, this.hint, el("div", { class: "cross-hair", "aria-hidden": "true" }));
    this.listen();
  }

  get isDrawing(): boolean {
    return this.tool !== null;
  }

  /** Whether the click that is being handled ended a shape, and means nothing else. */
  get hasJustEnded(): boolean {
    return performance.now() - this.endedAt < 350;
  }

  /** Shows or hides the tools: areas may be refused by the operator's cap. */
  allow(allowed: boolean): void {
    this.bar.hidden = !allowed;
    if (!allowed) this.end();
  }

  /** Shows an area, from wherever it came. */
  set(area: Area | null, isAnnounced = false): void {
    this.end();
    this.stage.set("area", area ? [shapeOf(area)] : []);
    this.clear.hidden = !area;
    if (!isAnnounced) return;
    announce(area ? `Area: ${describe(area)}` : "The area is cleared");
    this.onArea(area);
  }

  private toggle(kind: ToolKind): void {
    const again = this.tool?.kind === kind;
    this.end();
    if (again) return;
    this.tool = new Tool(kind);
    this.buttons.get(kind)?.setAttribute("aria-pressed", "true");
    this.stage.container.classList.add("is-drawing");
    this.stage.map?.dragPan[kind === "polygon" ? "enable" : "disable"]();
    this.stage.map?.doubleClickZoom.disable();
    this.stage.map?.getCanvas().focus({ preventScroll: true });
    this.explain();
  }

  private end(): void {
    if (this.tool) this.endedAt = performance.now();
    this.tool = null;
    this.isPressed = false;
    for (const each of this.buttons.values()) each.setAttribute("aria-pressed", "false");
    this.stage.container.classList.remove("is-drawing", "by-keys");
    this.stage.map?.dragPan.enable();
    this.stage.map?.doubleClickZoom.enable();
    this.stage.set("sketch", []);
    this.hint.hidden = true;
  }

  private explain(): void {
    if (!this.tool) return;
    const text = this.tool.hint(this.stage.container.classList.contains("by-keys"));
    const canFinish = this.tool.kind === "polygon" && this.tool.corners.length >= 3;
    fill(
      this.hint,
      el("span", {}, text),
      canFinish && button("Finish", () => this.finish(), { class: "button is-small" }),
      button("Cancel", () => this.end(), { class: "button is-small is-quiet" }),
    );
    this.hint.hidden = false;
    announce(text);
  }

  private fix(place: Place): void {
    if (!this.tool) return;
    if (this.tool.fix(place)) return this.finish();
    this.sketch(place);
    this.explain();
  }

  private finish(): void {
    const area = this.tool?.area();
    if (area) this.set(area, true);
    else this.end();
  }

  private sketch(pointer: Place): void {
    if (!this.tool) return;
    const area = this.tool.area(pointer);
    const corners = this.tool.corners.map(({ lon, lat }): Feature => {
      return { type: "Feature", properties: {}, geometry: { type: "Point", coordinates: [lon, lat] } };
    });
    const path = [...this.tool.corners, pointer].map(({ lon, lat }) => [lon, lat]);
    const line: Feature = { type: "Feature", properties: {}, geometry: { type: "LineString", coordinates: path } };
    this.stage.set("sketch", [...(area ? [shapeOf(area)] : this.tool.kind === "polygon" ? [line] : []), ...corners]);
  }

  private listen(): void {
    const { map, container } = this.stage;
    if (!map) return;
    const press = (event: MapMouseEvent | MapTouchEvent) => {
      container.classList.remove("by-keys");
      if (!this.tool || this.tool.kind === "polygon") return;
      if ("touches" in event.originalEvent && event.originalEvent.touches.length > 1) return;
      event.preventDefault();
      this.isPressed = true;
      this.tool.corners.length = 0;
      this.tool.corners.push(placeOf(event));
    };
    const move = (event: MapMouseEvent | MapTouchEvent) => {
      const byKeys = container.classList.contains("by-keys");
      if (this.tool && !byKeys && (this.isPressed || this.tool.kind === "polygon")) this.sketch(placeOf(event));
    };
    const release = (event: MapMouseEvent | MapTouchEvent) => {
      if (!this.isPressed || !this.tool) return;
      this.isPressed = false;
      const [start] = this.tool.corners;
      const moved = start && map.project([start.lon, start.lat]).dist(event.point) > SAME_PX / 2;
      // A mere tap is no shape; what was pressed is let go.
      this.tool.corners.length = moved ? 1 : 0;
      if (moved) this.fix(placeOf(event));
    };
    for (const kind of ["mousedown", "touchstart"] as const) map.on(kind, press);
    for (const kind of ["mousemove", "touchmove"] as const) map.on(kind, move);
    for (const kind of ["mouseup", "touchend"] as const) map.on(kind, release);
    map.on("click", (event) => {
      if (this.tool?.kind !== "polygon") return;
      const [first] = this.tool.corners;
      const closes = this.tool.corners.length >= 3 && map.project([first.lon, first.lat]).dist(event.point) < SAME_PX;
      if (closes) this.finish();
      else this.fix(placeOf(event));
    });
    map.on("dblclick", () => this.tool?.kind === "polygon" && this.finish());
    map.on("move", () => {
      if (this.tool?.corners.length && container.classList.contains("by-keys")) this.sketch(this.stage.center());
    });
    // Before others, who take any key for a sign that the map is used by keys.
    map.getCanvas().addEventListener("keydown", (event) => this.press(event), { capture: true });
    container.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.tool) this.end();
    });
  }

  private press(event: KeyboardEvent): void {
    if (!this.tool) return;
    // Corners were set by the mouse: there is none to set in the map's middle.
    const isByMouse = !this.stage.container.classList.contains("by-keys");
    if (event.key === "Enter" && isByMouse && this.tool.kind === "polygon" && this.tool.corners.length >= 3) {
      event.preventDefault();
      event.stopImmediatePropagation();
      this.finish();
      return;
    }
    if (isByMouse && !["Escape", "Tab"].includes(event.key)) {
      this.stage.container.classList.add("by-keys");
      this.explain();
    }
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      const { lng, lat } = this.stage.map?.getCenter() ?? { lng: 0, lat: 0 };
      this.fix({ lon: lng, lat });
    } else if (event.key.toLowerCase() === "f") this.finish();
  }
}

function placeOf({ lngLat }: MapMouseEvent | MapTouchEvent): Place {
  return { lon: lngLat.lng, lat: Math.max(-90, Math.min(90, lngLat.lat)) };
}
