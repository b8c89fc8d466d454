"""Timeouts for slow clients: connections that send no headers, or do not read their response, are closed."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_HEADER_TIMEOUT, _READ_TIMEOUT = 10.0, 30.0


class TimeoutProtocol(H11Protocol):
    """uvicorn's protocol with timeouts; by itself it waits for ever for headers, and for clients that do not read."""

    header_timeout, read_timeout = _HEADER_TIMEOUT, _READ_TIMEOUT
    """Seconds for a request's headers to arrive, and for a response to be read."""
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer of the first request's headers."""
        super().connection_made(transport)
        self._start_timer()

    def data_received(self, data: bytes) -> None:
        """Receive bytes; the timer of a request's headers starts at its first byte."""
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._start_timer()
        else:
            self._stop_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._stop_timer()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Abort the connection later unless the response was read."""
        super().on_response_complete()
        if self.transport.get_write_buffer_size():
            self.loop.call_later(self.read_timeout, self._abort_unread, self.transport)

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.header_timeout, self.transport.abort)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _abort_unread(self, transport: Any) -> None:
        if transport.get_write_buffer_size():
            transport.abort()
