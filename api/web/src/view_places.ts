/** Places like one that is clicked on the map or typed, and unlike others. */
import { announce } from "./announce";
import { describe } from "./areas";
import type { Context, View, ViewKind } from "./context";
import type { Area, AskedPlace, Neighbor, Place, PlacesLikeAnswer } from "./contract";
import { button, el, field, fill, iconButton } from "./dom";
import { Grid } from "./grid";
import { icon } from "./icons";
import { Latest } from "./latest";
import { pointsOf } from "./location_map";
import { notice } from "./notice";
import { type Mode, MODES, NOTHING_ASKED, type Question, readPlace, requestOf, without, withPlace } from "./places_question";
import { asProblem } from "./problem";
import { boundsOf } from "./sphere";
import type { Tap } from "./stage";
import { isDark, onThemeChange } from "./theme";
import { DECIMALS } from "./view_locate";
import { kilometers, place } from "./wording";

const PAGE = 12;
const MOST = 96;

export const placesView: ViewKind = {
  id: "places",
  label: "Places",
  isFor: ({ places }) => Boolean(places),
  refusal: (_about, { precision }) =>
    precision === "country" || precision === "region" ? `Places are told to the ${precision} here, and a search for places like one would tell them to the meter.` : "",
  open: (context) => new PlacesView(context),
};

class PlacesView implements View {
  readonly element = el("div", { class: "view" });
  private question: Question = NOTHING_ASKED;
  private answer: PlacesLikeAnswer | null = null;
  private limit = PAGE;
  private mode: Mode = "like";
  private isShown = false;
  private isClosed = false;
  private readonly latest = new Latest();
  private readonly grid: Grid;
  private readonly asked = el("ul", { class: "chips", "aria-label": "Places asked about", hidden: true });
  private readonly area = el("div", {});
  private readonly head = el("div", { class: "results-head" });
  private readonly foot = el("div", { class: "results-foot" });
  private readonly fault = el("p", { class: "fault", role: "alert", hidden: true });
  private readonly lon = el("input", { type: "text", inputMode: "decimal", autocomplete: "off" });
  private readonly lat = el("input", { type: "text", inputMode: "decimal", autocomplete: "off" });
  private readonly modes = el("fieldset", { class: "modes" }, el("legend", {}, "The next place"));

  constructor(private readonly context: Context) {
    const { gallery, thumbnails } = context;
    this.grid = new Grid(
      thumbnails,
      {
        noun: "Place",
        figure: ({ similarity, distance_km }) => [similarity?.toFixed(2), distance_km != null && kilometers(distance_km)].filter(Boolean).join(" · "),
        onSelect: (found) => this.mark(found),
        like: (found, isMinus) => this.take(found, isMinus ? "unlike" : "like"),
      },
      DECIMALS[gallery.precision],
    );
    const credit = gallery.places?.attribution;
    const results = el("section", { class: "results", "aria-label": "Places found" }, this.head, this.grid.element, this.foot);
    fill(this.element, this.form(), this.fault, this.asked, this.area, results, credit && el("p", { class: "hint" }, `Maps: ${credit}`));
    this.tell();
    onThemeChange(() => this.isClosed || (this.answer && this.list(this.answer)));
  }

  show(): void {
    const { density, drawing, gallery } = this.context;
    this.isShown = true;
    density.turn(true);
    drawing.allow(gallery.can_search_areas);
    drawing.onArea = (area) => this.within(area);
    drawing.set(this.question.within);
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
    this.isClosed = true;
    this.latest.stop();
  }

  takePhotos(): void {
    this.complain("This gallery holds places of a map. Photos cannot be compared with them.");
  }

  tap(tap: Tap): void {
    const found = tap.features.find(({ sheet }) => sheet === "results");
    if (found && this.mode === "like") return this.grid.select(String(found.properties.id));
    this.take(tap, this.mode);
  }

