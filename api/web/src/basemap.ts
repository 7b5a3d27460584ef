/** The operator's own basemap, where one is set: raster tiles, or a PMTiles file (raster, or Protomaps' layers). */
import type { LayerSpecification as Layer, SourceSpecification as Source } from "maplibre-gl";
import { addProtocol } from "maplibre-gl";
import { PMTiles, Protocol, TileType } from "pmtiles";
import type { Palette } from "./palette";

export interface Basemap {
  source: Source | null;
  /** Whether its tiles are pictures. */
  isRaster: boolean;
}
export const NO_BASEMAP: Basemap = { source: null, isRaster: false };

/** Opens what the service tells; a basemap that cannot be read is left out, for the map works without. */
export async function openBasemap(told: string | null | undefined): Promise<Basemap> {
  if (!told) return NO_BASEMAP;
  if (told.includes("{z}")) return { source: { type: "raster", tiles: [absolute(told)], tileSize: 256 }, isRaster: true };
  const file = new PMTiles(absolute(told));
  try {
    const { tileType, maxZoom } = await file.getHeader();
    const protocol = new Protocol();
    protocol.add(file);
    addProtocol("pmtiles", protocol.tile);
    const url = `pmtiles://${absolute(told)}`;
    if (tileType === TileType.Mvt) return { source: { type: "vector", url, maxzoom: maxZoom }, isRaster: false };
    return { source: { type: "raster", url, tileSize: 512 }, isRaster: true };
  } catch (error) {
    console.warn("the basemap cannot be read", error);
    return NO_BASEMAP;
  }
}

export function basemapLayers({ source, isRaster }: Basemap, palette: Palette, isDark: boolean): Layer[] {
  if (!source) return [];
  if (isRaster) {
    const paint = isDark ? { "raster-brightness-max": 0.55, "raster-saturation": -0.5 } : { "raster-saturation": -0.35, "raster-opacity": 0.85 };
    return [{ id: "basemap", type: "raster", source: "basemap", paint }];
  }
  const water = { "fill-color": palette.sea };
  const line = (id: string, layer: string, width: [number, number], color: string): Layer => ({
    id: `basemap-${id}`,
    type: "line",
    source: "basemap",
    "source-layer": layer,
    minzoom: 5,
    paint: { "line-color": color, "line-width": ["interpolate", ["exponential", 1.6], ["zoom"], 6, width[0], 16, width[1]] },
  });
  return [
    { id: "basemap-earth", type: "fill", source: "basemap", "source-layer": "earth", paint: { "fill-color": palette.land } },
    { id: "basemap-water", type: "fill", source: "basemap", "source-layer": "water", filter: ["==", ["geometry-type"], "Polygon"], paint: water },
    line("roads", "roads", [0.3, 6], palette.border),
    line("boundaries", "boundaries", [0.6, 2], palette.name),
  ];
}

function absolute(path: string): string {
  // A template's braces must stay as they are.
  return new URL(path, document.baseURI).href.replaceAll("%7B", "{").replaceAll("%7D", "}");
}
