/** A browser whose every request and complaint is watched. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BrowserContext, chromium, type Page } from "playwright-core";

const FLAGS = [
  "--headless=new", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
  "--disable-sync", "--disable-default-apps", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist",
];

export interface Look {
  width: number;
  height: number;
  scheme: "light" | "dark";
  touch?: boolean;
}

export class Watched {
  readonly complaints: string[] = [];
  readonly elsewhere: string[] = [];

  private constructor(readonly context: BrowserContext, readonly page: Page, private readonly profile: string) {}

  /** Opens a browser with an empty profile; requests to other origins than that of `url` are blocked and noted. */
  static async open(url: string, look: Look): Promise<Watched> {
    const profile = mkdtempSync(join(tmpdir(), "placeprint-e2e-"));
    const context = await chromium.launchPersistentContext(profile, {
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      args: FLAGS,
      viewport: { width: look.width, height: look.height },
      colorScheme: look.scheme,
      hasTouch: look.touch ?? false,
      reducedMotion: "reduce",
    });
    const page = context.pages()[0] ?? (await context.newPage());
    page.setDefaultTimeout(20_000);
    const watched = new Watched(context, page, profile);
    const origin = new URL(url).origin;
    await context.route(/.*/, (route) => {
      const asked = route.request().url();
      const isOurs = asked.startsWith(`${origin}/`) || asked.startsWith(`blob:${origin}/`) || asked.startsWith("data:");
      if (isOurs) return route.continue();
      watched.elsewhere.push(asked);
      return route.abort();
    });
    page.on("console", (message) => ["error", "warning"].includes(message.type()) && watched.complaints.push(message.text()));
    page.on("pageerror", (error) => watched.complaints.push(`${error.message}`));
    return watched;
  }

  async close(): Promise<void> {
    await this.context.close();
    rmSync(this.profile, { recursive: true, force: true });
  }
}
