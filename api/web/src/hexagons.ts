/** Cells of the H3 grid as shapes on the map. */
import { cellToBoundary } from "h3-js";
import type { Feature, Polygon } from "geojson";
import { polygon } from "./areas";
import type { Area, Place } from "./contract";
import { type Ring, unwrapped } from "./sphere";

/** Edge of a cell of resolution 0, kilometers; each resolution's is √7 times smaller. */
const EDGE_KM = 1281;
/** Half of a cell's width on the screen that reads well. */
const EDGE_PX = 12;
const KM_PER_PX_AT_ZOOM_0 = 78.27;
const FINEST = 7;

/** The resolution whose cells read well at a zoom and a latitude, within what the operator lets out. */
export function resolutionFor(zoom: number, lat: number, finest = FINEST): number {
  const kmPerPx = (KM_PER_PX_AT_ZOOM_0 * Math.cos((lat * Math.PI) / 180)) / 2 ** zoom;
  const wanted = Math.log(EDGE_KM / (EDGE_PX * Math.max(kmPerPx, 1e-6))) / Math.log(Math.sqrt(7));
  return Math.max(0, Math.min(finest, FINEST, Math.round(wanted)));
}

/** A cell as an area to search in. */
export function cellArea(cell: string): Area {
  return polygon(cellToBoundary(cell).map(([lat, lon]) => ({ lon, lat })));
}

/** A cell's outline around its center, across the antimeridian and over the poles. */
export function hexagon<P>(cell: string, center: Place, properties: P): Feature<Polygon, P> {
  const ring = cellToBoundary(cell, true) as Ring;
  return {
    type: "Feature",
    properties,
    geometry: { type: "Polygon", coordinates: [unwrapped(ring, center.lon, center.lat)] },
  };
}
