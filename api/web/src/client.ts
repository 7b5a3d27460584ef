/** The service, as functions. Every question can be called off by a signal; failures are `Problem`s. */
import type {
  About,
  Bbox,
  Cells,
  Galleries,
  Gallery,
  Location,
  PlacesLikeAnswer,
  PlacesLikeRequest,
  Prior,
  RecognizeAnswer,
  RecognizeRequest,
  RegionClassifiers,
  RegionsAnswer,
  SearchAnswer,
  SearchRequest,
} from "./contract";
import { Problem, problemOf } from "./problem";

export class Client {
  constructor(private key: string | null = null) {}

  useKey(key: string | null): void {
    this.key = key;
  }

  about(): Promise<About> {
    return this.json("v1/about");
  }

  galleries(): Promise<Galleries> {
    return this.json("v1/galleries");
  }

  gallery(name: string): Promise<Gallery> {
    return this.json(`v1/galleries/${encodeURIComponent(name)}`);
  }

  cells(gallery: string, bbox: Bbox, resolution: number, signal: AbortSignal): Promise<Cells> {
    const asked = new URLSearchParams({ bbox: bbox.map((x) => x.toFixed(5)).join(","), resolution: `${resolution}` });
    return this.json(`v1/galleries/${encodeURIComponent(gallery)}/h3?${asked}`, { signal });
  }

  search(gallery: string, request: SearchRequest, signal: AbortSignal): Promise<SearchAnswer> {
    return this.post(`v1/galleries/${encodeURIComponent(gallery)}/search`, request, signal);
  }

  /** Photos of the very place of a photo. */
  recognize(gallery: string, request: RecognizeRequest, signal: AbortSignal): Promise<RecognizeAnswer> {
    return this.post(`v1/galleries/${encodeURIComponent(gallery)}/recognize`, request, signal);
  }

  /** Photos of the place where a walk has come to. */
  recognizeWalk(gallery: string, photos: readonly Blob[], limit: number, signal: AbortSignal): Promise<RecognizeAnswer> {
    return this.json(`v1/galleries/${encodeURIComponent(gallery)}/recognize/walk?limit=${limit}`, { method: "POST", body: bodyOf(photos), signal });
  }

  /** The photo beside its first answer, with what decided it. */
  async matchMap(gallery: string, request: RecognizeRequest, signal: AbortSignal): Promise<Blob> {
    return (await this.ask(`v1/galleries/${encodeURIComponent(gallery)}/recognize/match-map`, posted(request, signal))).blob();
  }

  /** Places whose map is like that of some places. */
  placesLike(gallery: string, request: PlacesLikeRequest, signal: AbortSignal): Promise<PlacesLikeAnswer> {
    return this.post(`v1/galleries/${encodeURIComponent(gallery)}/places/like`, request, signal);
  }

  /** Where photos of one place were taken. One is sent as it is, several as a form. */
  locate(gallery: string, photos: readonly Blob[], prior: Prior, signal: AbortSignal): Promise<Location> {
    const asked = new URLSearchParams({ prior, surface: "true", n_evidence: "12" });
    return this.json(`v1/galleries/${encodeURIComponent(gallery)}/geolocate?${asked}`, { method: "POST", body: bodyOf(photos), signal });
  }

  /** The region classifiers that may be asked. */
  regions(): Promise<RegionClassifiers> {
    return this.json("v1/regions");
  }

  /** Which region photos of one place were taken in. */
  predictRegion(classifier: string, photos: readonly Blob[], limit: number, signal: AbortSignal): Promise<RegionsAnswer> {
    return this.json(`v1/regions/${encodeURIComponent(classifier)}?limit=${limit}`, { method: "POST", body: bodyOf(photos), signal });
  }

  /** The bytes of a small picture, from the path that an answer told. */
  async thumbnail(path: string, sidePx: number, signal: AbortSignal): Promise<Blob> {
    const address = new URL(path, document.baseURI);
    if (address.origin !== location.origin) throw new Problem(0, "Not shown", "The picture lies elsewhere.");
    address.searchParams.set("side_px", String(sidePx));
    return (await this.ask(address.href, { signal })).blob();
  }

  private post<T>(path: string, body: unknown, signal: AbortSignal): Promise<T> {
    return this.json(path, posted(body, signal));
  }

  private async json<T>(path: string, init: RequestInit = {}): Promise<T> {
    return (await this.ask(path, init)).json() as Promise<T>;
  }

  private async ask(path: string, init: RequestInit): Promise<Response> {
    const headers = new Headers(init.headers);
    if (this.key) headers.set("Authorization", `Bearer ${this.key}`);
    let response: Response;
    try {
      response = await fetch(new URL(path, document.baseURI), { ...init, headers, credentials: "same-origin" });
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") throw error;
      throw new Problem(0, "The service cannot be reached", "Check the network, or whether the service still runs.");
    }
    if (!response.ok) throw await problemOf(response);
    return response;
  }
}

function posted(body: unknown, signal: AbortSignal): RequestInit {
  return { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal };
}

/** Photos of one place as a body: one as it is, several as a form. */
function bodyOf(photos: readonly Blob[]): Blob | FormData {
  if (photos.length === 1) return photos[0];
  const form = new FormData();
  for (const [i, photo] of photos.entries()) form.append("images", photo, `photo-${i + 1}`);
  return form;
}
