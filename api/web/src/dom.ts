/** Making elements. Text is always text: nothing here reads HTML. */

export type Child = Node | string | number | null | undefined | false;
type Properties<K extends keyof HTMLElementTagNameMap> = {
  [P in keyof HTMLElementTagNameMap[K]]?: HTMLElementTagNameMap[K][P];
} & { class?: string; role?: string; data?: Record<string, string> } & { [aria: `aria-${string}`]: string };

/** An element with properties, attributes (`aria-…`, `role`), data and children. */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Properties<K> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined) continue;
    if (name === "class") element.className = String(value);
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name === "role" || name.startsWith("aria-")) element.setAttribute(name, String(value));
    else Reflect.set(element, name, value);
  }
  append(element, children);
  return element;
}

export function fill(element: Element, ...children: Child[]): void {
  element.replaceChildren();
  append(element, children);
}

function append(element: Element, children: Child[]): void {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    element.append(typeof child === "number" ? String(child) : child);
  }
}

let counter = 0;
/** An id that no other element has. */
export function freshId(prefix: string): string {
  counter += 1;
  return `${prefix}-${counter}`;
}

/** A label above a field. */
export function field(label: string, input: HTMLElement, hint?: string): HTMLElement {
  input.id ||= freshId("field");
  return el("div", { class: "field" }, el("label", { htmlFor: input.id }, label), input, hint && el("p", { class: "hint" }, hint));
}

export function button(label: string, onclick: () => void, more: { class?: string; icon?: SVGElement } = {}): HTMLButtonElement {
  return el("button", { type: "button", class: more.class ?? "button", onclick }, more.icon, el("span", {}, label));
}

/** A button that shows only an icon; its name is read out and shown on hover. */
export function iconButton(name: string, icon: SVGElement, onclick: () => void, extra = ""): HTMLButtonElement {
  return el("button", { type: "button", class: `icon-button ${extra}`.trim(), title: name, "aria-label": name, onclick }, icon);
}
