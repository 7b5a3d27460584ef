/** Line icons on a grid of 24, drawn for this page. */

const PATHS = {
  search: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM16.2 16.2 20.5 20.5",
  pin: "M12 21.5c4.6-4.9 7-8.5 7-11.5a7 7 0 1 0-14 0c0 3 2.4 6.6 7 11.5zM12 12.4a2.4 2.4 0 1 0 0-4.8 2.4 2.4 0 0 0 0 4.8z",
  photo: "M4.5 5h15A1.5 1.5 0 0 1 21 6.5v11a1.5 1.5 0 0 1-1.5 1.5h-15A1.5 1.5 0 0 1 3 17.5v-11A1.5 1.5 0 0 1 4.5 5zM3.4 17.6l5-5.4 3.9 4 2.6-2.7 5.6 4.9M15.6 10.2a1.4 1.4 0 1 0 0-2.8 1.4 1.4 0 0 0 0 2.8z",
  circle: "M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16z",
  box: "M5 5.5h14v13H5z",
  polygon: "M5 8.5 12.5 4 20 9.5 17 19 7 18z",
  close: "M6 6l12 12M18 6 6 18",
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  fit: "M4 9V4.5h4.5M20 9V4.5h-4.5M4 15v4.5h4.5M20 15v4.5h-4.5",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2.8v2M12 19.2v2M2.8 12h2M19.2 12h2M5.5 5.5l1.4 1.4M17.1 17.1l1.4 1.4M18.5 5.5l-1.4 1.4M6.9 17.1l-1.4 1.4",
  moon: "M19.8 14.6A8.2 8.2 0 0 1 9.4 4.2a8.2 8.2 0 1 0 10.4 10.4z",
  auto: "M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16zM12 4v16M12 16.5h6.6M12 12h8M12 7.5h6.6",
  key: "M14.5 9.5a4 4 0 1 0-3.2 3.9L13 15h2v2h2v2h3v-3l-5.8-5.8c.2-.2.3-.4.3-.7z",
  down: "M6 9.5l6 6 6-6",
  place: "M12 3v4M12 17v4M3 12h4M17 12h4M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8z",
  more: "M4 7h9M4 12h6M4 17h9M17 9l3 3-3 3M13 12h7",
} as const;
export type IconName = keyof typeof PATHS;

/** An icon in the color of the text around it, hidden from screen readers. */
export function icon(name: IconName): SVGSVGElement {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  for (const [attribute, value] of Object.entries({ viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true", focusable: "false" })) {
    svg.setAttribute(attribute, value);
  }
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}
