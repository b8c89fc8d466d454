"""The errors of a file that is refused: unsafe, or damaged; each names the file."""

from __future__ import annotations

from pathlib import Path

from dpr_rag.errors import CorpusError, UnsafeFileError
from dpr_rag.faces import message_of

DAMAGE = (AttributeError, EOFError, LookupError, TypeError, ValueError, OverflowError, MemoryError, RecursionError)
"""What Python and numpy raise over the content of a damaged file."""


def damaged(path: Path, error: object) -> CorpusError:
    """Return the error for a file that is truncated, damaged or of another kind."""
    return CorpusError(f"{path}: truncated, damaged or not a file of this kind ({error!s:.120}); fetch it again")


def named(error: UnsafeFileError, path: Path) -> UnsafeFileError:
    """Return the error with the file's name before its message."""
    return error if message_of(error).startswith(str(path)) else UnsafeFileError(f"{path}: " + message_of(error))
