/** Which region was a photo taken in? What the operator's classifiers say by its look alone, beside the location. */
import type { Client } from "./client";
import type { RegionClassifier } from "./contract";
import { el, field, fill } from "./dom";
import { Latest } from "./latest";
import { notice } from "./notice";
import { asProblem } from "./problem";
import { groundsOf, rowsOf, SHOWN } from "./region_words";
import { bars } from "./shares";

export class RegionAnswer {
  readonly element = el("section", { "aria-label": "Region" });
  private classifiers: RegionClassifier[] = [];
  private photos: readonly Blob[] = [];
  private readonly latest = new Latest();
  private readonly told = el("div", { class: "region-told", "aria-live": "polite" });
  private readonly choice = el("select", { onchange: () => void this.answer() });

  constructor(private readonly client: Client) {
    this.element.hidden = true;
    void this.open();
  }

  close(): void {
    this.latest.stop();
  }

  /** Asks about other photos. */
  ask(photos: readonly Blob[]): void {
    this.photos = photos;
    void this.answer();
  }

  private async open(): Promise<void> {
    try {
      this.classifiers = (await this.client.regions()).classifiers;
    } catch {
      return; // there is nothing to offer, and nobody asked for it
    }
    if (!this.classifiers.length) return;
    fill(this.choice, ...this.classifiers.map(({ name }) => el("option", { value: name }, name)));
    fill(
      this.element,
      el("h3", {}, "Which region"),
      this.classifiers.length > 1 && field("By the classifier", this.choice),
      this.told,
    );
    void this.answer();
  }

  private async answer(): Promise<void> {
    const asked = this.classifiers.find(({ name }) => name === this.choice.value);
    if (!asked || !this.photos.length) return;
    const signal = this.latest.start();
    this.element.hidden = false;
    fill(this.told, el("div", { class: "working" }, el("span", { class: "spinner" }), "Looking for its region …"));
    try {
      const answer = await this.client.predictRegion(asked.name, this.photos, SHOWN, signal);
      if (signal.aborted) return;
      fill(this.told, bars("Likeliest regions", rowsOf(answer)), el("p", { class: "hint" }, groundsOf(asked)));
    } catch (error) {
      const problem = asProblem(error);
      if (problem) fill(this.told, notice(problem, () => void this.answer()));
    }
  }
}
