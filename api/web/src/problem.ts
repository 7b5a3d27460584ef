/** What went wrong between the page and the service, as one kind of error. */

export class Problem extends Error {
  constructor(
    /** HTTP status; 0 where no answer came. */
    readonly status: number,
    readonly title: string,
    readonly detail: string,
    /** Seconds to wait before asking again, where the service says so. */
    readonly retryAfter: number | null = null,
  ) {
    super(`${title}: ${detail}`);
  }

  /** Whether the same question may be answered later. */
  get mayPass(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }

  get needsKey(): boolean {
    return this.status === 401;
  }
}

const TITLES: Record<number, string> = {
  401: "A key is needed",
  403: "Not allowed here",
  404: "Not found",
  413: "Too large",
  415: "Not a format that is taken",
  422: "Not understood",
  429: "Too many questions at once",
  503: "Busy",
};

/** From an answer that is not a success: RFC 9457 where the service wrote it, or whatever a proxy sent. */
export async function problemOf(response: Response): Promise<Problem> {
  const told = await response.json().catch(() => ({}));
  const seconds = Number(response.headers.get("Retry-After") ?? Number.NaN);
  const details: unknown[] = Array.isArray(told.errors) ? told.errors : [];
  const more = details.map((error) => (error as { detail?: string }).detail).filter(Boolean);
  return new Problem(
    response.status,
    TITLES[response.status] ?? told.title ?? `The service answered ${response.status}`,
    [told.detail, ...more.filter((line) => line !== told.detail)].filter(Boolean).join(" ") || response.statusText,
    Number.isFinite(seconds) ? seconds : null,
  );
}

/** Whatever was thrown, as a problem; null where a question was only called off. */
export function asProblem(error: unknown): Problem | null {
  if (error instanceof Problem) return error;
  if (error instanceof DOMException && error.name === "AbortError") return null;
  console.error(error);
  return new Problem(0, "Something went wrong in this page", error instanceof Error ? error.message : String(error));
}
