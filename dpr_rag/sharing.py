"""``Shared``: objects with open resources, which copying returns as they are, and pickling refuses."""

from __future__ import annotations

from typing import Any, Self


class Shared:
    """An object whose files or weights cannot be opened or loaded twice."""

    def __copy__(self) -> Self:
        """Return the object itself."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Refuse to be pickled, now instead of where the copy is used.

        Raises:
            TypeError: Always, with what to do instead.
        """
        raise TypeError(self._instead_of_pickling())

    def _instead_of_pickling(self) -> str:
        raise NotImplementedError
