/** Where was this photo taken? Photos of one place go in; a calibrated answer, or an honest none, comes out. */
import { announce } from "./announce";
import type { Context, View, ViewKind } from "./context";
import type { Location, Neighbor, Prior } from "./contract";
import { button, el, field, fill, iconButton } from "./dom";
import { Grid } from "./grid";
import { icon } from "./icons";
import { Latest } from "./latest";
import { bestOf, legendOf, pinsOf, pointsOf, regionsOf, sharesOf, surfaceOf, viewOf } from "./location_map";
import { certaintyOf, foremost, groundsOf, verdictOf } from "./location_words";
import { notice } from "./notice";
import { photoDrop } from "./photo_drop";
import { formatsOf, type PhotoIn, readPhoto } from "./photo_in";
import { asProblem } from "./problem";
import { RegionAnswer } from "./region_answer";
import { bars } from "./shares";
import { distanceKm } from "./sphere";
import { kilometers, percent, place, squareKilometers } from "./wording";

const MAX_PHOTOS = 16;
const PRIORS: [Prior, string][] = [
  ["gallery", "as often as in this gallery"],
  ["population", "where people live"],
  ["uniform", "anywhere on land, equally"],
];
/** Decimals of degrees that a cap leaves meaningful. */
export const DECIMALS = { country: 0, region: 0, "25km": 1, exact: 3 } as const;

export const locateView: ViewKind = {
  id: "locate",
  label: "Locate",
  isFor: ({ places }) => !places,
  refusal: (about, gallery) => {
    if (!about.geolocation) return "The operator has switched geolocation off here.";
    return gallery.can_locate ? "" : "This gallery has too few photos of known place to locate others by.";
  },
  open: (context) => new LocateView(context),
};

class LocateView implements View {
  readonly element = el("div", { class: "view" });
  private photos: PhotoIn[] = [];
  private prior: Prior = "gallery";
  private answer: Location | null = null;
  private isShown = false;
  /** Whether the user asked to see what little an abstaining answer holds. */
  private showsLittle = false;
  private readonly latest = new Latest();
  private readonly strip = el("ul", { class: "asked", "aria-label": "Photos asked about" });
  private readonly faults = el("div", { "aria-live": "polite" });
  private readonly result = el("section", { class: "answer", "aria-label": "Answer" });
  private readonly again = el("div", { class: "row" });
  private readonly grid: Grid;
  private readonly region: RegionAnswer;

  constructor(private readonly context: Context) {
    this.region = new RegionAnswer(context.client);
    const { about, gallery, thumbnails } = context;
    const prior = el("select", { onchange: () => this.choosePrior(prior.value as Prior) }, ...PRIORS.map(([value, label]) => el("option", { value }, label)));
    this.grid = new Grid(thumbnails, { onSelect: (photo) => this.select(photo?.id ?? null), facts: (photo) => this.factsOf(photo) }, DECIMALS[gallery.precision]);
    const drop = photoDrop({
      title: "Where was it taken?",
      hint: "Choose a photo, drop it anywhere, or paste it. Several photos are taken as one place.",
      accept: [...formatsOf(about), "image/*"].join(","),
      isMultiple: true,
      onFiles: (files) => this.takePhotos(files),
    });
    const privacy = el("p", { class: "privacy" }, "The photo is used for this answer and is not kept.");
    fill(
      this.element,
      el("div", { class: "ask" }, this.strip, el("div", { class: "ask-more" }, drop, privacy)),
      this.faults,
      this.again,
      this.result,
      this.region.element,
      field("Before looking, photos are taken to be", prior),
      el("details", { class: "misuse" }, el("summary", {}, "What this must not be used for"), el("p", {}, about.misuse)),
    );
    this.strip.hidden = true;
  }

  show(): void {
    this.isShown = true;
    this.context.density.turn(false);
    this.context.drawing.allow(false);
    this.draw();
  }

  hide(): void {
    this.isShown = false;
    const { stage } = this.context;
    for (const sheet of ["surface", "regions", "evidence"] as const) stage.set(sheet, []);
    stage.setPins([]);
    stage.setShares(new Map());
  }

