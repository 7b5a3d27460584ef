/** Small pictures, fetched with the key when they come into view; few at a time, the latest kept. */
import type { Client } from "./client";
import { el } from "./dom";

const AT_ONCE = 6;
const KEPT = 400;

export class Thumbnails {
  private readonly known = new Map<string, Promise<string>>();
  private waiting: (() => void)[] = [];
  private nRunning = 0;
  private readonly wanted = new WeakMap<Element, () => void>();
  private readonly watcher = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        this.watcher.unobserve(target);
        this.wanted.get(target)?.();
      }
    },
    { rootMargin: "200px" },
  );

  constructor(private readonly client: Client) {}

  /** A picture that loads when it is seen; a quiet stand-in where there is none. */
  picture(path: string | null | undefined, alt: string, sidePx = 256): HTMLElement {
    const frame = el("span", { class: "picture is-loading" });
    const missing = () => {
      frame.className = "picture is-missing";
      frame.append(el("span", {}, "no picture"));
    };
    if (!path) {
      missing();
      return frame;
    }
    this.wanted.set(frame, () => {
      this.address(path, sidePx).then((src) => {
        const image = el("img", { src, alt, decoding: "async", draggable: false });
        image.onload = () => frame.classList.remove("is-loading");
        frame.append(image);
      }, missing);
    });
    this.watcher.observe(frame);
    return frame;
  }

  private address(path: string, sidePx: number): Promise<string> {
    const name = `${path} ${sidePx}`;
    const known = this.known.get(name);
    if (known) return known;
    const asked = this.turn().then(async () => {
      try {
        return URL.createObjectURL(await this.client.thumbnail(path, sidePx, AbortSignal.timeout(30_000)));
      } finally {
        this.nRunning -= 1;
        this.waiting.shift()?.();
      }
    });
    this.known.set(name, asked);
    asked.catch(() => this.known.delete(name));
    this.forget();
    return asked;
  }

  private async turn(): Promise<void> {
    if (this.nRunning >= AT_ONCE) await new Promise<void>((go) => this.waiting.push(go));
    this.nRunning += 1;
  }

  private forget(): void {
    while (this.known.size > KEPT) {
      const [name, address] = this.known.entries().next().value as [string, Promise<string>];
      this.known.delete(name);
      address.then(URL.revokeObjectURL, () => {});
    }
  }
}
