/** How the page is bundled: everything into files of the page's own origin, named by their content. */
import { defineConfig } from "vitest/config";

export default defineConfig({
  base: "./",
  build: {
    target: "es2022",
    // These know light-dark(), so that it is not lowered.
    cssTarget: ["chrome123", "edge123", "firefox120", "safari17.5"],
    // Everything is a file: data addresses would need more than the page's content policy allows.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 1600,
    reportCompressedSize: true,
  },
  server: { proxy: { "/v1": "http://127.0.0.1:8000", "/basemap.pmtiles": "http://127.0.0.1:8000" } },
  test: { include: ["src/**/*.test.ts"] },
});
