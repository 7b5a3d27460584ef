/** Where a search is put together: words typed, photos chosen. */
import type { About, Gallery } from "./contract";
import { el, freshId } from "./dom";
import { icon } from "./icons";
import { formatsOf } from "./photo_in";

export class Composer {
  readonly element: HTMLElement;
  private readonly input = el("input", { type: "search", class: "composer-text", autocomplete: "off", maxLength: 1000 });

  constructor(about: About, gallery: Gallery, private readonly onText: (typed: string) => void, onFiles: (files: File[]) => void) {
    this.input.setAttribute("aria-label", "Look for what is seen in photos");
    this.input.placeholder = gallery.model.takes_text ? "a beach at dusk" : "This gallery's model knows no words";
    this.input.disabled = !gallery.model.takes_text;
    const files = el("input", { type: "file", class: "drop-input", accept: [...formatsOf(about), "image/*"].join(","), multiple: true, id: freshId("query") });
    files.onchange = () => {
      onFiles([...(files.files ?? [])]);
      files.value = "";
    };
    const photo = el("label", { class: "composer-photo", htmlFor: files.id, title: "Search by a photo" }, icon("photo"), el("span", { class: "said-only" }, "Search by a photo"));
    const go = el("button", { type: "submit", class: "composer-go", "aria-label": "Search", title: "Search" }, icon("search"));
    const hint = gallery.model.takes_text ? "Words, or a photo dropped anywhere or pasted. A minus before words leads away from them." : "Drop a photo anywhere, or paste one.";
    this.element = el(
      "form",
      { class: "composer", role: "search" },
      el("div", { class: "composer-row" }, this.input, files, photo, go),
      el("p", { class: "hint" }, hint),
    );
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      this.onText(this.input.value);
      this.input.value = "";
    });
  }

  /** What is typed and not yet searched for. */
  get typed(): string {
    return this.input.value;
  }
}