  close(): void {
    this.latest.stop();
    this.region.close();
    for (const { url } of this.photos) URL.revokeObjectURL(url);
  }

  tap({ features }: { features: { sheet: string; properties: Record<string, unknown> }[] }): void {
    const evidence = features.find(({ sheet }) => sheet === "evidence");
    if (evidence) this.grid.select(String(evidence.properties.id));
  }

  takePhotos(files: File[]): void {
    void this.take(files);
  }

  private async take(files: File[]): Promise<void> {
    if (!files.length) return;
    const read = await Promise.all(files.slice(0, MAX_PHOTOS).map((file) => readPhoto(file, this.context.about, files.length)));
    const faults = read.filter((each) => typeof each === "string");
    if (files.length > MAX_PHOTOS) faults.push(`Only the first ${MAX_PHOTOS} photos are taken.`);
    fill(this.faults, ...faults.map((fault) => el("p", { class: "fault" }, fault)));
    const photos = read.filter((each) => typeof each !== "string");
    if (!photos.length) return;
    for (const { url } of this.photos) URL.revokeObjectURL(url);
    this.photos = photos;
    this.askRegion();
    void this.ask();
  }

  private choosePrior(prior: Prior): void {
    this.prior = prior;
    if (this.photos.length) void this.ask();
  }

  private async ask(): Promise<void> {
    const { client, gallery } = this.context;
    const signal = this.latest.start();
    this.showAsked();
    this.answer = null;
    this.showsLittle = false;
    this.element.classList.add("has-photos");
    this.draw();
    fill(this.result, el("div", { class: "working", role: "status" }, el("span", { class: "spinner" }), "Looking for places that look alike …"));
    try {
      const answer = await client.locate(gallery.name, this.photos.map(({ blob }) => blob), this.prior, signal);
      if (signal.aborted) return;
      this.answer = answer;
      this.tell(answer);
      this.draw();
      this.look(answer);
    } catch (error) {
      const problem = asProblem(error);
      if (problem) fill(this.result, notice(problem, () => void this.ask()));
    }
  }

  private askRegion(): void {
    this.region.ask(this.photos.map(({ blob }) => blob));
  }

  private showAsked(): void {
    this.strip.hidden = false;
    this.element.classList.toggle("has-several", this.photos.length > 1);
    fill(
      this.strip,
      ...this.photos.map((photo, i) =>
        el(
          "li",
          {},
          el("img", { src: photo.url, alt: `Photo asked about: ${photo.name}` }),
          photo.note && el("small", {}, photo.note),
          this.photos.length > 1 && iconButton(`Leave out ${photo.name}`, icon("close"), () => this.leaveOut(i), "asked-remove"),
        ),
      ),
    );
    fill(this.again, this.photos.length > 1 && el("p", { class: "hint" }, `${this.photos.length} photos, taken as one place.`));
  }

  private leaveOut(i: number): void {
    this.photos = this.photos.filter((_, j) => j !== i);
    this.askRegion();
    void this.ask();
  }

  private tell(answer: Location): void {
    const { title, lead } = verdictOf(answer);
    const best = bestOf(answer);
    announce(`${title}. ${lead}`);
    const sizes = (answer.regions ?? []).filter(({ level }) => level === 0.5 || level === 0.9);
    const regions = sizes.map(({ level, area_km2 }) => `${percent(level)}: ${squareKilometers(area_km2)}`).join(" · ");
    const shares = [this.certainty(answer), this.countries(answer), this.states(answer), this.decisive(answer)];
    fill(
      this.result,
      el(
        "header",
        { class: answer.abstain ? "verdict is-abstaining" : "verdict" },
        el("h2", {}, title),
        el("p", {}, lead),
        best && el("p", { class: "point" }, `Best point ${place(best, DECIMALS[answer.precision])}${answer.near ? `, near ${answer.near}` : ""}`, button("On the map", () => this.look(answer), { class: "button is-small is-quiet" })),
        regions && !answer.abstain && el("p", { class: "hint" }, `Regions that hold the place: ${regions}`),
      ),
      ...(answer.abstain ? [this.little(shares)] : shares),
      this.evidence(answer),
      el("details", {}, el("summary", {}, "What the figures rest on"), el("ul", { class: "notes" }, ...[...groundsOf(answer), ...(answer.notes ?? [])].map((line) => el("li", {}, line)))),
    );
  }

