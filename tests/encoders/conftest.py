"""The processes that decode photos from strangers."""

from collections.abc import Iterator

import pytest
from upload_fakes import LIMITS, SMALL

from placeprint.encoders.decoding import DecodePool


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodePool]:
    with DecodePool(SMALL, workers=1, limits=LIMITS) as pool:
        yield pool
