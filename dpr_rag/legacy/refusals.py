"""The errors of a file that is refused: unsafe, or damaged; each names the file."""

from __future__ import annotations

from pathlib import Path

from dpr_rag.errors import CorpusError, UnsafeFileError
from dpr_rag.faces import message_of

DAMAGE = (AttributeError, EOFError, LookupError, TypeError, ValueError, OverflowError, MemoryError, RecursionError)
"""What Python and numpy raise over the content of a damaged file."""
TRUSTED = "Use a file from a trusted source, converted to safetensors or JSON there"
"""What to do about a file that is unsafe."""


def damaged(path: Path, error: object) -> CorpusError:
    """Return the error for a file that is truncated, damaged or of another kind."""
    return CorpusError(f"{path}: truncated, damaged or not a file of this kind ({error!s:.120}); fetch it again")


def named(error: UnsafeFileError, path: Path, remedy: str = TRUSTED) -> UnsafeFileError:
    """Return the error with the file's name before its message and the remedy behind it; once for each error."""
    said = message_of(error)
    return error if said.startswith(f"{path}: ") else UnsafeFileError(f"{path}: " + said + f". {remedy}")
