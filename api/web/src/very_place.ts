/** The switch for the very place of a photo; how sure its answer is, and on request what decided it. */
import { announce } from "./announce";
import type { Client } from "./client";
import type { RecognizeAnswer, RecognizeRequest } from "./contract";
import { button, el, fill } from "./dom";
import { Latest } from "./latest";
import { notice } from "./notice";
import { asProblem } from "./problem";
import { doubtOf } from "./recognition";

const COLORS = "On the left your photo, on the right the first answer. Vermilion was found there better than in the other answers, blue worse.";

export class VeryPlace {
  readonly element: HTMLElement;
  /** Below the heading of an answer. */
  readonly outcome = el("div", { class: "very-place-outcome" });
  private readonly input = el("input", { type: "checkbox", role: "switch" });
  private readonly latest = new Latest();
  private address = "";

  constructor(
    private readonly client: Client,
    private readonly gallery: string,
    onChange: (isOn: boolean) => void,
    private readonly onLookAgain: () => void,
  ) {
    this.input.onchange = () => onChange(this.input.checked);
    const said = el("span", {}, el("strong", {}, "The very place"), el("small", {}, "What was taken at this spot, not what looks like it"));
    this.element = el("label", { class: "check very-place" }, this.input, said);
    this.element.hidden = true;
  }

  show(isOffered: boolean, isOn: boolean): void {
    this.element.hidden = !isOffered;
    this.input.checked = isOn;
  }

  /** Takes away what was said of another answer. */
  clear(): void {
    this.latest.stop();
    if (this.address) URL.revokeObjectURL(this.address);
    this.address = "";
    fill(this.outcome);
  }

  /** Says how sure an answer is; returns the words. */
  tell(answer: RecognizeAnswer, asked: RecognizeRequest, said = doubtOf(answer)): string {
    this.clear();
    const mayDraw = answer.may_look_again && answer.neighbors.length > 0 && !(answer.looked_again && !answer.n_looked_at);
    const picture = el("div", { class: "match" });
    const show = button("Show what decided it", () => void this.draw(picture, asked), { class: "button is-small is-quiet" });
    const again = button("Look again all the same", this.onLookAgain, { class: "button is-small is-quiet" });
    const mayLook = answer.may_look_again && !answer.looked_again && answer.neighbors.length > 1;
    if (mayDraw) fill(picture, el("div", { class: "row" }, show, mayLook && again));
    fill(this.outcome, said && el("p", { class: "doubt" }, said), picture);
    return said;
  }

  private async draw(picture: HTMLElement, asked: RecognizeRequest): Promise<void> {
    const hadFocus = picture.contains(document.activeElement);
    fill(picture, el("p", { class: "working", role: "status" }, el("span", { class: "spinner" }), "Comparing …"));
    try {
      const blob = await this.client.matchMap(this.gallery, asked, this.latest.start());
      this.address = URL.createObjectURL(blob);
      const image = el("img", { src: this.address, alt: `What decided the first answer. ${COLORS}` });
      const figure = el("figure", { class: "match-picture", tabIndex: -1 }, image, el("figcaption", { class: "hint" }, COLORS));
      fill(picture, figure);
      announce("The picture is there.");
      if (hadFocus) figure.focus({ preventScroll: true });
    } catch (error) {
      const problem = asProblem(error);
      if (problem) fill(picture, notice(problem, () => void this.draw(picture, asked)));
    }
  }
}
