/** The map as MapLibre draws it: what lies under what, and in which colors. */
import type { FeatureCollection } from "geojson";
import type {
  ExpressionSpecification as Expression,
  LayerSpecification as Layer,
  SourceSpecification as Source,
  StyleSpecification,
} from "maplibre-gl";
import type { Palette } from "./palette";

/** Sources whose GeoJSON the page fills in. */
export const SHEETS = ["cells", "photos", "surface", "regions", "area", "sketch", "results", "evidence"] as const;
export type Sheet = (typeof SHEETS)[number];
/** Above this zoom countries are drawn from the finer data, once it is there. */
export const FINE_FROM_ZOOM = 3;
/** Layers of the coarse countries. */
export const FAR_LAYERS = ["land-far", "shares-far", "borders-far"] as const;

const NOTHING: FeatureCollection = { type: "FeatureCollection", features: [] };

/** @param basemap layers of the operator's basemap and their source, where there is one. */
export function mapStyle(palette: Palette, basemap: { layers: Layer[]; source: Source | null }): StyleSpecification {
  const sources: Record<string, Source> = {
    world110: { type: "geojson", data: NOTHING, promoteId: "iso" },
    world50: { type: "geojson", data: NOTHING, promoteId: "iso" },
    names: { type: "geojson", data: NOTHING },
  };
  // Drawn shapes keep their curves: by default MapLibre straightens what is off by a third of a pixel of a tile.
  for (const sheet of SHEETS) sources[sheet] = { type: "geojson", data: NOTHING, promoteId: "id", tolerance: 0.05 };
  if (basemap.source) sources.basemap = basemap.source;
  return { version: 8, sources, layers: mapLayers(palette, basemap.layers) };
}

/** All layers, from the lowest. */
export function mapLayers(palette: Palette, basemap: Layer[]): Layer[] {
  const { ramp } = palette;
  const shade: Expression = ["match", ["get", "shade"], 0, ramp[0], 1, ramp[1], 2, ramp[2], 3, ramp[3], ramp[4]];
  const heat: Expression = ["interpolate", ["linear"], ["get", "heat"]];
  const share: Expression = ["interpolate", ["linear"], ["sqrt", ["to-number", ["feature-state", "share"], 0]]];
  const at = (position: number, i: number) => [position, ramp[i]] as [number, string];
  const ramped = [at(0, 0), at(0.3, 1), at(0.55, 2), at(0.8, 3), at(1, 4)].flat();
  const marked: Expression = ["boolean", ["get", "selected"], false];
  return [
    { id: "sea", type: "background", paint: { "background-color": palette.sea } },
    ...twice("land", (source) => ({ type: "fill", source, paint: { "fill-color": palette.land, "fill-antialias": false } })),
    ...basemap,
    ...twice(
      "shares",
      (source) => ({
        type: "fill",
        source,
        paint: {
          "fill-color": [...share, ...ramped] as Expression,
          "fill-opacity": ["case", [">", ["to-number", ["feature-state", "share"], 0], 0], 0.9, 0],
        },
      }),
    ),
    ...twice("borders", (source) => ({
      type: "line",
      source,
      paint: { "line-color": palette.border, "line-width": ["interpolate", ["linear"], ["zoom"], 0, 0.6, 6, 1.3] },
    })),
    {
      id: "cells",
      type: "fill",
      source: "cells",
      paint: { "fill-color": shade, "fill-opacity": 0.82, "fill-opacity-transition": { duration: 150 } },
    },
    {
      id: "cells-edge",
      type: "line",
      source: "cells",
      paint: {
        "line-color": ["case", ["boolean", ["feature-state", "pointed"], false], palette.ink, palette.land],
        "line-width": ["case", ["boolean", ["feature-state", "pointed"], false], 2, 0.6],
      },
    },
    {
      id: "surface",
      type: "fill",
      source: "surface",
      paint: { "fill-color": [...heat, ...ramped] as Expression, "fill-opacity": 0.85 },
    },
    {
      id: "regions",
      type: "line",
      source: "regions",
      filter: ["<", ["get", "level"], 0.7],
      layout: { "line-join": "round" },
      paint: { "line-color": palette.ink, "line-width": 2.2 },
    },
    {
      id: "regions-wide",
      type: "line",
      source: "regions",
      filter: [">=", ["get", "level"], 0.7],
      layout: { "line-join": "round" },
      paint: { "line-color": palette.ink, "line-width": 1.6, "line-dasharray": [2.5, 2] },
    },
    { id: "area", type: "fill", source: "area", paint: { "fill-color": palette.area, "fill-opacity": 0.12 } },
    { id: "area-edge", type: "line", source: "area", paint: { "line-color": palette.area, "line-width": 2 } },
    { id: "sketch", type: "fill", source: "sketch", filter: ["==", ["geometry-type"], "Polygon"], paint: { "fill-color": palette.area, "fill-opacity": 0.14 } },
    {
      id: "sketch-edge",
      type: "line",
      source: "sketch",
      paint: { "line-color": palette.area, "line-width": 2, "line-dasharray": [2, 1.5] },
    },
    {
      id: "sketch-corners",
      type: "circle",
      source: "sketch",
      filter: ["==", ["geometry-type"], "Point"],
      paint: { "circle-radius": 5, "circle-color": palette.paper, "circle-stroke-color": palette.area, "circle-stroke-width": 2 },
    },
    {
      id: "names",
      type: "symbol",
      source: "names",
      layout: {
        "text-field": ["step", ["zoom"], namesFrom(19), 1.6, namesFrom(11), 2.4, namesFrom(6), 3.2, namesFrom(3), 4.2, namesFrom(0)],
        "text-font": ["Figtree Variable"],
        "text-size": ["interpolate", ["linear"], ["zoom"], 1, 10.5, 5, 14],
        "text-max-width": 7,
        "symbol-sort-key": ["-", ["get", "size"]],
        "text-padding": 6,
      },
      paint: { "text-color": palette.name, "text-halo-color": palette.halo, "text-halo-width": 1.4 },
    },
    {
      id: "photos",
      type: "circle",
      source: "photos",
      paint: { "circle-radius": 4, "circle-color": ramp[3], "circle-stroke-color": palette.paper, "circle-stroke-width": 1.2 },
    },
    ...(["results", "evidence"] as const).map(
      (source): Layer => ({
        id: source,
        type: "circle",
        source,
        layout: { "circle-sort-key": ["case", marked, 1, 0] },
        paint: {
          "circle-radius": ["case", marked, 9, 5.5],
          "circle-color": ["case", marked, palette.paper, source === "results" ? palette.accent : palette.paper],
          "circle-stroke-color": ["case", marked, palette.accent, source === "results" ? palette.paper : palette.accent],
          "circle-stroke-width": ["case", marked, 4, source === "results" ? 1.5 : 2.2],
        },
      }),
    ),
  ];
}

/** Names of countries that are so large, in degrees. */
function namesFrom(size: number): Expression {
  return ["case", [">=", ["get", "size"], size], ["get", "name"], ""];
}

type Drawn = Extract<Layer, { source: string }>;
/** A layer on the coarse countries, and the same on the fine ones for near views. */
function twice(id: string, make: (source: string) => Omit<Drawn, "id">): Layer[] {
  return [
    { ...make("world110"), id: `${id}-far` } as Layer,
    { ...make("world50"), id: `${id}-near`, minzoom: FINE_FROM_ZOOM } as Layer,
  ];
}
