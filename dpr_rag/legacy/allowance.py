"""How much a file may unpack to, in proportion to its size."""

from __future__ import annotations

from dpr_rag.errors import UnsafeFileError

_PER_BYTE = 16
_ALWAYS = 100_000


class Allowance:
    """What is left of the values and bytes that one file may make; references let a small file ask for any number.

    Args:
        size: Bytes of the file.
    """

    __slots__ = ("_left",)

    def __init__(self, size: int) -> None:
        self._left = _ALWAYS + _PER_BYTE * size

    def take(self, count: int) -> None:
        """Spend ``count`` values or bytes.

        Raises:
            UnsafeFileError: More than is left.
        """
        self._left -= count
        if self._left < 0:
            raise UnsafeFileError(f"unpacks to more than {_PER_BYTE} times its size, which no file of this kind does")
