"""Closes opened stores at the end of a ``with`` block, or when opening fails halfway."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol, Self, TypeVar


class Closable(Protocol):
    """Anything with ``close``."""

    def close(self) -> None:
        """Close it."""
        ...


_Opened = TypeVar("_Opened", bound=Closable)


class Closing:
    """Closes what it opened itself, by hand or as a context manager; a copy shares it, and leaves closing to the first."""

    _opened: Closable | None

    def close(self) -> None:
        """Close the store, unless it was given open; a temporary one is gone then."""
        if self._opened is not None:
            self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def closed_on_error(opened: _Opened) -> Iterator[_Opened]:
    """Close an object if the block raises, so that no temporary folder stays behind."""
    try:
        yield opened
    except BaseException:
        opened.close()
        raise
