/** The key, for as long as the tab is open and nowhere else. */
const NAME = "placeprint-key";

export function keptKey(): string | null {
  return sessionStorage.getItem(NAME);
}

export function keepKey(key: string | null): void {
  if (key === null) sessionStorage.removeItem(NAME);
  else sessionStorage.setItem(NAME, key);
}
