/** Problems, shown where they happened, with a way on. */
import { announce } from "./announce";
import { button, el } from "./dom";
import type { Problem } from "./problem";

/** A problem in words; with a button to try again where that may help, counting down where the service says so. */
export function notice(problem: Problem, retry?: () => void): HTMLElement {
  announce(`${problem.title}. ${problem.detail}`);
  const box = el("div", { class: "notice", role: "group", "aria-label": problem.title }, el("strong", {}, problem.title), el("p", {}, problem.detail));
  if (!retry || !problem.mayPass) return box;
  const again = button("Try again", retry, { class: "button is-small" });
  box.append(again);
  if (problem.retryAfter) count(again, Math.min(120, Math.ceil(problem.retryAfter)));
  return box;
}

function count(again: HTMLButtonElement, seconds: number): void {
  const label = again.querySelector("span") as HTMLElement;
  again.disabled = true;
  const tick = () => {
    label.textContent = seconds > 0 ? `Try again in ${seconds} s` : "Try again";
    again.disabled = seconds > 0;
    seconds -= 1;
    if (seconds >= 0 && !(again.isConnected === false && seconds < -1)) setTimeout(tick, 1000);
  };
  tick();
}
