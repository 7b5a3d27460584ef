/** Starts the page: what the service is, a key if one is needed, the galleries. */
import "@fontsource-variable/figtree/index.css";
import "./style/tokens.css";
import "./style/frame.css";
import "./style/parts.css";
import "./style/map.css";
import { Client } from "./client";
import type { About } from "./contract";
import { el, fill, iconButton } from "./dom";
import { icon } from "./icons";
import { keyForm } from "./key_form";
import { notice } from "./notice";
import { Page } from "./page";
import { asProblem, type Problem } from "./problem";
import { keepKey, keptKey } from "./session";
import { applyTheme, nextTheme, theme } from "./theme";

const ICONS = { auto: "auto", light: "sun", dark: "moon" } as const;
const client = new Client(keptKey());
const panel = document.getElementById("panel") as HTMLElement;

applyTheme();
themeButton();
void start();

async function start(): Promise<void> {
  fill(panel, el("div", { class: "working", role: "status" }, el("span", { class: "spinner" }), "Opening …"));
  try {
    const about = await client.about();
    if (about.needs_key && !keptKey()) return askKey(about, null);
    await enter(about);
  } catch (error) {
    const problem = asProblem(error);
    if (problem) fill(panel, el("div", { class: "view" }, notice(problem, () => void start())));
  }
}

async function enter(about: About): Promise<void> {
  try {
    const { galleries, n_unavailable } = await client.galleries();
    if (galleries.length) return void new Page(about, client, galleries);
    const why = n_unavailable ? `${n_unavailable} exist and cannot be opened; the service's log says why.` : "Make one with: placeprint index FOLDER --gallery NAME";
    fill(panel, el("div", { class: "view" }, el("div", { class: "refused" }, el("h2", {}, "No gallery is served"), el("p", {}, why))));
  } catch (error) {
    const problem = asProblem(error);
    if (!problem) return;
    if (problem.needsKey || (problem.status === 403 && about.needs_key)) {
      keepKey(null);
      return askKey(about, problem);
    }
    throw problem;
  }
}

function askKey(about: About, refused: Problem | null): void {
  const form = keyForm(refused, (key) => {
    client.useKey(key);
    keepKey(key);
    fill(panel, el("div", { class: "working", role: "status" }, el("span", { class: "spinner" }), "Opening …"));
    enter(about).catch((error) => {
      const problem = asProblem(error);
      if (problem) fill(panel, el("div", { class: "view" }, notice(problem, () => void start())));
    });
  });
  fill(panel, form);
  form.querySelector("input")?.focus();
}

function themeButton(): void {
  const holder = document.getElementById("theme") as HTMLElement;
  const draw = () => {
    const said = { auto: "as the system", light: "light", dark: "dark" }[theme()];
    fill(holder, iconButton(`Colors: ${said}. Change`, icon(ICONS[theme()]), () => {
      nextTheme();
      draw();
      holder.querySelector("button")?.focus();
    }));
  };
  draw();
}
