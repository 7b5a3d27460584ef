/** Looking through a gallery: by words, photos, places and areas, together. */
import { announce } from "./announce";
import { cellArea } from "./hexagons";
import { Chips } from "./chips";
import { Composer } from "./composer";
import type { Context, View, ViewKind } from "./context";
import type { Area, Neighbor, Place, SearchAnswer } from "./contract";
import { Cutoff } from "./cutoff";
import { button, el, fill } from "./dom";
import { Filters } from "./filters";
import { Grid } from "./grid";
import { Latest } from "./latest";
import { boundsOf } from "./sphere";
import { figureOf, foundOf, mayRecognize, mayWalk, recognizeOf, walkDoubtOf, walkOf } from "./recognition";
import { pointsOf } from "./location_map";
import { notice } from "./notice";
import { dataUrl, readPhoto } from "./photo_in";
import { asProblem } from "./problem";
import type { Tap } from "./stage";
import { emptySearch, faultOf, isEmpty, requestOf, type Search, type Term, textTerm } from "./terms";
import { DECIMALS } from "./view_locate";
import { VeryPlace } from "./very_place";
import { photos } from "./wording";

const PAGE = 24;
/** How many photos the histogram of standings is drawn from. */
const SPREAD = 200;
/** Base64 takes four bytes for three. */
const BASE64 = 1.37;

export const searchView: ViewKind = {
  id: "search",
  label: "Search",
  isFor: ({ places }) => !places,
  refusal: () => "",
  open: (context) => new SearchView(context),
};

class SearchView implements View {
  readonly element = el("div", { class: "view" });
  private search: Search = emptySearch();
  private found: Neighbor[] = [];
  private answer: SearchAnswer | null = null;
  private spread: number[] = [];
  /** How sure the very place is, in words; null where it was not asked for. */
  private doubt: string | null = null;
  private isShown = false;
  private readonly latest = new Latest();
  private readonly chips: Chips;
  private readonly veryPlace: VeryPlace;
  private readonly filters: Filters;
  private readonly grid: Grid;
  private readonly cutoff = new Cutoff((minZ) => this.change({ minZ }, false));
  private readonly head = el("div", { class: "results-head" });
  private readonly foot = el("div", { class: "results-foot" });
  private readonly faults = el("div", { "aria-live": "polite" });
  private readonly startOver = button("Start over", () => this.reset(), { class: "button is-small is-plain" });

  constructor(private readonly context: Context) {
    const { about, client, gallery, thumbnails, stage } = context;
    this.veryPlace = new VeryPlace(client, gallery.name, (isVeryPlace) => this.change({ isVeryPlace }), () => this.change({ looksAgain: true }));
    this.chips = new Chips(thumbnails, (terms) => this.change({ terms }));
    this.filters = new Filters(gallery, () => stage.center(), (part) => this.change(part), (area) => this.setArea(area));
    this.grid = new Grid(
      thumbnails,
      {
        figure: figureOf,
        onSelect: (photo) => this.mark(photo),
        like: (photo, isMinus) => this.like(photo, isMinus),
        near: gallery.can_search_areas ? (place) => this.near(place) : undefined,
      },
      DECIMALS[gallery.precision],
    );
    const composer = new Composer(about, gallery, (typed) => this.addText(typed), (files) => this.takePhotos(files));
    const results = el("section", { class: "results", "aria-label": "Photos found" }, this.head, this.veryPlace.outcome, this.cutoff.element, this.grid.element, this.foot);
    fill(this.element, composer.element, this.chips.element, this.veryPlace.element, this.faults, this.filters.element, results);
    this.startOver.hidden = true;
    this.chips.show([]);
    void this.ask();
  }

  show(): void {
    const { density, drawing, gallery } = this.context;
    this.isShown = true;
    density.turn(true);
    drawing.allow(gallery.can_search_areas);
    drawing.onArea = (area) => this.change({ area });
    drawing.set(this.search.area);
    density.onChange = () => this.drawLegend();
    this.draw();
  }

  hide(): void {
    const { stage, density } = this.context;
    this.isShown = false;
    density.onChange = () => {};
    density.dim(false);
    stage.set("results", []);
    stage.set("area", []);
    stage.setPins([]);
    stage.tell(null);
  }

  close(): void {
    this.latest.stop();
  }

  takePhotos(files: File[]): void {
    void this.addPhotos(files);
  }

  tap(tap: Tap): void {
    const photo = tap.features.find(({ sheet }) => sheet === "results");
    if (photo) return this.grid.select(String(photo.properties.id));
    if (this.context.gallery.can_search_areas) this.offer(tap);
  }

