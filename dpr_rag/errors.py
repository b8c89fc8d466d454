"""The exception tree: every message says what was given, what was expected and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

RESTORE = (
    "restore a backup: PassageStore.restore(copy, path), or dpr-rag restore COPY DIR; where there is none, "
    "PassageStore.recover(path, new), or dpr-rag recover DIR NEW, gets out what is whole"
)
"""What to do about damage to the truth of a store."""
_BREAK = re.compile(r"\s*[\r\n]+\s*")


def install(extra: str) -> str:
    """How an extra is installed, as every message says it: from a checkout, as no package index has dpr-rag.

    Args:
        extra: One of those that ``pyproject.toml`` names.
    """
    return f"in a checkout of dpr-rag, run: pip install -c constraints.txt '.[{extra}]'"


def nearest(given: object, known: Iterable[str], elsewhere: Mapping[str, str] = MappingProxyType({})) -> str:
    """What a message about an unknown name goes on with: the right word for another library's, or what it resembles.

    Args:
        given: The unknown name; nothing is said of what is no string.
        known: The names that there are.
        elsewhere: What is called otherwise here, by its names elsewhere in lower case.
    """
    if not isinstance(given, str):
        return ""
    if right := elsewhere.get(given.lower()):
        return f"; here it is {right!r}"
    from difflib import get_close_matches

    near = get_close_matches(given.lower(), known, 3, 0.7)
    return f"; did you mean {' or '.join(map(repr, near))}?" if near else ""


def unknown(
    name: str,
    given: object,
    known: Iterable[str],
    elsewhere: Mapping[str, str] = MappingProxyType({}),
    *,
    more: str = "",
) -> str:
    """The message about a value that is none of those that there are; the arguments are those of :func:`nearest`.

    Args:
        name: Of the argument.
        given: Its value.
        known: What it may be.
        elsewhere: What is called otherwise here.
        more: What else it may be, in words.
    """
    names = tuple(known)
    return f"{name} is {given!r:.80}, expected one of {', '.join(names)}{more}{nearest(given, names, elsewhere)}"


class DprRagError(Exception):
    """Base class of everything dpr-rag raises on purpose; its message is one line, whatever it quotes."""

    def __init__(self, message: str = "", *more: object) -> None:
        super().__init__(_BREAK.sub(" ", message.strip()), *more)


class ArgumentError(DprRagError, TypeError, ValueError):
    """An argument of another type or name than is taken, or arguments that do not go together."""


class PassageError(DprRagError, ValueError):
    """A passage (id, title, text or metadata) or a question that cannot be stored or encoded."""


class RepeatedIdError(PassageError):
    """An id that comes twice in one call with different contents.

    Attributes:
        passage_id: The id.
    """

    def __init__(self, message: str, passage_id: str) -> None:
        super().__init__(message, passage_id)
        self.passage_id = passage_id

    def __str__(self) -> str:
        return str(self.args[0])


class BadTextError(PassageError):
    """A text that holds a lone surrogate, half of a character, which no encoding can write."""


class FilterError(DprRagError, ValueError):
    """A metadata filter that cannot be parsed or compiled."""


class CorpusError(DprRagError, ValueError):
    """A malformed file of passages or questions; the message names the file and the line."""


class UnreadableError(CorpusError):
    """A file that cannot be opened or a folder that cannot be listed; the message names it and the reason.

    Attributes:
        counted_by: The word that a file is counted by where it is passed over.
    """

    def __init__(self, message: str, counted_by: str = "unreadable file") -> None:
        super().__init__(message)
        self.counted_by = counted_by


class UnsafeFileError(DprRagError, ValueError):
    """A pickled file that asks for more than arrays, tensors and plain containers."""


class MissingExtraError(DprRagError, ImportError):
    """An optional dependency is not installed; the message holds the install line."""


class ModelError(DprRagError, ValueError):
    """Model weights that are missing, incomplete, of an unknown architecture or in the wrong role."""


class UnsupportedModelError(ModelError):
    """A model that dpr-rag does not run by itself; sentence-transformers may."""


class PathError(DprRagError, ValueError):
    """A path that names no place."""


class VectorError(DprRagError, ValueError):
    """Vectors with the wrong shape, dimension, or with NaN or infinite values."""


class IndexKindError(DprRagError, ValueError):
    """An index kind, factory string or index parameter that cannot be used."""


class ForkedProcessError(DprRagError, RuntimeError):
    """A library that did not survive the fork was asked in a forked child; the message says how to start processes."""


class StoreError(DprRagError):
    """Base class of everything that concerns one passage store."""


class StoreNotFoundError(StoreError, FileNotFoundError):
    """There is no store at the path, and none was to be created."""


class NotAStoreError(StoreError):
    """Something is at the path, but it is not a passage store."""


class StoreFormatError(StoreError):
    """The store was written by a newer dpr-rag than this one."""


class StoreLocked(StoreError):
    """Another writer holds the store; the message names its process."""


class StoreCorrupted(StoreError):
    """Stored bytes do not match their checksum, or parts of the store contradict each other."""


class StoreReplacedError(StoreError):
    """Another store, another copy of it or nothing lies where the store was opened; nothing is mixed with it."""


class StoreReadOnlyError(StoreError):
    """A write was asked of a store that was opened read-only."""


class StoreClosedError(StoreError):
    """The store was used after ``close()``."""


class EncoderMismatchError(StoreError):
    """The store was built with another encoder, or has none, or vectors of another dimension."""


class ServiceError(DprRagError):
    """A service that answers for a store gave an answer that cannot be understood; base class of all that concerns one."""


class ServiceUnavailableError(ServiceError, ConnectionError):
    """The service cannot be reached, or is ending."""


class NotAcknowledgedError(ServiceUnavailableError):
    """An engine went away while passages were added: some are stored, of others nobody knows.

    Attributes:
        passage_ids: The first passages that were not acknowledged; they may be stored or not, and can be added again.
        acknowledged: How many of the call's passages were.
    """

    def __init__(self, message: str, passage_ids: tuple[str, ...] = (), acknowledged: int = 0) -> None:
        super().__init__(message, passage_ids, acknowledged)
        self.passage_ids, self.acknowledged = passage_ids, acknowledged

    def __str__(self) -> str:
        return str(self.args[0])


class ServiceBusyError(ServiceUnavailableError):
    """The service has as many requests as it takes; ask again later."""


class ServiceTimeoutError(ServiceError, TimeoutError):
    """The service, or a request to it, took too long."""


class AccessError(ServiceError, PermissionError):
    """The service refuses a request without its token, or with another one."""


class RequestError(ServiceError, ValueError):
    """A request that the service cannot understand, or that is larger than it takes."""


class EvaluationError(DprRagError, ValueError):
    """Questions, systems or options with which nothing can be measured."""


class ChatError(DprRagError, RuntimeError):
    """A language model cannot be had, or did not answer."""


class ScalingError(DprRagError, RuntimeError):
    """A cluster cannot be used, or a worker of it failed."""


class TrainingError(DprRagError, ValueError):
    """Training data, settings or an output folder with which no training can begin or go on."""
