/** What the map's shades and marks mean, in its corner. */
import { el, fill } from "./dom";

export type LegendRow =
  | { kind: "steps"; title: string; labels: string[]; shades: number[] }
  | { kind: "ramp"; title: string; labels: string[] }
  | { kind: "mark"; mark: string; text: string }
  | { kind: "note"; text: string };

export class Legend {
  private readonly rows = el("div", { class: "legend-rows" });
  readonly element = el("details", { class: "legend", hidden: true }, el("summary", {}, "Legend"), this.rows);

  constructor() {
    // Where room is scarce it waits to be opened.
    this.element.open = matchMedia("(min-width: 46rem)").matches;
  }

  show(rows: readonly LegendRow[]): void {
    this.element.hidden = rows.length === 0;
    fill(this.rows, ...rows.map(draw));
  }
}

function draw(row: LegendRow): HTMLElement {
  if (row.kind === "steps") {
    const steps = row.labels.map((label, i) =>
      el("li", {}, el("span", { class: `swatch shade-${row.shades[i]}` }), el("span", {}, label)),
    );
    return el("div", { class: "legend-steps" }, el("p", {}, row.title), el("ol", {}, ...steps));
  }
  if (row.kind === "ramp") {
    const ends = el("p", { class: "legend-ends" }, ...row.labels.map((label) => el("span", {}, label)));
    return el("div", {}, el("p", {}, row.title), el("div", { class: "legend-ramp" }), ends);
  }
  if (row.kind === "note") return el("p", { class: "legend-note" }, row.text);
  return el("p", { class: "legend-mark" }, el("span", { class: `mark mark-${row.mark}` }), row.text);
}