  /** A place was tapped: what can be asked about it. */
  private offer(tap: Tap): void {
    const { stage, density, thumbnails } = this.context;
    const near = this.search.near;
    const found = (sheet: string) => tap.features.find((each) => each.sheet === sheet)?.properties.id;
    const photo = density.photo(String(found("photos")));
    const cell = found("cells");
    const actions = el(
      "div",
      { class: "place-menu", role: "group", "aria-label": "This place" },
      photo && thumbnails.picture(photo.thumbnail, "The photo taken here"),
      photo && button("More like this photo", () => this.like({ ...photo, score: 0 }, false), { class: "button is-small" }),
      cell !== undefined && button("Photos in this cell", () => this.setArea(cellArea(String(cell))), { class: "button is-small" }),
      button("Photos near here", () => this.near(tap), { class: "button is-small is-quiet" }),
      button("Prefer near here", () => this.change({ near: { ...tapPlace(tap), halfKm: near?.halfKm ?? 100, weight: near?.weight ?? 0.1 } }), { class: "button is-small is-quiet" }),
    );
    stage.menu(tap, actions);
  }

  private addText(typed: string): void {
    const term = textTerm(typed);
    if (term) this.change({ terms: [...this.search.terms, term] });
    else void this.ask();
  }

  private async addPhotos(files: File[]): Promise<void> {
    const read = await Promise.all(files.slice(0, 8).map((file) => readPhoto(file, this.context.about, BASE64)));
    fill(this.faults, ...read.filter((each) => typeof each === "string").map((fault) => el("p", { class: "fault" }, fault)));
    const made = read.filter((each) => typeof each !== "string");
    const terms = await Promise.all(
      made.map(async ({ name, blob, url, note }): Promise<Term> => ({ kind: "image", name, data: await dataUrl(blob), url, note, weight: 1, isMinus: false })),
    );
    if (terms.length) this.change({ terms: [...this.search.terms, ...terms] });
  }

  private reset(): void {
    this.context.drawing.set(null);
    this.change(emptySearch());
    document.querySelector<HTMLElement>(".composer-text")?.focus();
  }

  private like(photo: Neighbor, isMinus: boolean): void {
    const term: Term = { kind: "photo", id: photo.id, thumbnail: photo.thumbnail ?? null, weight: isMinus ? 0.5 : 1, isMinus };
    this.change({ terms: isMinus ? [...this.search.terms, term] : [term] });
  }

  private near(at: Place): void {
    this.change({ terms: [{ kind: "location", at: { lon: at.lon, lat: at.lat }, weight: 1, isMinus: false }] });
  }

  private setArea(area: Area | null): void {
    this.context.drawing.set(area, true);
    const shape = this.context.stage.features("area")[0];
    if (!area || shape?.geometry.type !== "Polygon") return;
    const [ring] = shape.geometry.coordinates;
    const bounds = boundsOf(ring.map(([lon, lat]) => ({ lon, lat })));
    if (bounds) this.context.stage.fit(bounds);
  }

  private change(part: Partial<Search>, clearsCutoff = true): void {
    this.search = { ...this.search, ...(clearsCutoff && { minZ: null }), looksAgain: false, ...part };
    this.chips.show(this.search.terms);
    this.filters.show(this.search);
    const { gallery } = this.context;
    this.veryPlace.show(mayRecognize(this.search, gallery) || mayWalk(this.search, gallery), this.search.isVeryPlace);
    this.startOver.hidden = isEmpty(this.search);
    this.context.stage.closeMenu();
    void this.ask();
  }

  private async ask(): Promise<void> {
    const signal = this.latest.start();
    const fault = faultOf(this.search);
    fill(this.faults, fault && el("p", { class: "fault" }, fault));
    if (fault) return;
    this.grid.await(9);
    fill(this.head, el("h2", { role: "status" }, "Looking …"));
    fill(this.foot);
    this.veryPlace.clear();
    try {
      const answer = await this.answerTo(signal);
      if (signal.aborted) return;
      this.answer = answer;
      this.found = answer.neighbors;
      this.grid.clear();
      if (this.search.minZ === null) this.spread = this.found.flatMap(({ z_score }) => z_score ?? []);
      this.cutoff.show(this.spread, this.search.minZ);
      this.reveal(PAGE);
      this.tell();
      this.draw();
    } catch (error) {
      const problem = asProblem(error);
      if (!problem) return;
      this.grid.clear();
      this.found = [];
      this.spread = [];
      this.cutoff.show(this.spread, null);
      this.draw();
      fill(this.head, notice(problem, () => void this.ask()));
    }
  }

