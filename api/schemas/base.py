"""What every request and every answer has in common."""

from pydantic import BaseModel, ConfigDict

UUID = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
"""What ids of photos and places look like; stores take no others."""


class Request(BaseModel):
    """Something asked: a field that is not known is an error, and so is NaN."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class Answer(BaseModel):
    """Something told. A client of an older version passes over what it does not know."""

    model_config = ConfigDict(extra="ignore", use_attribute_docstrings=True)
