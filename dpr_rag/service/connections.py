"""Timeouts for slow clients: connections that send no headers, or do not read their response, are closed."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_ARRIVING, _READING = 10.0, 30.0


class PatientProtocol(H11Protocol):
    """uvicorn's protocol, which by itself waits for headers and for readers for ever."""

    arriving, reading = _ARRIVING, _READING
    """Seconds for the headers of a request to come, and for an answer to be read."""
    _until: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Take bytes; the time for a request's headers runs from its first byte."""
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._watch()
        else:
            self._relax()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._relax()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """See to it that the answer is read."""
        super().on_response_complete()
        if self.transport.get_write_buffer_size():
            self.loop.call_later(self.reading, self._give_up, self.transport)

    def _watch(self) -> None:
        if self._until is None:
            self._until = self.loop.call_later(self.arriving, self.transport.abort)

    def _relax(self) -> None:
        if self._until is not None:
            self._until.cancel()
            self._until = None

    def _give_up(self, transport: Any) -> None:
        if transport.get_write_buffer_size():
            transport.abort()
