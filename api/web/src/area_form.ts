/** An area by numbers: the way without a pointer, and the exact one. */
import { readBox, readCircle } from "./areas";
import type { Area, Place } from "./contract";
import { button, el, field, fill } from "./dom";

export class AreaForm {
  readonly element = el("div", { class: "area-form" });
  private readonly fault = el("p", { class: "fault", role: "alert", hidden: true });
  private readonly inputs = new Map<string, HTMLInputElement>();
  private readonly fields = el("div", { class: "numbers" });
  private readonly kind = el("select", {}, el("option", { value: "circle" }, "Circle"), el("option", { value: "box" }, "Box"));

  constructor(
    private readonly center: () => Place,
    private readonly onArea: (area: Area | null) => void,
  ) {
    this.kind.onchange = () => this.draw();
    const middle = button("Use the map's center", () => this.useCenter(), { class: "button is-small is-quiet" });
    const set = button("Set area", () => this.read(), { class: "button is-small" });
    const clear = button("Clear", () => this.onArea(null), { class: "button is-small is-quiet" });
    fill(this.element, field("Shape", this.kind), this.fields, this.fault, el("div", { class: "row" }, set, middle, clear));
    this.element.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.target instanceof HTMLInputElement) {
        event.preventDefault();
        this.read();
      }
    });
    this.draw();
  }

  /** Shows the numbers of an area that was drawn. A polygon has none. */
  show(area: Area | null): void {
    if (!area || area.kind === "polygon") return;
    this.kind.value = area.kind;
    this.draw();
    for (const [name, input] of this.inputs) input.value = String(Reflect.get(area, name) ?? "");
  }

  private draw(): void {
    this.inputs.clear();
    this.fault.hidden = true;
    const names: [string, string][] =
      this.kind.value === "circle"
        ? [["lon", "Longitude °"], ["lat", "Latitude °"], ["radius_km", "Radius km"]]
        : [["west", "West °"], ["south", "South °"], ["east", "East °"], ["north", "North °"]];
    fill(
      this.fields,
      ...names.map(([name, label]) => {
        const input = el("input", { type: "text", inputMode: "decimal", autocomplete: "off" });
        this.inputs.set(name, input);
        return field(label, input);
      }),
    );
  }

  private useCenter(): void {
    this.kind.value = "circle";
    this.draw();
    const { lon, lat } = this.center();
    this.put("lon", lon.toFixed(3));
    this.put("lat", lat.toFixed(3));
    this.put("radius_km", "50");
  }

  private put(name: string, value: string): void {
    const input = this.inputs.get(name);
    if (input) input.value = value;
  }

  private read(): void {
    const value = (name: string) => this.inputs.get(name)?.value ?? "";
    const area =
      this.kind.value === "circle"
        ? readCircle(value("lon"), value("lat"), value("radius_km"))
        : readBox(value("west"), value("south"), value("east"), value("north"));
    this.fault.hidden = typeof area !== "string";
    this.fault.textContent = typeof area === "string" ? area : "";
    if (typeof area !== "string") this.onArea(area);
  }
}
