"""Whether the file at a store's path is still the one that was opened."""

from __future__ import annotations

from pathlib import Path

from dpr_rag.errors import StoreReplacedError
from dpr_rag.faces import ByFace
from dpr_rag.storage.place import Identity, Look, identity_of, look_of, state_alone
from dpr_rag.storage.state import State


class Watch:
    """Notices another store, or an earlier copy, in the place of the one that was opened.

    Args:
        path: The store file.

    Attributes:
        identity: Device and inode of the file that was opened; None before it is.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.identity: Identity | None = None
        self._look: Look | None = None
        self._alone: State | None = None

    def begin(self, before: Identity | None) -> None:
        """Start to watch the opened file; ``before`` is the identity of the file at its path before it was opened.

        Raises:
            StoreReplacedError: It was replaced while it was opened.
        """
        self._look, self._alone = look_of(self._path), state_alone(self._path)
        self.identity = identity_of(self._path) if before is None else before
        if self._look is None or self._look.identity != self.identity:
            raise self._replaced()

    def refuse_replaced(self) -> None:
        """Refuse to go on if another store, or an earlier copy, is at the path now.

        A look at the file costs microseconds. Where it was written since the last one, its record is read, too: its own log
        only brings that further.

        Raises:
            StoreReplacedError: Something else is there, or nothing.
        """
        look = look_of(self._path)
        if look == self._look:
            return
        if look is None or look.identity != self.identity:
            raise self._replaced()
        alone = state_alone(self._path)
        if alone is not None and self._alone is not None and alone.follows(self._alone) is False:
            raise self._replaced()
        if alone is not None:  # else the log is being written back at this moment
            self._look, self._alone = look, alone

    def _replaced(self) -> StoreReplacedError:
        return StoreReplacedError(
            f"{self._path.parent} has been replaced or removed since it was opened; "
            + ByFace(
                "close it here and open it again",
                page="end dpr-rag and start it again",
            )
        )
