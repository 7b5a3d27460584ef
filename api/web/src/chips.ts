/** The terms of a search, each with its sign and weight. */
import { el, fill, iconButton } from "./dom";
import { icon } from "./icons";
import type { Thumbnails } from "./thumbnails";
import { nameOf, type Term } from "./terms";

const MAX_WEIGHT = 10;

export class Chips {
  readonly element = el("ul", { class: "chips", "aria-label": "What is looked for" });

  constructor(
    private readonly thumbnails: Thumbnails,
    private readonly onChange: (terms: Term[]) => void,
  ) {}

  show(terms: readonly Term[]): void {
    const hadFocus = this.element.contains(document.activeElement);
    const focused = document.activeElement?.closest("[data-part]")?.getAttribute("data-part");
    fill(this.element, ...terms.map((term, i) => this.chip(terms, term, i)));
    this.element.hidden = !terms.length;
    // Redrawing must not throw a keyboard user back to the top of the page.
    const next = this.element.querySelector<HTMLElement>(focused ? `[data-part="${focused}"]` : "button");
    if (hadFocus) (next ?? document.querySelector<HTMLElement>(".composer-text"))?.focus();
  }

  private chip(terms: readonly Term[], term: Term, i: number): HTMLElement {
    const name = nameOf(term);
    const change = (part: Partial<Term>) => this.onChange(terms.map((each, j) => (j === i ? ({ ...each, ...part } as Term) : each)));
    const sign = iconButton(
      term.isMinus ? `Look for ${name} instead of away from it` : `Look away from ${name}`,
      icon(term.isMinus ? "minus" : "plus"),
      () => change({ isMinus: !term.isMinus }),
      "chip-sign",
    );
    sign.dataset.part = `sign-${i}`;
    const weight = el("input", {
      type: "number",
      class: "chip-weight",
      min: "0.1",
      max: String(MAX_WEIGHT),
      step: "0.1",
      value: String(term.weight),
      title: "Weight beside the other terms",
      "aria-label": `Weight of ${name}`,
      data: { part: `weight-${i}` },
      onchange: () => change({ weight: Math.min(MAX_WEIGHT, Math.max(0.1, Number(weight.value) || 1)) }),
    });
    const remove = iconButton(`Remove ${name}`, icon("close"), () => this.onChange(terms.filter((_, j) => j !== i)), "chip-remove");
    return el(
      "li",
      { class: `chip ${term.isMinus ? "is-minus" : ""}` },
      sign,
      this.picture(term),
      el("span", { class: "chip-name", title: name }, name, term.kind === "image" && term.note && el("small", {}, ` (${term.note})`)),
      terms.length > 1 && weight,
      remove,
    );
  }

  private picture(term: Term): HTMLElement | null {
    if (term.kind === "image") return el("img", { src: term.url, alt: "", class: "chip-picture" });
    if (term.kind !== "photo") return null;
    const picture = this.thumbnails.picture(term.thumbnail, "");
    picture.classList.add("chip-picture");
    return picture;
  }
}
