"""What leads on to what: OpenAPI links from what an answer names to what can be asked about it.

A reader of the document sees where the name of a gallery or the id of a photo comes from, and a
program that tries the interface out asks in an order that makes sense.
"""

import re
from typing import Any

_GALLERY = {"gallery": "$request.path.gallery"}
_NEIGHBOR = {**_GALLERY, "id": "$response.body#/neighbors/0/id"}

NAMES: dict[tuple[str, str], dict[str, str]] = {
    ("get", "/v1/galleries"): {"gallery": "$response.body#/galleries/0/name"},
    ("post", "/v1/galleries"): {"gallery": "$response.body#/name"},
    ("get", "/v1/galleries/{gallery}/photos"): {**_GALLERY, "id": "$response.body#/photos/0/id"},
    ("post", "/v1/galleries/{gallery}/photos"): {**_GALLERY, "id": "$response.body#/ids/0"},
    ("post", "/v1/galleries/{gallery}/search"): _NEIGHBOR,
    ("post", "/v1/galleries/{gallery}/search/image"): _NEIGHBOR,
    ("post", "/v1/galleries/{gallery}/recognize"): _NEIGHBOR,
    ("post", "/v1/galleries/{gallery}/recognize/walk"): _NEIGHBOR,
    ("post", "/v1/galleries/{gallery}/geolocate"): {**_GALLERY, "id": "$response.body#/evidence/0/id"},
    ("get", "/v1/jobs"): {"id": "$response.body#/jobs/0/id"},
    ("post", "/v1/jobs"): {"id": "$response.body#/id"},
    ("get", "/v1/regions"): {"classifier": "$response.body#/classifiers/0/name"},
}
"""Where an operation's answer has the parameters of other operations' paths."""


def link(document: dict[str, Any]) -> None:
    """Add to a document's answers a link to every operation whose path has just what they name."""
    for (verb, path), names in NAMES.items():
        answers = document["paths"][path][verb]["responses"]
        (good,) = (answer for status, answer in answers.items() if status.startswith("2"))
        good["links"] = {
            operation["operationId"]: {"operationId": operation["operationId"], "parameters": names}
            for other, verbs in document["paths"].items()
            if set(re.findall(r"{(\w+)}", other)) == set(names)
            for operation in verbs.values()
        }