  /** Without an answer the figures, and the map's shades, wait until they are asked for. */
  private little(shares: (HTMLElement | null)[]): HTMLElement {
    const details = el("details", {}, el("summary", {}, "The little that the photo says"), ...shares);
    details.addEventListener("toggle", () => {
      this.showsLittle = details.open;
      this.draw();
    });
    return details;
  }

  private certainty(answer: Location): HTMLElement | null {
    const rows = certaintyOf(answer).map(({ km, probability }) => ({ name: `within ${kilometers(km)}`, share: probability }));
    if (rows.length) return bars("How near the best point is", rows);
    return el("p", { class: "hint" }, "How near a point would be is not told here: places are told to the country.");
  }

  private countries(answer: Location): HTMLElement {
    return bars("Countries", foremost(answer.countries, 6).map(({ name, probability }) => ({ name, share: probability })));
  }

  private states(answer: Location): HTMLElement | null {
    const rows = foremost(answer.states ?? [], 6);
    return rows.length ? bars("States and regions", rows.map(({ name, probability }) => ({ name, share: probability }))) : null;
  }

  private decisive(answer: Location): HTMLElement | null {
    const cells = (answer.cells ?? []).slice(0, 5);
    if (!cells.length) return null;
    const rows = cells.map(({ name, probability, prior_probability }, i) => ({
      name: `${i + 1}  ${name}`,
      share: probability,
      note: `${percent(prior_probability)} before looking`,
    }));
    return bars("Places that decided", rows);
  }

  private evidence(answer: Location): HTMLElement {
    this.grid.clear();
    this.grid.add(answer.evidence);
    return el(
      "section",
      { "aria-label": "Evidence" },
      el("h3", {}, answer.abstain ? "Photos that look most alike" : "Photos that the answer rests on"),
      answer.evidence.length ? this.grid.element : el("p", { class: "empty" }, "There are none: no photo of known place looks alike."),
    );
  }

  /** Puts the answer on the map, when the view has it. */
  private draw(selected: string | null = null): void {
    if (!this.isShown) return;
    const { stage, legend } = this.context;
    const { answer } = this;
    const isShown = answer !== null && (!answer.abstain || this.showsLittle);
    stage.set("surface", isShown ? surfaceOf(answer.surface ?? []) : []);
    stage.set("regions", answer && !answer.abstain ? regionsOf(answer) : []);
    stage.set("evidence", pointsOf(answer?.evidence ?? [], selected));
    stage.setPins(answer ? pinsOf(answer) : []);
    stage.setShares(isShown && !answer.surface?.length ? sharesOf(answer) : new Map());
    legend.show(answer ? legendOf(answer, isShown) : []);
  }

  private look(answer: Location): void {
    if (!this.isShown) return;
    const { stage } = this.context;
    const countries = answer.countries.filter(({ code, probability }) => code && probability >= 0.04).map(({ code }) => code);
    const view = answer.abstain ? null : (viewOf(answer) ?? stage.boundsOfCountries(countries));
    stage.fit(view ?? [-170, -55, 190, 75], 7);
  }

  private factsOf({ lon, lat }: Neighbor): [string, string][] {
    const best = this.answer ? bestOf(this.answer) : null;
    if (!best || lon == null || lat == null) return [];
    return [["From the best point", kilometers(distanceKm(best, { lon, lat }))]];
  }

  private select(id: string | null): void {
    const photo = this.answer?.evidence.find((each) => each.id === id);
    this.context.stage.set("evidence", pointsOf(this.answer?.evidence ?? [], id));
    if (photo?.lon != null && photo.lat != null) this.context.stage.reveal({ lon: photo.lon, lat: photo.lat });
  }
}
