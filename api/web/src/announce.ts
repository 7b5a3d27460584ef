/** Says things to screen readers, politely: after what is being read. */
const region = document.getElementById("announcements");

export function announce(text: string): void {
  if (!region) return;
  // The same text twice is not a change; an emptied region is.
  region.textContent = "";
  requestAnimationFrame(() => {
    region.textContent = text;
  });
}
