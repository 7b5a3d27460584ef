/** How the answer's photos stand, as a histogram, with a cut-off below which photos are left out. */
import { el, fill } from "./dom";
import { histogram } from "./histogram";
import { oneIn } from "./standing";
import { count } from "./wording";

export class Cutoff {
  readonly element = el("div", { class: "cutoff", hidden: true });
  private readonly bars = el("div", { class: "cutoff-bars", "aria-hidden": "true" });
  private readonly slider = el("input", { type: "range", step: "0.1" });
  private readonly said = el("output", { class: "cutoff-said" });
  private ends: [number, number] = [0, 1];

  /** @param onChange gets the least z-score that stays, or null where all do. */
  constructor(private readonly onChange: (minZ: number | null) => void) {
    this.slider.setAttribute("aria-label", "Leave out photos that stand lower");
    this.slider.oninput = () => this.tell();
    this.slider.onchange = () => this.onChange(this.value());
    fill(this.element, el("div", { class: "cutoff-head" }, el("span", {}, "How they stand out"), this.said), this.bars, this.slider, el("p", { class: "hint" }, "“1 in 500”: so many photos of this gallery are as similar, by a rough guide. Move the slider to leave out the common ones."));
  }

  /** Draws the spread of z-scores; hides where there is none. */
  show(zScores: readonly number[], minZ: number | null): void {
    const drawn = histogram(zScores);
    this.element.hidden = !drawn;
    if (!drawn) return;
    this.ends = [drawn.from, drawn.to];
    this.slider.min = String(drawn.from);
    this.slider.max = String(drawn.to);
    this.slider.value = String(minZ ?? drawn.from);
    const highest = Math.max(...drawn.counts);
    const width = (drawn.to - drawn.from) / drawn.counts.length;
    fill(
      this.bars,
      ...drawn.counts.map((n, i) => {
        const bar = el("span", { data: { until: String(drawn.from + width * (i + 1)) } });
        bar.style.height = n ? `${Math.max(6, (100 * n) / highest)}%` : "0";
        return bar;
      }),
    );
    this.tell();
  }

  private value(): number | null {
    const z = Number(this.slider.value);
    return z <= this.ends[0] ? null : z;
  }

  private tell(): void {
    const z = this.value();
    for (const bar of this.bars.children) {
      bar.classList.toggle("is-out", z !== null && Number((bar as HTMLElement).dataset.until) <= z);
    }
    const n = z === null ? 0 : oneIn(z);
    const rarity = z !== null && z >= 0.5 ? `, about 1 in ${n >= 1e6 ? "a million or fewer" : count(n)}` : "";
    this.said.textContent = z === null ? "all shown" : `z ≥ ${z.toFixed(1)}${rarity}`;
    this.slider.setAttribute("aria-valuetext", this.said.textContent);
  }
}
