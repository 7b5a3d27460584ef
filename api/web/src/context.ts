/** What a view works with. */
import type { Client } from "./client";
import type { About, Gallery } from "./contract";
import type { Density } from "./density";
import type { Drawing } from "./drawing";
import type { Legend } from "./legend";
import type { Stage, Tap } from "./stage";
import type { Thumbnails } from "./thumbnails";

export interface Context {
  about: About;
  gallery: Gallery;
  client: Client;
  stage: Stage;
  density: Density;
  drawing: Drawing;
  legend: Legend;
  thumbnails: Thumbnails;
}

/** One way of asking: a tab of the page. */
export interface ViewKind {
  /** In the address after the gallery's name. */
  id: string;
  label: string;
  /** Whether a gallery is of the kind that the view asks; otherwise it has no tab. */
  isFor: (gallery: Gallery) => boolean;
  /** Why the view cannot be used with this gallery; empty where it can. */
  refusal: (about: About, gallery: Gallery) => string;
  open: (context: Context) => View;
}

/** A view that was opened. It keeps its state while another is shown. */
export interface View {
  element: HTMLElement;
  /** Takes the map for itself. */
  show: () => void;
  /** Leaves the map. */
  hide: () => void;
  /** Photos were dropped on the page, or pasted. */
  takePhotos: (files: File[]) => void;
  /** The map was tapped. */
  tap: (tap: Tap) => void;
  close: () => void;
}
