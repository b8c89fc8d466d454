"""The exception tree; every message names the value, what was expected, and what to do."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from dpr_rag.faces import ByFace, each_face

_RESTORE = "restore a backup with: dpr-rag restore COPY DIR; where there is none, dpr-rag recover DIR NEW gets out what is whole"
RESTORE = ByFace(
    "restore a backup: PassageStore.restore(copy, path), or dpr-rag restore COPY DIR; where there is none, "
    "PassageStore.recover(path, new), or dpr-rag recover DIR NEW, gets out what is whole",
    cli=_RESTORE,
    page=_RESTORE,
)
"""Advice for a store whose database is damaged."""
MAKE_ONE = "check the path" + ByFace(
    ", or make one with create=True", cli=", or make one with: dpr-rag index CORPUS --store DIR", page=""
)
"""Advice where there is no store."""
OPTIMIZE_BUILDS = ByFace("optimize() builds", cli="dpr-rag optimize DIR builds", page="dpr-rag optimize DIR builds")
"""Advice to rebuild what is derived from the passages, to be followed by what is built."""
CONVERTING = ByFace(
    ", or all of the metadata with dpr_rag.to_json_metadata(metadata), as vector stores of the frameworks do with "
    "on_metadata='convert'",
    cli="",
    page="",
)
"""Advice for metadata that are not JSON."""
DATES = ByFace(", dates for example with .isoformat()", cli=", dates for example to strings", page="")
"""Advice for a value that is not JSON."""
NAME_ENCODER = ByFace(
    "pass encoder= to PassageStore.open, or search with vectors",
    cli="name one with --model",
    page="ask by words, which is bm25 among the settings",
)
"""Advice for questions to a store that was opened without an encoder."""
OTHER_ENCODER = ByFace(
    "open it with that encoder, or reencode() it",
    cli="name that encoder with --model, or encode it anew with: dpr-rag reencode DIR --model MODEL",
    page="end dpr-rag and name that model with --model",
)
"""Advice for a store that another encoder filled."""
LIMIT_ADVICE = MappingProxyType(
    {
        errno.EMFILE: "close some files, or raise the limit of this process (ulimit -n)",
        errno.ENFILE: "close some files, or raise the limit of this system (fs.file-max)",
        errno.ENOMEM: "free some memory, or raise the limit of this process (ulimit -v)",
    }
)
"""Advice for each ``errno`` that says that a limit on open files or memory is reached."""
_BREAK = re.compile(r"\s*[\r\n]+\s*")


def install(extra: str) -> str:
    """Advice to install an extra, from a checkout, as dpr-rag is on no package index.

    Args:
        extra: Name of the extra in ``pyproject.toml``.
    """
    return f"in a checkout of dpr-rag, run: pip install -c constraints.txt '.[{extra}]'"


def nearest(name: object, known: Iterable[str], synonyms: Mapping[str, str] = MappingProxyType({})) -> str:
    """The end of a message about an unknown name: the right name, or similar names; empty if there is none.

    Args:
        name: The unknown name; for a value that is not a string the result is empty.
        known: The names that exist.
        synonyms: Other libraries' names in lower case, and the names used here.
    """
    if not isinstance(name, str):
        return ""
    if right := synonyms.get(name.lower()):
        return f"; here it is {right!r}"
    from difflib import get_close_matches

    similar = get_close_matches(name.lower(), known, 3, 0.7)
    return f"; did you mean {' or '.join(map(repr, similar))}?" if similar else ""


def unknown(
    name: str,
    value: object,
    known: Iterable[str],
    synonyms: Mapping[str, str] = MappingProxyType({}),
    *,
    more: str = "",
) -> str:
    """The message about a value that is not one of the known ones.

    Args:
        name: Name of the argument.
        value: Its value.
        known: The values that exist.
        synonyms: See :func:`nearest`.
        more: Other allowed values, in words.
    """
    names = tuple(known)
    return name + f" is {value!r:.80}, expected one of {', '.join(names)}" + more + nearest(value, names, synonyms)


def _one_line(text: str) -> str:
    return _BREAK.sub(" ", text.strip())


class DprRagError(Exception):
    """Base class of all errors of dpr-rag; the message is one line, even where it quotes several.

    A message with another wording for the command line or the pages is a :class:`~dpr_rag.faces.ByFace`; ``str()`` gives
    Python's wording.
    """

    def __init__(self, message: str = "", *more: object) -> None:
        super().__init__(each_face(_one_line, message), *more)


class ArgumentError(DprRagError, TypeError, ValueError):
    """An argument has the wrong type or an unknown name, or arguments exclude each other."""


class PassageError(DprRagError, ValueError):
    """A passage (id, title, text or metadata) or a question cannot be stored or encoded."""


class RepeatedIdError(PassageError):
    """An id occurs twice in one call with different contents.

    Attributes:
        passage_id: The id.
    """

    def __init__(self, message: str, passage_id: str) -> None:
        super().__init__(message, passage_id)
        self.passage_id = passage_id

    def __str__(self) -> str:
        return str(self.args[0])


class BadTextError(PassageError):
    """A text holds a lone surrogate: half of a character, which UTF-8 cannot encode."""


class FilterError(DprRagError, ValueError):
    """A metadata filter cannot be parsed or compiled."""


class CorpusError(DprRagError, ValueError):
    """A file of passages or questions is malformed; the message names the file and the line."""


class UnreadableError(CorpusError):
    """A file cannot be opened, or a folder cannot be listed; the message names it and the reason.

    Attributes:
        counted_by: Name of this error in reports that count skipped files.
    """

    def __init__(self, message: str, counted_by: str = "unreadable file") -> None:
        super().__init__(message)
        self.counted_by = counted_by


class UnsafeFileError(DprRagError, ValueError):
    """A pickled file holds something other than arrays, tensors and plain containers."""


class MissingExtraError(DprRagError, ImportError):
    """An optional dependency is not installed; the message holds the install line."""


class ModelError(DprRagError, ValueError):
    """Model weights are missing, incomplete, of an unknown architecture, or of the wrong role."""


class UnsupportedModelError(ModelError):
    """dpr-rag cannot run this model itself; sentence-transformers may."""


class PathError(DprRagError, ValueError):
    """A path or an address is not valid."""


class VectorError(DprRagError, ValueError):
    """Vectors have the wrong shape or dimension or values that are not finite, or an option of a search is out of range."""


class IndexKindError(DprRagError, ValueError):
    """An index kind, factory string or index parameter cannot be used."""


class ForkedProcessError(DprRagError, RuntimeError):
    """A library that does not survive a fork was used in a forked child; the message says how to start processes instead."""


class StoreError(DprRagError):
    """Base class of the errors that concern one store."""


class StoreNotFoundError(StoreError, FileNotFoundError):
    """There is no store at the path, and ``create`` is false."""


class NotAStoreError(StoreError):
    """Something is at the path, but it is not a passage store."""


class StoreFormatError(StoreError):
    """The store was written by a newer dpr-rag than this one."""


class StoreLocked(StoreError):
    """Another writer holds the store; the message names its process."""


class StoreCorrupted(StoreError):
    """Stored data do not match their checksum, or parts of the store contradict each other."""


class StoreReplacedError(StoreError):
    """The files of an open store were replaced or removed; the new ones are neither read nor written."""


class StoreReadOnlyError(StoreError):
    """A write to a store that was opened read-only."""


class StoreClosedError(StoreError):
    """The store was used after ``close()``, or in a child that was forked while it was read or written."""


class EncoderMismatchError(StoreError):
    """The store was built with another encoder, or has none, or vectors of another dimension."""


class ServiceError(DprRagError):
    """A service gave an answer that cannot be understood; base class of the errors that concern a service."""


class ServiceUnavailableError(ServiceError, ConnectionError):
    """The service cannot be reached, or is shutting down."""


class NotAcknowledgedError(ServiceUnavailableError):
    """An engine failed while passages were added: some are stored, others may or may not be.

    Attributes:
        passage_ids: The first passages that were not acknowledged; adding them again is safe.
        acknowledged: How many of the call's passages were acknowledged.
    """

    def __init__(self, message: str, passage_ids: tuple[str, ...] = (), acknowledged: int = 0) -> None:
        super().__init__(message, passage_ids, acknowledged)
        self.passage_ids, self.acknowledged = passage_ids, acknowledged

    def __str__(self) -> str:
        return str(self.args[0])


class ServiceBusyError(ServiceUnavailableError):
    """The service is at its limit of requests; try again later."""


class ServiceTimeoutError(ServiceError, TimeoutError):
    """The service, or a request to it, took too long."""


class AccessError(ServiceError, PermissionError):
    """The token is missing, wrong or malformed."""


class RequestError(ServiceError, ValueError):
    """The service cannot understand a request, or the request is larger than its limits."""


class EvaluationError(DprRagError, ValueError):
    """An evaluation cannot be run with these questions, systems or options."""


class ChatError(DprRagError, RuntimeError):
    """A language model is not available or did not answer, or a conversation is another one than was shown."""


class ScalingError(DprRagError, RuntimeError):
    """A cluster cannot be used, or one of its workers failed."""


class TrainingError(DprRagError, ValueError):
    """Training cannot start or continue with this data, these settings or this output folder."""