  private async answerTo(signal: AbortSignal): Promise<SearchAnswer> {
    const { client, gallery } = this.context;
    this.doubt = null;
    if (this.search.isVeryPlace && mayRecognize(this.search, gallery)) {
      const asked = recognizeOf(this.search, PAGE);
      const answer = await client.recognize(gallery.name, asked, signal);
      if (!signal.aborted) this.doubt = this.veryPlace.tell(answer, asked);
      return { neighbors: foundOf(answer), notes: answer.notes };
    }
    if (this.search.isVeryPlace && mayWalk(this.search, gallery)) {
      const answer = await client.recognizeWalk(gallery.name, walkOf(this.search), PAGE, signal);
      const said = walkDoubtOf(answer, this.search.terms.length);
      if (!signal.aborted) this.doubt = this.veryPlace.tell(answer, recognizeOf(this.search, PAGE), said);
      return { neighbors: foundOf(answer), notes: answer.notes };
    }
    const limit = this.search.minZ === null && this.search.terms.length ? SPREAD : PAGE * 2;
    return client.search(gallery.name, requestOf(this.search, { limit, offset: 0 }), signal);
  }

  private tell(): void {
    const { terms, minZ } = this.search;
    const n = this.answer?.n_matches;
    const passing = n == null ? "" : photos(n);
    const isNarrowed = this.search.area || this.search.from || this.search.until || this.search.isPlaced;
    let title = terms.length ? "Most alike first" : isNarrowed ? "Photos that pass" : "Photos of this gallery";
    if (terms.length === 1 && terms[0].kind === "location") title = "Nearest first";
    if (this.doubt !== null) title = "Most likely place first";
    if (!this.found.length) title = "Nothing found";
    fill(
      this.head,
      el("h2", {}, title),
      passing && this.found.length > 0 && el("span", { class: "hint" }, terms.length && isNarrowed ? `among ${passing} that pass` : passing),
      this.startOver,
      ...(this.answer?.notes ?? []).map((note) => el("p", { class: "note" }, note)),
    );
    announce(this.found.length ? `${title}. ${this.doubt ?? passing}` : title);
    if (!this.found.length) fill(this.foot, el("p", { class: "empty" }, minZ !== null ? "No photo stands out so much. Lower the cut-off." : isNarrowed ? "No photo passes. Widen the area or the time." : "This gallery has no photos yet."));
  }

  /** Shows more of what was found; asks for the next page when all is shown. */
  private reveal(n: number): void {
    const shown = this.grid.size;
    this.grid.add(this.found.slice(shown, shown + n));
    const more = this.found.length > this.grid.size || this.answer?.next_offset != null;
    fill(this.foot, more && button("Show more", () => void this.more(), { class: "button is-wide" }));
    this.draw();
  }

  private async more(): Promise<void> {
    const before = this.grid.size;
    const offset = this.answer?.next_offset;
    if (this.found.length < before + PAGE && offset != null) {
      const { client, gallery } = this.context;
      fill(this.foot, el("p", { class: "working", role: "status" }, el("span", { class: "spinner" }), "Looking …"));
      try {
        this.answer = await client.search(gallery.name, requestOf(this.search, { limit: PAGE * 2, offset }), this.latest.start());
        this.found = [...this.found, ...this.answer.neighbors];
      } catch (error) {
        const problem = asProblem(error);
        if (problem) fill(this.foot, notice(problem, () => void this.more()));
        return;
      }
    }
    this.reveal(PAGE);
    announce(`${photos(this.grid.size - before)} more`);
    this.grid.focus(before);
  }

  private draw(selected: string | null = null): void {
    if (!this.isShown) return;
    const { stage, density } = this.context;
    const isSearch = this.search.terms.length > 0 || this.search.near !== null || this.search.area !== null;
    const points = isSearch ? pointsOf(this.found.slice(0, this.grid.size), selected) : pointsOf(this.found.filter(({ id }) => id === selected), selected);
    stage.set("results", points);
    const near = this.search.near;
    stage.setPins(near ? [{ kind: "near", lon: near.lon, lat: near.lat, label: "Preferred near here" }] : []);
    density.dim(isSearch && points.length > 0);
    this.drawLegend();
  }

  private drawLegend(): void {
    const { legend, density, stage } = this.context;
    const rows = density.legend();
    if (stage.features("results").length) rows.push({ kind: "mark", mark: "result", text: "a photo found" });
    legend.show(rows);
  }

  private mark(photo: Neighbor | null): void {
    this.draw(photo?.id ?? null);
    if (photo?.lon != null && photo.lat != null) this.context.stage.reveal({ lon: photo.lon, lat: photo.lat });
  }
}

function tapPlace({ lon, lat }: Tap): Place {
  return { lon, lat };
}
