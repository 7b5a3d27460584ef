"""The OpenAPI document as it is committed, so that a change of the interface is seen in review.

``python -m placeprint.api.openapi > api/openapi.json``, or ``make openapi``.
"""

import json
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from .links import link
from .serving.problems import SCHEMA


def described(app: FastAPI) -> dict[str, Any]:
    """The document of an application, with what its problems look like."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, summary=app.summary, description=app.description,
            routes=app.routes, license_info=app.license_info,
        )  # fmt: skip
        schemas = document["components"]["schemas"]
        schemas["Problem"] = SCHEMA
        for unused in ("HTTPValidationError", "ValidationError"):  # FastAPI's own form of problems
            schemas.pop(unused, None)
        link(document)
        app.openapi_schema = document
    return app.openapi_schema


def openapi_text() -> str:
    """The document, as a file has it."""
    from .app import create_app
    from .serving.service_settings import read_settings

    document = create_app(read_settings()).openapi()
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(openapi_text(), end="")
