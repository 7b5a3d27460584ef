/** The map on the page: sheets of GeoJSON, shades of countries, pins, a tooltip. Works on, empty, without WebGL. */
import "maplibre-gl/dist/maplibre-gl.css";
import type { Feature } from "geojson";
import {
  AttributionControl,
  type GeoJSONSource,
  Map as MapLibre,
  Marker,
  NavigationControl,
  ScaleControl,
  setWorkerUrl,
} from "maplibre-gl";
import workerUrl from "maplibre-gl/dist/maplibre-gl-worker.mjs?url";
import names from "../generated/names.json?url";
import world110 from "../generated/world-110m.json?url";
import world50 from "../generated/world-50m.json?url";
import { type Basemap, basemapLayers, NO_BASEMAP, openBasemap } from "./basemap";
import type { About, Bbox, Place } from "./contract";
import { el, iconButton } from "./dom";
import { icon } from "./icons";
import { FAR_LAYERS, FINE_FROM_ZOOM, mapLayers, mapStyle, type Sheet } from "./map_style";
import { DARK, LIGHT } from "./palette";
import { boundsOf, normLon } from "./sphere";
import { isDark, onThemeChange } from "./theme";
import { place } from "./wording";

setWorkerUrl(workerUrl);

export interface Tap extends Place {
  x: number;
  y: number;
  /** What was drawn there, the uppermost first. */
  features: { sheet: Sheet; properties: Record<string, unknown> }[];
}
export interface Pin extends Place {
  kind: "best" | "mode" | "cell" | "near" | "unlike";
  label: string;
  text?: string;
}

export class Stage {
  readonly map: MapLibre | null;
  readonly ready: Promise<void>;
  private readonly tooltip = el("div", { class: "tooltip", hidden: true });
  private basemap: Basemap = NO_BASEMAP;
  private pins: Marker[] = [];
  private opened: HTMLElement | null = null;
  private shaded: string[] = [];
  private readonly overrides = new Map<string, number>();
  private readonly sheets = new Map<Sheet, Feature[]>();
  private hasFineWorld = false;
  private readonly countryBoxes = new Map<string, Bbox>();

  constructor(readonly container: HTMLElement, about: About) {
    this.map = this.open(about.attribution ?? "");
    container.append(this.tooltip);
    this.ready = this.map ? this.furnish(this.map, about) : Promise.resolve();
    onThemeChange(() => this.repaint());
  }

  /** Puts features on a sheet, in place of those before. */
  set(sheet: Sheet, features: Feature[]): void {
    this.sheets.set(sheet, features);
    this.source(sheet)?.setData({ type: "FeatureCollection", features });
  }

  features(sheet: Sheet): readonly Feature[] {
    return this.sheets.get(sheet) ?? [];
  }

  /** Changes how a layer is drawn, whatever the colors are. */
  paint(layer: string, property: string, value: number): void {
    this.overrides.set(`${layer} ${property}`, value);
    if (this.map?.getLayer(layer)) this.map.setPaintProperty(layer, property as "fill-opacity", value);
  }

  /** Marks one feature of a sheet (by its property `id`) as pointed at, and no other. */
  point(sheet: Sheet, id: string | null): void {
    if (!this.source(sheet)) return;
    this.map?.removeFeatureState({ source: sheet });
    if (id !== null) this.map?.setFeatureState({ source: sheet, id }, { pointed: true });
  }

  /** Shades countries by a share in [0, 1], keyed by their ISO 3166-1 alpha-2 codes. */
  setShares(shares: ReadonlyMap<string, number>): void {
    const largest = Math.max(...shares.values(), 1e-9);
    for (const source of ["world110", "world50"]) {
      for (const id of this.shaded) this.map?.setFeatureState({ source, id }, { share: 0 });
      for (const [id, share] of shares) this.map?.setFeatureState({ source, id }, { share: share / largest });
    }
    this.shaded = [...shares.keys()];
  }

