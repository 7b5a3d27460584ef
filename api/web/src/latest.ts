/** Only the newest question counts: starting one calls off the one before. */
export class Latest {
  private running: AbortController | null = null;

  start(): AbortSignal {
    this.stop();
    this.running = new AbortController();
    return this.running.signal;
  }

  stop(): void {
    this.running?.abort();
    this.running = null;
  }
}

/** Calls after things have been quiet for a while. */
export function debounced(call: () => void, quietMs: number): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(call, quietMs);
  };
}
