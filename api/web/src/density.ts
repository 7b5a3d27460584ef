/** The gallery on the map: photos counted by cell for what is in view, and the photos themselves where few. */
import type { Feature } from "geojson";
import type { Client } from "./client";
import type { Cell, Cells, Gallery, Photo, Precision } from "./contract";
import { hexagon, resolutionFor } from "./hexagons";
import { debounced, Latest } from "./latest";
import type { LegendRow } from "./legend";
import { countSteps, rampIndex, stepOf } from "./palette";
import { asProblem, type Problem } from "./problem";
import type { Stage } from "./stage";
import { count, photos, places } from "./wording";

const FINEST: Record<Precision, number> = { country: 1, region: 2, "25km": 4, exact: 7 };
const QUIET_MS = 180;
/** More photos than this in view are shown as cells. */
const FEW = 250;

export class Density {
  shown: Cells | null = null;
  onChange: () => void = () => {};
  onProblem: (problem: Problem | null) => void = () => {};
  private readonly latest = new Latest();
  private isOn = true;
  private steps: number[] = [1];
  private readonly later = debounced(() => void this.load(), QUIET_MS);

  constructor(
    private readonly stage: Stage,
    private readonly client: Client,
    private readonly gallery: Gallery,
  ) {
    stage.map?.on("moveend", this.later);
    void stage.ready.then(() => this.load());
  }

  private counted(n: number): string {
    return this.gallery.places ? places(n) : photos(n);
  }

  /** Shows or hides the gallery: other views have the map for themselves. */
  turn(on: boolean): void {
    this.isOn = on;
    if (on) void this.load();
    else {
      this.latest.stop();
      this.draw([], []);
    }
  }

  /** Steps back behind results. */
  dim(isDim: boolean): void {
    this.stage.paint("cells", "fill-opacity", isDim ? 0.4 : 0.82);
    this.stage.paint("photos", "circle-opacity", isDim ? 0.35 : 1);
    this.stage.paint("photos", "circle-stroke-opacity", isDim ? 0.35 : 1);
  }

  close(): void {
    this.latest.stop();
    this.isOn = false;
    this.stage.map?.off("moveend", this.later);
    this.draw([], []);
  }

  legend(): LegendRow[] {
    if (!this.shown?.cells.length) return [];
    const { is_truncated } = this.shown;
    const rows: LegendRow[] = [];
    if (this.points.length) rows.push({ kind: "mark", mark: "photo", text: this.gallery.places ? "a place" : "a photo" });
    else {
      const labels = this.steps.map((from, i) => {
        const to = (this.steps[i + 1] ?? 0) - 1;
        if (i === this.steps.length - 1) return `${count(from)}+`;
        return to === from ? count(from) : `${count(from)}–${count(to)}`;
      });
      rows.push({ kind: "steps", title: this.gallery.places ? "Places in a cell" : "Photos in a cell", labels, shades: this.steps.map((_, i) => rampIndex(i, this.steps.length)) });
    }
    if (is_truncated) rows.push({ kind: "note", text: "Only the fullest cells are drawn." });
    const cap = CAPS[this.gallery.precision];
    if (cap) rows.push({ kind: "note", text: cap });
    return rows;
  }

  /** The photo with an id, if it is shown by itself. */
  photo(id: string): Photo | undefined {
    return this.points.find((photo) => photo.id === id);
  }

  /** The photos in view, where they are few enough to be shown one by one. */
  private get points(): readonly Photo[] {
    const told = this.shown?.photos ?? [];
    return told.length <= FEW ? told : [];
  }

  private async load(): Promise<void> {
    if (!this.isOn) return;
    const signal = this.latest.start();
    const { map } = this.stage;
    const finest = FINEST[this.gallery.precision];
    const resolution = resolutionFor(map?.getZoom() ?? 1, this.stage.center().lat, finest);
    try {
      const cells = await this.client.cells(this.gallery.name, this.stage.view(), resolution, signal);
      if (signal.aborted) return;
      this.shown = cells;
      this.steps = countSteps(Math.max(1, ...cells.cells.map(({ n_photos }) => n_photos)));
      this.draw(this.points.length ? [] : cells.cells, this.points);
      this.onProblem(null);
      this.onChange();
    } catch (error) {
      const problem = asProblem(error);
      if (problem) this.onProblem(problem);
    }
  }

  private draw(cells: readonly Cell[], points: readonly Photo[]): void {
    const hexagons = cells.map((cell) => {
      const shade = rampIndex(stepOf(cell.n_photos, this.steps), this.steps.length);
      return hexagon(cell.cell, cell, { id: cell.cell, shade, text: `${this.counted(cell.n_photos)} in this cell` });
    });
    const dots = points.flatMap(({ id, lon, lat }): Feature[] => {
      if (lon == null || lat == null) return [];
      return [{ type: "Feature", properties: { id }, geometry: { type: "Point", coordinates: [lon, lat] } }];
    });
    this.stage.set("cells", hexagons);
    this.stage.set("photos", dots);
  }
}

const CAPS: Record<Precision, string> = {
  country: "Places are told to the country: large cells only.",
  region: "Places are told to the region: large cells only.",
  "25km": "Places are told to about 25 km.",
  exact: "",
};