  setPins(pins: readonly Pin[]): void {
    for (const pin of this.pins) pin.remove();
    const { map } = this;
    if (!map) return;
    this.pins = pins.map(({ kind, label, text, lon, lat }) => {
      const element = el("div", { class: `pin pin-${kind}`, role: "img", "aria-label": label, title: label }, text);
      return new Marker({ element, anchor: kind === "best" ? "bottom" : "center" }).setLngLat([lon, lat]).addTo(map);
    });
  }

  /** Shows a text at a point of the map (pixels); null hides it. */
  tell(text: string | null, x = 0, y = 0): void {
    this.tooltip.hidden = text === null;
    if (text === null) return;
    this.tooltip.textContent = text;
    const room = this.container.clientWidth - this.tooltip.offsetWidth - 8;
    this.tooltip.style.translate = `${Math.max(8, Math.min(x + 14, room))}px ${Math.max(8, y - 40)}px`;
  }

  /** Opens a menu at a tapped place; Escape or a tap elsewhere closes it. */
  menu({ x, y, lon, lat }: Tap, actions: HTMLElement): void {
    this.closeMenu();
    const close = iconButton("Close", icon("close"), () => this.closeMenu());
    this.opened = el("div", { class: "map-menu" }, el("div", { class: "map-menu-head" }, el("span", {}, place({ lon, lat }, 3)), close), actions);
    this.opened.addEventListener("keydown", ({ key }) => key === "Escape" && this.closeMenu());
    this.container.append(this.opened);
    const [w, h] = [this.container.clientWidth - this.opened.offsetWidth - 8, this.container.clientHeight - this.opened.offsetHeight - 8];
    this.opened.style.translate = `${Math.max(8, Math.min(x + 8, w))}px ${Math.max(8, Math.min(y + 8, h))}px`;
    this.map?.once("movestart", () => this.closeMenu());
  }

  closeMenu(): void {
    this.opened?.remove();
    this.opened = null;
  }

  /** Moves the view to [west, south, east, north]; across the antimeridian where west > east. */
  fit([west, south, east, north]: Bbox, maxZoom = 9): void {
    const right = east < west ? east + 360 : east;
    const short = Math.min(this.container.clientWidth, this.container.clientHeight);
    this.map?.fitBounds(
      [west, Math.max(south, -80), right, Math.min(north, 83)],
      { padding: Math.max(16, Math.min(64, short * 0.1)), maxZoom, duration: 700 },
    );
  }

  /** Moves to a place if it is not in view. */
  reveal({ lon, lat }: Place): void {
    const bounds = this.map?.getBounds();
    if (!this.map || !bounds) return;
    const seen = [lon - 360, lon, lon + 360].some((x) => bounds.contains([x, lat]));
    if (!seen) this.map.easeTo({ center: [lon, lat], duration: 600 });
  }

  /** Around the main parts of countries, by their codes; null where none of them is known. */
  boundsOfCountries(codes: readonly string[]): Bbox | null {
    const boxes = codes.map((code) => this.countryBoxes.get(code)).filter((box) => box !== undefined);
    // The middle counts too: without it the short way around the Earth might lead outside a wide country.
    const lonsOf = ([west, , east]: Bbox) => [west, (west + east) / 2, east];
    return boundsOf(boxes.flatMap((box) => [box[1], box[3]].flatMap((lat) => lonsOf(box).map((lon) => ({ lon, lat })))));
  }

  /** What is in view: all longitudes where the whole Earth is. */
  view(): Bbox {
    const bounds = this.map?.getBounds();
    if (!bounds) return [-180, -90, 180, 90];
    const [south, north] = [Math.max(-90, bounds.getSouth()), Math.min(90, bounds.getNorth())];
    if (bounds.getEast() - bounds.getWest() >= 359) return [-180, south, 180, north];
    return [normLon(bounds.getWest()), south, normLon(bounds.getEast()), north];
  }

  center(): Place {
    const center = this.map?.getCenter();
    return center ? { lon: normLon(center.lng), lat: center.lat } : { lon: 0, lat: 0 };
  }