  private form(): HTMLElement {
    for (const mode of Object.keys(MODES) as Mode[]) {
      const input = el("input", { type: "radio", name: "mode", value: mode, checked: mode === this.mode, onchange: () => (this.mode = mode) });
      this.modes.append(el("label", { class: "mode" }, input, el("span", {}, MODES[mode])));
    }
    const form = el(
      "form",
      { class: "place-form", "aria-label": "A place to ask about" },
      el("p", { class: "hint" }, "Click a place on the map, or type it. Places whose map looks alike are found."),
      this.modes,
      el("div", { class: "numbers" }, field("Longitude", this.lon), field("Latitude", this.lat)),
      el(
        "div",
        { class: "row" },
        el("button", { type: "submit", class: "button is-small" }, el("span", {}, "Find places")),
        button("Use the map's center", () => this.take(this.context.stage.center(), this.mode), { class: "button is-small is-quiet" }),
      ),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const read = readPlace(this.lon.value, this.lat.value);
      if (typeof read === "string") this.complain(read);
      else this.take(read, this.mode);
    });
    return form;
  }

  /** Asks about one more place, or anew about this one. */
  private take(at: { lon?: number | null; lat?: number | null }, mode: Mode): void {
    if (at.lon == null || at.lat == null) return;
    if (mode === "unlike" && !this.question.like.length) return this.complain("First name a place that the answers should be like.");
    this.change(withPlace(this.question, { lon: at.lon, lat: at.lat }, mode));
  }

  private within(area: Area | null): void {
    this.change({ ...this.question, within: area });
  }

  private change(question: Question): void {
    this.question = question;
    this.limit = PAGE;
    this.complain("");
    void this.ask();
  }

  private complain(fault: string): void {
    this.fault.textContent = fault;
    this.fault.hidden = !fault;
  }

  private async ask(): Promise<void> {
    const signal = this.latest.start();
    this.listAsked([]);
    if (!this.question.like.length) {
      this.answer = null;
      this.grid.clear();
      this.tell();
      return this.draw();
    }
    this.answer = null;
    this.draw();
    if (!this.grid.size) this.grid.await(6);
    fill(this.head, el("h2", { role: "status" }, "Looking …"));
    fill(this.foot);
    try {
      const { client, gallery } = this.context;
      const answer = await client.placesLike(gallery.name, requestOf(this.question, this.limit), signal);
      if (signal.aborted) return;
      this.answer = answer;
      this.list(answer);
      this.look(answer);
    } catch (error) {
      const problem = asProblem(error);
      if (!problem) return;
      this.answer = null;
      this.grid.clear();
      this.draw();
      fill(this.head, notice(problem, () => void this.ask()));
    }
  }

  private list(answer: PlacesLikeAnswer): void {
    this.grid.clear();
    this.grid.add(answer.neighbors.map((one) => ({ ...one, thumbnail: styled(one.thumbnail) })));
    this.listAsked(answer.asked);
    this.tell();
    this.draw();
  }

  /** What was asked about, with its maps once they are known. */
  private listAsked(told: readonly AskedPlace[]): void {
    const { like, unlike } = this.question;
    const hadFocus = this.asked.contains(document.activeElement);
    const asked = [...like.map((at) => ({ at, isLike: true })), ...unlike.map((at) => ({ at, isLike: false }))];
    fill(this.asked, ...asked.map(({ at, isLike }, i) => this.chip(at, isLike, told[i])));
    this.asked.hidden = !asked.length;
    if (hadFocus) (this.asked.querySelector<HTMLElement>("button") ?? this.lon).focus();
    const within = this.question.within;
    fill(this.area, within && el("p", { class: "hint" }, `Only within ${describe(within)}. `, button("Anywhere", () => this.everywhere(), { class: "button is-small is-plain" })));
  }

  private chip(at: Place, isLike: boolean, told: AskedPlace | undefined): HTMLElement {
    const name = place(at, 4);
    const picture = this.context.thumbnails.picture(styled(told?.thumbnail), "", 96);
    picture.classList.add("chip-picture");
    const guessed = told?.embedded_by === "student" && el("small", {}, " (no map there: guessed)");
    return el(
      "li",
      { class: isLike ? "chip" : "chip is-minus" },
      told && picture,
      el("span", { class: "chip-name", title: name }, el("span", { class: "said-only" }, isLike ? "like " : "unlike "), name, guessed),
      iconButton(`Remove ${name}`, icon("close"), () => this.change(without(this.question, at)), "chip-remove"),
    );
  }

  private everywhere(): void {
    this.context.drawing.set(null);
    this.within(null);
  }

  private tell(): void {
    const found = this.answer?.neighbors ?? [];
    const isAsked = this.question.like.length > 0;
    const title = !isAsked ? "No place asked about yet" : found.length ? "Most alike first" : "Nothing found";
    const apart = this.answer && this.answer.apart_m > 0 ? `at least ${kilometers(this.answer.apart_m / 1000)} apart` : "";
    const notes = (this.answer?.notes ?? []).map((note) => el("p", { class: "note" }, note));
    fill(this.head, el("h2", {}, title), found.length > 0 && el("span", { class: "hint" }, apart), ...notes);
    const canAsk = found.length === this.limit && this.limit < MOST;
    const more = canAsk && button("Show more", () => this.more(), { class: "button is-wide" });
    const empty = isAsked && this.answer !== null && !found.length && el("p", { class: "empty" }, "No place lies far enough from what was asked. Widen the area.");
    fill(this.foot, more, empty);
    if (this.answer) announce(`${title}. ${found.length} places`);
  }

  private more(): void {
    const before = this.grid.size;
    this.limit = Math.min(MOST, this.limit + PAGE);
    void this.ask().then(() => this.grid.focus(before));
  }

  private draw(selected: string | null = null): void {
    if (!this.isShown) return;
    const { stage, density } = this.context;
    const { like, unlike } = this.question;
    const asked = this.answer?.asked ?? [...like.map((at) => ({ ...at, is_like: true })), ...unlike.map((at) => ({ ...at, is_like: false }))];
    stage.set("results", pointsOf(this.answer?.neighbors ?? [], selected, "Place"));
    stage.setPins(asked.map(({ lon, lat, is_like }) => ({ kind: is_like ? "near" : "unlike", lon, lat, label: is_like ? "Asked: like this" : "Asked: unlike this" })));
    density.dim(this.answer !== null);
    this.drawLegend();
  }

  private drawLegend(): void {
    const { legend, density, stage } = this.context;
    const rows = density.legend();
    if (stage.features("results").length) rows.push({ kind: "mark", mark: "result", text: "a place found" });
    legend.show(rows);
  }

  /** Brings question and answers into view. */
  private look({ asked, neighbors }: PlacesLikeAnswer): void {
    if (!this.isShown) return;
    const all = [...asked, ...neighbors].flatMap(({ lon, lat }) => (lon == null || lat == null ? [] : [{ lon, lat }]));
    const bounds = boundsOf(all);
    if (bounds && all.length > 1) this.context.stage.fit(bounds, 14);
  }

  private mark(found: Neighbor | null): void {
    this.draw(found?.id ?? null);
    if (found?.lon != null && found.lat != null) this.context.stage.reveal({ lon: found.lon, lat: found.lat });
  }
}

/** The path of a map in the colors of the page. */
function styled(path: string | null | undefined): string | null {
  return path ? `${path}&style=${isDark() ? "dark" : "plain"}` : null;
}
