"""``Shared``: objects with open resources; copying returns the object itself, and pickling is refused."""

from __future__ import annotations

from typing import Any, Self


class Shared:
    """An object that cannot be made twice of the same file or weights."""

    def __copy__(self) -> Self:
        """The same object: what it holds cannot be opened or loaded twice by copying."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Refuse to be pickled, at once and not where the copy is used.

        Raises:
            TypeError: Always, with what to do instead.
        """
        raise TypeError(self._instead_of_pickling())

    def _instead_of_pickling(self) -> str:
        raise NotImplementedError
