"""HTTP as uvicorn speaks it, with an end to waiting for the header of a request.

uvicorn has a time for connections that rest between two requests and none for those on which a header
never ends: one byte a second holds a connection, and one of few, for ever. Bodies have their time in
`door`.
"""

import asyncio
import json
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from . import metrics
from .problems import MEDIA_TYPE

HEADER_WITHIN_S = 10.0


class TimedProtocol(H11Protocol):
    """A connection that is closed when the header of a request has not come in time.

    The time runs from the connection, and on a connection that was used before from the first byte of
    the next header.
    """

    header_within_s = HEADER_WITHIN_S
    _clock: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first header."""
        super().connection_made(transport)
        self._start_clock()

    def data_received(self, data: bytes) -> None:
        """Take in what came."""
        super().data_received(data)
        self._look_at_clock()

    def on_response_complete(self) -> None:
        """Go on to the next request, of which a part may have come already."""
        super().on_response_complete()
        self._look_at_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._stop_clock()
        super().connection_lost(exc)

    def _look_at_clock(self) -> None:
        if self.conn.their_state is not h11.IDLE:  # a header is there
            self._stop_clock()
        elif self._clock is None and self.conn.trailing_data[0]:
            self._start_clock()

    def _start_clock(self) -> None:
        self._clock = self.loop.call_later(self.header_within_s, self._give_up)

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _give_up(self) -> None:
        self._clock = None
        if self.transport.is_closing() or self.conn.their_state is not h11.IDLE:
            return
        if self.conn.trailing_data[0]:  # who sent nothing at all has asked nothing
            metrics.REFUSED.labels("slow").inc()
            self.transport.write(self._too_slow())
        self.transport.close()

    def _too_slow(self) -> bytes:
        status = HTTPStatus.REQUEST_TIMEOUT
        detail = f"the header of the request did not come within {self.header_within_s:g} s"
        body = json.dumps(
            {
                "type": "urn:placeprint:SlowHeader",
                "title": status.phrase,
                "status": int(status),
                "detail": detail,
            }
        ).encode()
        headers = [
            ("Content-Type", MEDIA_TYPE),
            ("Content-Length", str(len(body))),
            ("Connection", "close"),
        ]
        parts = [
            h11.Response(status_code=status, headers=headers, reason=status.phrase.encode()),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ]
        return b"".join(self.conn.send(part) or b"" for part in parts)
