/** The place where photos are chosen or dropped. */
import { el, freshId } from "./dom";
import { icon } from "./icons";

export function photoDrop(given: { title: string; hint: string; accept: string; isMultiple: boolean; onFiles: (files: File[]) => void }): HTMLElement {
  const input = el("input", { type: "file", accept: given.accept, multiple: given.isMultiple, class: "drop-input", id: freshId("photos") });
  input.onchange = () => {
    given.onFiles([...(input.files ?? [])]);
    input.value = "";
  };
  return el(
    "div",
    { class: "drop" },
    input,
    el("label", { htmlFor: input.id, class: "drop-face" }, icon("photo"), el("strong", {}, given.title), el("span", {}, given.hint)),
  );
}
