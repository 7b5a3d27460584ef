/** Asks for the key that the operator gave. */
import { button, el, field } from "./dom";
import { icon } from "./icons";
import { notice } from "./notice";
import type { Problem } from "./problem";

export function keyForm(refused: Problem | null, onKey: (key: string) => void): HTMLElement {
  const input = el("input", { type: "password", autocomplete: "off", required: true, spellcheck: false });
  const form = el(
    "form",
    { class: "gate" },
    el("h2", {}, "A key is needed"),
    el("p", {}, "This service answers to those who have a key from its operator. The key is kept in this tab until it is closed, and nowhere else."),
    refused && notice(refused),
    field("Key", input),
    button("Open", () => form.requestSubmit(), { icon: icon("key") }),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (input.value.trim()) onKey(input.value.trim());
  });
  return form;
}
