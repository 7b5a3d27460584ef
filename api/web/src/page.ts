/** The page around the views: gallery, tabs, map, and what happens to taps, drops and pastes. */
import { announce } from "./announce";
import type { Client } from "./client";
import type { Context, View, ViewKind } from "./context";
import type { About, Gallery } from "./contract";
import { Density } from "./density";
import { el, fill, iconButton } from "./dom";
import { Drawing } from "./drawing";
import { icon } from "./icons";
import { Legend } from "./legend";
import { hover } from "./map_hover";
import { notice } from "./notice";
import { filesIn } from "./photo_in";
import { Stage } from "./stage";
import { Thumbnails } from "./thumbnails";
import { VIEWS } from "./views";
import { count, photos, places } from "./wording";

const PRECISION = {
  country: "Places are told to the country",
  region: "Places are told to the region",
  "25km": "Places are told to about 25 km",
  exact: "Places are told exactly",
} as const;

export class Page {
  private readonly panel = byId("panel");
  private readonly tabs = byId("tabs");
  private readonly facts = byId("facts");
  private readonly trouble = el("div", { class: "map-trouble" });
  private readonly stage: Stage;
  private readonly drawing: Drawing;
  private readonly legend = new Legend();
  private context: Context | null = null;
  private opened = new Map<string, View>();
  private current: View | null = null;

  constructor(private readonly about: About, private readonly client: Client, private readonly galleries: readonly Gallery[]) {
    this.stage = new Stage(byId("map"), about);
    this.drawing = new Drawing(this.stage);
    const home = iconButton("Show the whole gallery", icon("fit"), () => this.home(), "map-home");
    this.stage.container.append(home, this.legend.element, this.trouble);
    this.pick();
    hover(this.stage, this.drawing);
    this.stage.map?.on("click", ({ point }) => {
      if (this.drawing.isDrawing || this.drawing.hasJustEnded) return;
      const tap = this.stage.at(point.x, point.y);
      if (tap) this.current?.tap(tap);
    });
    this.listen();
    addEventListener("hashchange", () => this.follow());
    this.follow();
  }

  /** Opens what the address names: #gallery/view. */
  private follow(): void {
    const [named, viewId] = decodeURIComponent(location.hash.slice(1)).split("/");
    const gallery = this.galleries.find(({ name }) => name === named) ?? this.galleries[0];
    if (!gallery) return;
    if (this.context?.gallery !== gallery) this.enter(gallery);
    const views = viewsOf(gallery);
    this.open(views.find(({ id }) => id === viewId) ?? views[0]);
  }

  private enter(gallery: Gallery): void {
    this.current?.hide();
    for (const view of this.opened.values()) view.close();
    this.context?.density.close();
    this.opened.clear();
    this.current = null;
    this.drawing.set(null);
    const { about, client, stage, drawing, legend } = this;
    const density = new Density(stage, client, gallery);
    density.onProblem = (problem) => fill(this.trouble, problem && notice(problem, () => density.turn(true)));
    this.context = { about, client, gallery, stage, drawing, legend, density, thumbnails: new Thumbnails(client) };
    this.home();
    const select = document.querySelector<HTMLSelectElement>("#gallery select");
    if (select) select.value = gallery.name;
    fill(
      this.facts,
      `${gallery.places ? places(gallery.n_photos) : `${photos(gallery.n_photos)}, ${count(gallery.n_placed)} of known place`} · ${PRECISION[gallery.precision]}`,
      gallery.switching_to ? ` · moving to the model ${gallery.switching_to}` : "",
    );
    document.title = `${gallery.name} · Placeprint`;
  }

  private open(kind: ViewKind): void {
    const { context } = this;
    if (!context) return;
    let view = this.opened.get(kind.id);
    if (!view) {
      const refusal = kind.refusal(this.about, context.gallery);
      view = refusal ? refused(refusal) : kind.open(context);
      this.opened.set(kind.id, view);
    }
    if (this.current !== view) {
      this.current?.hide();
      this.stage.closeMenu();
      this.legend.show([]);
      this.current = view;
      fill(this.panel, view.element);
      view.show();
      announce(kind.label);
    }
    fill(
      this.tabs,
      ...viewsOf(context.gallery).map(({ id, label }) =>
        el("a", { class: "tab", href: `#${encodeURIComponent(context.gallery.name)}/${id}`, ...(id === kind.id && { "aria-current": "page" }) }, label),
      ),
    );
  }

  private home(): void {
    this.stage.fit(this.context?.gallery.bbox ?? [-150, -50, 160, 72], 11);
  }

  private pick(): void {
    const select = el("select", { "aria-label": "Gallery" }, ...this.galleries.map(({ name }) => el("option", { value: name }, name)));
    select.onchange = () => {
      location.hash = `${encodeURIComponent(select.value)}/${location.hash.split("/")[1] ?? VIEWS[0].id}`;
    };
    const [only] = this.galleries;
    fill(byId("gallery"), this.galleries.length > 1 ? select : el("span", { class: "gallery-name" }, only.name));
  }

  private listen(): void {
    const { body } = document;
    const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
    const handle = byId("handle");
    handle.addEventListener("click", () => {
      handle.setAttribute("aria-pressed", String(body.classList.toggle("is-tall")));
    });
    addEventListener("dragover", (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      body.classList.add("is-dropping");
    });
    addEventListener("dragleave", (event) => {
      if (!event.relatedTarget) body.classList.remove("is-dropping");
    });
    addEventListener("drop", (event) => {
      body.classList.remove("is-dropping");
      if (!hasFiles(event)) return;
      event.preventDefault();
      this.current?.takePhotos(filesIn(event.dataTransfer));
    });
    addEventListener("paste", (event) => {
      const files = filesIn(event.clipboardData);
      if (!files.length) return;
      event.preventDefault();
      this.current?.takePhotos(files);
    });
  }
}

/** The views that a gallery can be asked by. */
function viewsOf(gallery: Gallery): readonly ViewKind[] {
  return VIEWS.filter(({ isFor }) => isFor(gallery));
}

/** In place of a view that cannot be used. */
function refused(reason: string): View {
  const nothing = () => {};
  const element = el("div", { class: "view" }, el("div", { class: "refused" }, el("h2", {}, "Not available here"), el("p", {}, reason)));
  return { element, show: nothing, hide: nothing, takePhotos: nothing, tap: nothing, close: nothing };
}

function byId(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
}
