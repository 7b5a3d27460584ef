/** What limits or bends a search: area, time, known place, nearness, and how terms are combined. */
import { AreaForm } from "./area_form";
import { describe, middleOf, readNumber } from "./areas";
import type { Area, Gallery, Place } from "./contract";
import { button, el, field, fill } from "./dom";
import type { Search } from "./terms";
import { date, kilometers, place } from "./wording";

type Change = (part: Partial<Search>) => void;

export class Filters {
  readonly element = el("div", { class: "filters" });
  private readonly summaries = new Map<string, HTMLElement>();
  private readonly area: AreaForm;
  private readonly near: NearForm;
  private readonly days: [HTMLInputElement, HTMLInputElement];
  private readonly placed: HTMLSelectElement;
  private readonly fusion: HTMLSelectElement;

  constructor(gallery: Gallery, center: () => Place, change: Change, onArea: (area: Area | null) => void) {
    this.area = new AreaForm(center, onArea);
    this.near = new NearForm(center, change);
    const day = (name: "from" | "until") => {
      const input = el("input", { type: "date", onchange: () => change({ [name]: input.value }) });
      return input;
    };
    this.days = [day("from"), day("until")];
    this.placed = select({ "": "All photos", yes: "Only of known place", no: "Only of unknown place" }, (value) => change({ isPlaced: value as "" }));
    this.fusion = select({ vectors: "As one meaning", rankings: "As separate rankings" }, (value) => change({ fusion: value as "vectors" }));
    const byPlace = gallery.can_search_areas
      ? [this.part("area", "Area", this.area.element), this.part("near", "Prefer near", this.near.element)]
      : [el("p", { class: "hint" }, "Searches by area or place are not allowed here: they would tell where single photos were taken.")];
    fill(
      this.element,
      ...byPlace,
      this.part("time", "Time", el("div", { class: "numbers" }, field("From", this.days[0]), field("Until and with", this.days[1])), button("Any time", () => change({ from: "", until: "" }), { class: "button is-small is-quiet" })),
      this.part("more", "More", field("Place", this.placed), field("Several terms count", this.fusion, "As one meaning, their embeddings are added up. As rankings, a photo must do well in each.")),
    );
  }

  /** Shows the state of a search, whoever changed it. */
  show(search: Search): void {
    this.say("area", search.area ? describe(search.area) : "");
    this.say("near", search.near ? place(search.near) : "");
    const [from, until] = [search.from && date(search.from), search.until && date(search.until)];
    this.say("time", from && until ? `${from} – ${until}` : from ? `from ${from}` : until ? `until ${until}` : "");
    this.say("more", [search.isPlaced === "yes" && "known place", search.isPlaced === "no" && "unknown place", search.fusion === "rankings" && "rankings"].filter(Boolean).join(", "));
    this.days[0].value = search.from;
    this.days[1].value = search.until;
    this.placed.value = search.isPlaced;
    this.fusion.value = search.fusion;
    this.area.show(search.area);
    this.near.show(search);
  }

  private part(id: string, name: string, ...content: HTMLElement[]): HTMLElement {
    const said = el("span", { class: "filter-said" });
    this.summaries.set(id, said);
    return el("details", { class: "filter" }, el("summary", {}, el("span", {}, name), said), el("div", { class: "filter-body" }, ...content));
  }

  private say(id: string, text: string): void {
    const said = this.summaries.get(id);
    if (said) said.textContent = text;
    said?.closest("details")?.classList.toggle("is-set", text !== "");
  }
}

/** The soft wish for photos near a place. */
class NearForm {
  readonly element = el("div", {});
  private readonly on = el("input", { type: "checkbox" });
  private readonly where = [el("input", { inputMode: "decimal" }), el("input", { inputMode: "decimal" })] as const;
  private readonly half = el("input", { inputMode: "decimal", value: "100" });
  private readonly weight = el("input", { type: "range", min: "0.02", max: "0.5", step: "0.02", value: "0.1" });
  private readonly fault = el("p", { class: "fault", role: "alert", hidden: true });
  private area: Area | null = null;

  constructor(private readonly center: () => Place, private readonly change: Change) {
    this.on.onchange = () => (this.on.checked ? this.turnOn() : this.change({ near: null }));
    for (const input of [...this.where, this.half, this.weight]) input.onchange = () => this.read();
    fill(
      this.element,
      el("label", { class: "check" }, this.on, "Photos near a place come first, others stay"),
      el("div", { class: "numbers" }, field("Longitude °", this.where[0]), field("Latitude °", this.where[1]), field("Half of it at, km", this.half)),
      field("How strongly", this.weight),
      this.fault,
      button("Use the map's center", () => this.move(this.center()), { class: "button is-small is-quiet" }),
    );
  }

  show({ near, area }: Search): void {
    this.area = area;
    this.on.checked = near !== null;
    if (!near) return;
    this.where[0].value = near.lon.toFixed(3);
    this.where[1].value = near.lat.toFixed(3);
    this.half.value = String(near.halfKm);
    this.weight.value = String(near.weight);
    this.weight.setAttribute("aria-valuetext", `adds up to ${near.weight}, half of it at ${kilometers(near.halfKm)}`);
  }

  private turnOn(): void {
    if (!this.where[0].value || !this.where[1].value) this.put(this.area ? middleOf(this.area) : this.center());
    this.read();
  }

  private move(to: Place): void {
    this.put(to);
    this.on.checked = true;
    this.read();
  }

  private put({ lon, lat }: Place): void {
    this.where[0].value = lon.toFixed(3);
    this.where[1].value = lat.toFixed(3);
  }

  private read(): void {
    if (!this.on.checked) return;
    const lon = readNumber("Longitude", this.where[0].value, -360, 360);
    const lat = readNumber("Latitude", this.where[1].value, -90, 90);
    const halfKm = readNumber("Half of it at", this.half.value, 0.01, 20_020);
    const faults = [lon, lat, halfKm].filter((each) => typeof each === "string");
    this.fault.hidden = !faults.length;
    this.fault.textContent = faults.join("; ");
    if (typeof lon === "number" && typeof lat === "number" && typeof halfKm === "number") {
      this.change({ near: { lon, lat, halfKm, weight: Number(this.weight.value) } });
    }
  }
}

function select(options: Record<string, string>, onchange: (value: string) => void): HTMLSelectElement {
  const made = el("select", {}, ...Object.entries(options).map(([value, label]) => el("option", { value }, label)));
  made.onchange = () => onchange(made.value);
  return made;
}
