/** Photos found, as a grid; the selected one opens below its row, with what is known of it and what to do next. */
import type { Neighbor, Place } from "./contract";
import { button, el, type Child } from "./dom";
import { icon } from "./icons";
import { shortStanding, standing } from "./standing";
import type { Thumbnails } from "./thumbnails";
import { date, kilometers, place } from "./wording";

export interface GridActions {
  /** What is found: a photo, unless it says something else. */
  noun?: string;
  /** The figure on a card, where it is not the usual one. */
  figure?: (photo: Neighbor) => string | undefined;
  onSelect: (photo: Neighbor | null) => void;
  like?: (photo: Neighbor, isMinus: boolean) => void;
  near?: (place: Place) => void;
  /** What else is to be told of a photo. */
  facts?: (photo: Neighbor) => [string, string][];
}

export class Grid {
  readonly element = el("ol", { class: "grid" });
  private readonly cards = new Map<string, { card: HTMLElement; toggle: HTMLButtonElement; photo: Neighbor }>();
  private selected: string | null = null;
  private details: HTMLElement | null = null;

  constructor(
    private readonly thumbnails: Thumbnails,
    private readonly actions: GridActions,
    private readonly decimals: number,
  ) {}

  clear(): void {
    this.selected = null;
    this.details = null;
    this.cards.clear();
    this.element.replaceChildren();
  }

  get size(): number {
    return this.cards.size;
  }

  /** Moves the keyboard to a card, by its position. */
  focus(position: number): void {
    [...this.cards.values()][position]?.toggle.focus();
  }

  /** Empty frames while an answer is under way. */
  await(n: number): void {
    this.clear();
    for (let i = 0; i < n; i++) {
      this.element.append(el("li", { class: "card is-awaited", "aria-hidden": "true" }, el("span", { class: "picture is-loading" })));
    }
  }

  add(photos: readonly Neighbor[]): void {
    const { noun = "Photo", figure } = this.actions;
    for (const photo of photos) {
      if (this.cards.has(photo.id)) continue;
      const n = this.cards.size + 1;
      const toggle = el(
        "button",
        { type: "button", class: "card-face", "aria-expanded": "false", onclick: () => this.select(this.selected === photo.id ? null : photo.id, true) },
        this.thumbnails.picture(photo.thumbnail, `${noun} ${n}`),
        el("span", { class: "card-line" }, el("span", { class: "card-n" }, n), el("span", { class: "card-score", data: { z: String(photo.z_score ?? "") } }, figure?.(photo) ?? short(photo))),
        el("span", { class: "said-only" }, saidOf(photo)),
      );
      const card = el("li", { class: "card" }, toggle);
      this.cards.set(photo.id, { card, toggle, photo });
      this.element.append(card);
    }
  }

  /** Selects a photo, or none; from the map, it is brought into view. */
  select(id: string | null, isFromGrid = false): void {
    this.details?.remove();
    this.details = null;
    const before = this.selected === null ? null : this.cards.get(this.selected);
    before?.card.classList.remove("is-selected");
    before?.toggle.setAttribute("aria-expanded", "false");
    const entry = id === null ? undefined : this.cards.get(id);
    this.selected = entry ? id : null;
    if (entry) {
      entry.card.classList.add("is-selected");
      entry.toggle.setAttribute("aria-expanded", "true");
      this.details = this.open(entry.photo);
      entry.card.after(this.details);
      if (!isFromGrid) {
        entry.card.scrollIntoView({ block: "nearest" });
        entry.toggle.focus({ preventScroll: true });
      }
      this.details.scrollIntoView({ block: "nearest" });
    }
    this.actions.onSelect(entry?.photo ?? null);
  }

  private open(photo: Neighbor): HTMLElement {
    const at = photo.lon != null && photo.lat != null ? { lon: photo.lon, lat: photo.lat } : null;
    const facts: [string, Child][] = [
      ["Match", photo.match != null && `${photo.match.toFixed(3)}, by what stands where`],
      ["Similarity", photo.similarity != null && photo.similarity.toFixed(3)],
      ["Standing", photo.z_score != null && `${standing(photo.z_score)} (z ${photo.z_score.toFixed(1)}, a rough guide)`],
      ["Place", at && place(at, this.decimals)],
      ["Distance", photo.distance_km != null && kilometers(photo.distance_km)],
      ["Taken", photo.captured_at && date(photo.captured_at)],
      ["Group", photo.group],
      ...(this.actions.facts?.(photo) ?? []),
      ...payloadOf(photo),
    ];
    const told = facts.filter(([, value]) => value);
    const { like, near } = this.actions;
    return el(
      "li",
      { class: "details" },
      this.thumbnails.picture(photo.thumbnail, `The selected ${(this.actions.noun ?? "photo").toLowerCase()}`, 512),
      el(
        "div",
        { class: "details-side" },
        el("dl", { class: "facts" }, ...told.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])),
        el(
          "div",
          { class: "details-actions" },
          like && button("More like this", () => like(photo, false), { class: "button is-small", icon: icon("more") }),
          like && button("Less like this", () => like(photo, true), { class: "button is-small is-quiet", icon: icon("minus") }),
          near && at && button("Photos near here", () => near(at), { class: "button is-small is-quiet", icon: icon("place") }),
        ),
      ),
    );
  }
}

function payloadOf({ payload }: Neighbor): [string, string][] {
  const told = Object.entries(payload ?? {}).filter(([, value]) => ["string", "number", "boolean"].includes(typeof value));
  return told.slice(0, 6).map(([name, value]) => [`${name[0]?.toUpperCase()}${name.slice(1).replaceAll("_", " ")}`, String(value)]);
}

/** The figure on a card: how it stands, or how far it is. */
function short(photo: Neighbor): string {
  if (photo.z_score != null) return shortStanding(photo.z_score);
  if (photo.distance_km != null) return kilometers(photo.distance_km);
  if (photo.similarity != null) return photo.similarity.toFixed(2);
  return photo.captured_at ? String(new Date(photo.captured_at).getUTCFullYear()) : "";
}

function saidOf(photo: Neighbor): string {
  if (photo.z_score != null) return standing(photo.z_score);
  if (photo.distance_km != null) return `${kilometers(photo.distance_km)} away`;
  return photo.captured_at ? date(photo.captured_at) : "";
}
