"""What the service counts and times, for Prometheus. Nothing here tells of persons or places."""

from prometheus_client import Counter, Gauge, Histogram

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

REQUESTS = Counter("placeprint_http_requests", "Requests answered", ("method", "route", "status"))
REQUEST_SECONDS = Histogram(
    "placeprint_http_request_seconds",
    "From the first byte of a request to its answer",
    ("route",),
    buckets=_FAST,
)
QUEUE_SECONDS = Histogram("placeprint_queue_seconds", "Waiting for the model", buckets=_FAST)
DECODE_SECONDS = Histogram("placeprint_decode_seconds", "Decoding one photo, waiting included", buckets=_FAST)
INFERENCE_SECONDS = Histogram("placeprint_inference_seconds", "One batch through a model", buckets=_FAST)
BATCH_SIZE = Histogram(
    "placeprint_batch_size", "Inputs that went through a model together", buckets=(1, 2, 4, 8, 16, 32, 64)
)
QUEUE_DEPTH = Gauge("placeprint_queue_depth", "Questions that wait for the model")
SEARCH_SECONDS = Histogram(
    "placeprint_search_seconds", "One search in a gallery's store", ("filter",), buckets=_FAST
)
LOCATE_SECONDS = Histogram("placeprint_locate_seconds", "From an embedding to a location", buckets=_FAST)
PHOTOS = Gauge("placeprint_photos", "Photos in a gallery", ("gallery",))
INGEST_FAILURES = Counter("placeprint_ingest_failures", "Photos that could not be indexed", ("reason",))
DECODE_FAILURES = Counter("placeprint_decode_failures", "Photos sent that could not be decoded", ("kind",))
DECODER_CRASHES = Counter("placeprint_decoder_crashes", "Decoding processes that a photo ended")
REFUSED = Counter("placeprint_refused", "Requests refused", ("reason",))
READY = Gauge("placeprint_ready", "Whether questions can be asked")
JOBS = Gauge("placeprint_jobs", "Jobs by what became of them", ("status",))
