/** What the service takes and tells, as in its OpenAPI description. Degrees are WGS84. */

export type Precision = "country" | "region" | "25km" | "exact";
export interface Place {
  lon: number;
  lat: number;
}
/** [west, south, east, north]; across the antimeridian where west > east. */
export type Bbox = [number, number, number, number];

export interface About {
  version: string;
  precision: Precision;
  geolocation: boolean;
  needs_key: boolean;
  max_body_mb: number;
  formats: string[];
  takes_urls: boolean;
  misuse: string;
  basemap?: string | null;
  attribution?: string;
}

export interface Gallery {
  name: string;
  n_photos: number;
  n_placed: number;
  model: { name: string; id: string; dimension: number; takes_text: boolean };
  precision: Precision;
  can_locate: boolean;
  can_search_areas: boolean;
  is_read_only: boolean;
  switching_to?: string | null;
  bbox?: Bbox | null;
  /** Whether the very places of photos are recognized here. */
  can_recognize?: boolean;
  /** What it looks at, where it holds places of a map and no photos. */
  places?: { ground_m: number; attribution: string; has_map: boolean } | null;
}
export interface Galleries {
  galleries: Gallery[];
  n_unavailable: number;
}

export interface Photo {
  id: string;
  lon?: number | null;
  lat?: number | null;
  captured_at?: string | null;
  group?: string | null;
  payload?: Record<string, unknown> | null;
  thumbnail?: string | null;
}

export interface Cell {
  cell: string;
  lon: number;
  lat: number;
  n_photos: number;
}
export interface Cells {
  resolution: number;
  cells: Cell[];
  n_photos: number;
  photos?: Photo[] | null;
  is_truncated?: boolean;
}

export type Area =
  | { kind: "circle"; lon: number; lat: number; radius_km: number }
  | { kind: "box"; west: number; south: number; east: number; north: number }
  | { kind: "polygon"; geojson: { type: "Polygon"; coordinates: number[][][] } };

export type Query = { weight?: number } & (
  | { text: string }
  | { image: string }
  | { photo: string }
  | { location: Place }
);
export interface Filter {
  within?: Area;
  captured_from?: string;
  captured_until?: string;
  is_placed?: boolean;
}
export interface SearchRequest {
  queries: Query[];
  fusion?: "vectors" | "rankings";
  filter: Filter;
  prefer_near?: Place & { half_km: number; weight: number };
  limit: number;
  offset: number;
  min_z_score?: number;
}
export interface Neighbor extends Photo {
  score: number;
  similarity?: number | null;
  z_score?: number | null;
  distance_km?: number | null;
  /** How much of a photo is found in it; null where nobody looked, absent where its place was not asked for. */
  match?: number | null;
}
export interface SearchAnswer {
  neighbors: Neighbor[];
  next_offset?: number | null;
  n_matches?: number | null;
  notes?: string[];
}

export interface RecognizeRequest {
  image: string;
  limit: number;
  /** The doubt from which the first are looked at again; 0 for always. */
  unsure?: number;
  filter: Filter;
}
export interface RecognizedPhoto extends Photo {
  score?: number | null;
  similarity?: number | null;
  z_score?: number | null;
}
export interface RecognizeAnswer {
  neighbors: RecognizedPhoto[];
  using: string;
  doubt: number;
  looked_again: boolean;
  n_looked_at: number;
  /** Whether a picture of the match can be had. */
  may_look_again: boolean;
  missing: string[];
  notes?: string[];
}

export interface PlacesLikeRequest {
  like: Place[];
  unlike: Place[];
  unlike_weight?: number;
  within?: Area;
  limit: number;
}
export interface AskedPlace extends Place {
  is_like: boolean;
  embedded_by: "gallery" | "map" | "student";
  thumbnail?: string | null;
}
export interface PlacesLikeAnswer {
  asked: AskedPlace[];
  neighbors: Neighbor[];
  ground_m: number;
  apart_m: number;
  attribution?: string;
  notes?: string[];
}

export interface Share {
  name: string;
  code: string;
  probability: number;
}
export interface Region {
  level: number;
  area_km2: number;
  geojson: { type: "Polygon"; coordinates: number[][][] } | { type: "MultiPolygon"; coordinates: number[][][][] };
}
export interface SurfaceCell extends Place {
  cell: string;
  probability: number;
}
export interface DecisiveCell extends Place {
  cell_id: string;
  name: string;
  probability: number;
  prior_probability: number;
  bits: number;
}
export interface Location {
  countries: Share[];
  states?: Share[] | null;
  abstain: boolean;
  abstain_reason: string;
  information_bits: number;
  prior_share: number;
  is_calibrated: boolean;
  p_within_km?: Record<string, number> | null;
  lon?: number | null;
  lat?: number | null;
  /** The populated place nearest to the point. */
  near?: string | null;
  mode?: Place | null;
  geoscore_point?: Place | null;
  median_point?: Place | null;
  regions?: Region[] | null;
  surface?: SurfaceCell[] | null;
  surface_resolution?: number | null;
  cells?: DecisiveCell[] | null;
  evidence: Neighbor[];
  n_photos: number;
  precision: Precision;
  notes?: string[];
}
export type Prior = "gallery" | "uniform" | "population";

export interface RegionClassifier {
  name: string;
  regions: string[];
  /** Mean over regions of the share told right, of photos of areas it never saw. */
  mean_recall: number | null;
  model: string;
}
export interface RegionClassifiers {
  classifiers: RegionClassifier[];
}
export interface RegionsAnswer {
  classifier: string;
  regions: { region: string; probability: number }[];
  n_regions: number;
  n_photos: number;
}