  at(x: number, y: number): Tap | null {
    const { map } = this;
    if (!map?.isStyleLoaded()) return null;
    const { lng, lat } = map.unproject([x, y]);
    const layers = ["results", "evidence", "photos", "cells", "surface"];
    const reach = 4;
    const found = map.queryRenderedFeatures([[x - reach, y - reach], [x + reach, y + reach]], { layers });
    return { lon: normLon(lng), lat, x, y, features: found.map((f) => ({ sheet: f.source as Sheet, properties: f.properties })) };
  }

  private open(attribution: string): MapLibre | null {
    try {
      const map = new MapLibre({
        container: this.container,
        style: mapStyle(isDark() ? DARK : LIGHT, { layers: [], source: null }),
        center: [10, 25],
        zoom: 1.2,
        minZoom: 0.2,
        maxZoom: 18,
        attributionControl: false,
        dragRotate: false,
        pitchWithRotate: false,
        maxPitch: 0,
        fadeDuration: 0,
      });
      map.touchZoomRotate.disableRotation();
      map.keyboard.disableRotation();
      map.addControl(new NavigationControl({ showCompass: false }), "top-right");
      map.addControl(new ScaleControl({ maxWidth: 110 }), "bottom-right");
      const said = document.createElement("span");
      said.textContent = ["Natural Earth", attribution].filter(Boolean).join(" · ");
      map.addControl(new AttributionControl({ compact: false, customAttribution: said.innerHTML }), "bottom-right");
      map.on("error", ({ error }) => console.warn("map:", error?.message));
      return map;
    } catch (error) {
      console.warn("no map", error);
      this.container.append(
        el("p", { class: "map-missing" }, "This browser cannot draw the map (WebGL is off). Everything else works; areas can be given by numbers."),
      );
      return null;
    }
  }

  private async furnish(map: MapLibre, about: About): Promise<void> {
    const [coarse, labels, basemap] = await Promise.all([
      load(world110),
      load(names),
      openBasemap(about.basemap),
      document.fonts.load("14px 'Figtree Variable'"),
      map.loaded() || map.once("load"),
    ]);
    this.basemap = basemap;
    if (basemap.source) {
      map.addSource("basemap", basemap.source);
      for (const layer of basemapLayers(basemap, this.palette(), isDark())) map.addLayer(layer, "shares-far");
    }
    for (const { properties } of labels.features) this.countryBoxes.set(properties.iso, properties.bbox);
    this.source("names")?.setData(labels);
    this.source("world110")?.setData(coarse);
    for (const [sheet, features] of this.sheets) this.set(sheet, features);
    this.repaint();
    const look = () => void this.refine(map);
    map.on("zoom", look);
    look();
  }

  /** Loads the finer countries once they are near. */
  private async refine(map: MapLibre): Promise<void> {
    if (this.hasFineWorld || map.getZoom() < FINE_FROM_ZOOM - 0.7) return;
    this.hasFineWorld = true;
    const fine = await load(world50);
    // The coarse countries stay until the fine ones are drawn: between them lies no empty sea.
    const see = ({ sourceId }: { sourceId?: string }) => {
      if (sourceId !== "world50" || !map.isSourceLoaded("world50")) return;
      map.off("sourcedata", see);
      for (const layer of FAR_LAYERS) map.setLayerZoomRange(layer, 0, FINE_FROM_ZOOM);
    };
    map.on("sourcedata", see);
    this.source("world50")?.setData(fine);
  }

  private repaint(): void {
    const { map } = this;
    if (!map) return;
    for (const layer of mapLayers(this.palette(), basemapLayers(this.basemap, this.palette(), isDark()))) {
      for (const [name, value] of Object.entries(layer.paint ?? {})) {
        const painted = this.overrides.get(`${layer.id} ${name}`) ?? value;
        if (map.getLayer(layer.id)) map.setPaintProperty(layer.id, name as "fill-color", painted);
      }
    }
  }

  private palette(): typeof LIGHT {
    return isDark() ? DARK : LIGHT;
  }

  private source(id: string): GeoJSONSource | undefined {
    return this.map?.getSource(id) as GeoJSONSource | undefined;
  }
}

// The files are made by tools/world.mjs.
async function load(address: string): Promise<any> {
  return (await fetch(address)).json();
}
