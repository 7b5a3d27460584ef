/** Photos that the user gives: chosen, dropped or pasted. They stay in this page until they are asked about. */
import type { About } from "./contract";

/** Longest side that a photo keeps when it must be made smaller to be sent. */
const SIDE_PX = 2048;

export interface PhotoIn {
  name: string;
  blob: Blob;
  /** For showing it here; an object URL. */
  url: string;
  /** What was done to it before sending, if anything. */
  note: string;
}

/**
 * A photo ready to send, or the reason why it is none.
 *
 * One that is too large, or in a format that the browser reads and the service does not take, is drawn again
 * as a JPEG of 2,048 px; its metadata is lost by that.
 */
export async function readPhoto(file: File, about: About, overhead = 1): Promise<PhotoIn | string> {
  const name = file.name || "pasted photo";
  const isTaken = formatsOf(about).has(file.type);
  const isSmall = file.size * overhead < about.max_body_mb * 1e6 * 0.98;
  if (isTaken && isSmall) return { name, blob: file, url: URL.createObjectURL(file), note: "" };
  if (!file.type.startsWith("image/") && file.type !== "") return `${name} is not a photo.`;
  const blob = await redrawn(file);
  if (!blob) return `${name} is in a format that neither this browser reads nor the service takes (${about.formats.join(", ")}).`;
  const note = isTaken ? "made smaller before sending" : "turned into a JPEG before sending";
  return { name, blob, url: URL.createObjectURL(blob), note };
}

export function formatsOf(about: About): Set<string> {
  return new Set(about.formats.map((format) => `image/${format.toLowerCase()}`));
}

/** Files among what was dropped or pasted. */
export function filesIn(transfer: DataTransfer | null): File[] {
  return [...(transfer?.files ?? [])];
}

/** Bytes in base64, as a data address. */
export function dataUrl(blob: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}

async function redrawn(file: File): Promise<Blob | null> {
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) return null;
  const scale = Math.min(1, SIDE_PX / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  canvas.getContext("2d")?.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
}
