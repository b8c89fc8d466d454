"""Paths and addresses as users write them."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from dpr_rag.arguments import kind
from dpr_rag.errors import DprRagError, PathError
from dpr_rag.faces import ByFace

_SERVICES = ("http://", "https://")
_ENGINES = ("milvus://", "milvus+tls://", "milvus+lite:")
_LONGEST = 255  # of every file system in use, though a path without its folders yet does not show it
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:(?=/)")
_WRITTEN = re.compile(r"([A-Za-z][A-Za-z0-9+._-]*)(?::/{0,2}|/{2})(?!/)(.+)", re.DOTALL)
_NEAR = 0.75
"""How alike a misspelt scheme is to the one that is meant, from 0 to 1; ``wiki`` and ``milvus`` are 0.4."""
_USER = re.compile(r"~[A-Za-z_][\w.-]*")
_VARIABLE = re.compile(r"\$(?:[A-Za-z_]\w*|\{\w+\})")


def is_service(given: object) -> bool:
    """Whether a path or address is that of a service (``dpr-rag serve``)."""
    return isinstance(given, str) and given.lower().startswith(_SERVICES)


def is_engine(given: object) -> bool:
    """Whether a collection of a search engine is meant: ``milvus://…``, ``milvus+tls://…`` or ``milvus+lite:…``."""
    return isinstance(given, str) and given.lower().startswith(_ENGINES)


def is_address(given: object) -> bool:
    """Whether a path or address is that of a service or an engine, not a folder."""
    return is_service(given) or is_engine(given)


def place_of(path: str | os.PathLike[str]) -> Path:
    """The place that a path from outside means: ``~`` and ``~name`` at its start are home folders.

    A shell expands them where they begin a word, and not in ``--store=~/wiki.dpr``, a notebook, or a configuration file.
    ``./~`` is always a folder of that name. What looks like something else than a path of this machine, such as
    ``s3://bucket/wiki`` or ``$HOME/wiki``, means a folder of that name only where there is one already.

    Raises:
        PathError: It is none, or empty, as a variable that is not set leaves it; no file can have it; or it is a URI, a
            variable, a user or a database in memory.
    """
    if not isinstance(path, str | os.PathLike):
        raise PathError(
            f"the path is {kind(path)}, expected a string or a pathlib.Path; pass the name of a folder or a file"
        )
    given = os.fspath(path)
    if isinstance(given, bytes):
        raise PathError(f"the path is {kind(given)}, expected text; decode it with os.fsdecode(path)")
    if is_engine(given):
        raise PathError(f"{given!r:.200} is an address, where a path is expected; open_store opens what lies there")
    if is_service(given):
        raise PathError(
            f"{given!r:.200} is an address, where a path is expected; download a file first, and ask a service by RemoteRetriever"
        )
    if not given.strip():
        raise PathError("the path is empty; write . for the current folder")
    place = Path(os.path.expanduser(given))
    _refuse_impossible(place)
    _refuse_other_words(given, place)
    # A Path drops the "./", and would be taken for a home folder the next time.
    return place.absolute() if place.parts[:1] and place.parts[0].startswith("~") else place


def store_of(given: str | os.PathLike[str]) -> str:
    """Where a store lies, for ``open_store``: an address as it is, or a folder as :func:`place_of` reads it.

    Raises:
        PathError: It is neither.
    """
    return str(given) if is_address(given) else str(place_of(given))


def name_of(place: str | os.PathLike[str]) -> str:
    """What people call a store by where it lies: the name of its folder, its file or its collection."""
    name = os.fspath(place).rstrip("/").rpartition("/")[2]
    return (name.partition(":")[2] if is_engine(name) else name) or os.fspath(place)


def told_of_place(error: OSError) -> str:
    """Why a place cannot be written, and what to do, for messages."""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return f"({error.strerror}); close some, or raise the limit of this process (ulimit -n)"
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return "(a file stands where a folder is needed); choose another path"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"({error.strerror}); free some space, or raise the limit on files (ulimit -f)"
    return f"({error.strerror or error}); choose another path, or check its folder, its permissions and its space"


@contextmanager
def written(path: Path, error: type[DprRagError]) -> Iterator[None]:
    """What the system refuses while a place is written, as an error of this package with the place and the remedy.

    Args:
        path: The place, for the message.
        error: What is raised.

    Raises:
        DprRagError: As ``error`` says.
    """
    try:
        yield
    except OSError as problem:
        if isinstance(problem, DprRagError):
            raise
        raise error(f"{path}: cannot be written {told_of_place(problem)}") from problem


def _refuse_impossible(place: Path) -> None:
    """Refuse what no file can be called, which the system would say in many words at many places."""
    try:
        too_long = any(len(os.fsencode(part)) > _LONGEST for part in place.parts)
        os.lstat(place)
    except ValueError as error:
        why = "a NUL character" if "\0" in str(place) else "characters that are not text"
        raise PathError(f"the path {str(place)!r:.120} holds {why}, expected a name that a file can have") from error
    except OSError as error:
        too_long = too_long or error.errno == errno.ENAMETOOLONG
    if too_long:
        raise PathError(
            f"the path {str(place)!r:.120} is too long, expected at most {_LONGEST} bytes a name; shorten it"
        )


def _refuse_other_words(given: str, place: Path) -> None:
    """Refuse what other programs understand, and what would be a folder of that name here, unless there is one."""
    stands = not place.parts or os.path.lexists(place.parts[0])
    said = "" if stands else _said_of_start(given)
    if said:
        raise PathError(f"the path {given!r:.120} " + said)
    for at, part in enumerate(place.parts):
        found = _VARIABLE.match(part)
        if found and not os.path.lexists(Path(*place.parts[: at + 1])):
            raise PathError(
                f"the path {given!r:.120} holds {found[0]}, which is not expanded; write what it stands for"
            )


def _said_of_start(given: str) -> str:
    scheme, user = _SCHEME.match(given), _USER.fullmatch(given.split("/", 1)[0])
    if given == ":memory:":
        return "names no folder; " + ByFace("PassageStore.temporary() is a store that is gone on close", cli="give one")
    meant = _meant_address(given)
    if meant:
        if "@" in meant:
            raise PathError(
                "an address holds no user and no password, which logs would show; write it without, and pass a token"
            )
        return f"is no path of this machine, and no address as it is written; write {meant:.120}"
    if scheme:
        rest = unquote(given[scheme.end() :].lstrip("/"))
        there = f", such as /{rest:.120}" if scheme[0].lower() == "file:" else ""
        return f"is a URI, expected a path of this machine{there}"
    if user and os.path.expanduser(user[0]) == user[0]:
        return (
            f"begins with a user {user[0]} whom this machine does not know; write ./{user[0]} for a file of that name"
        )
    return ""


def _meant_address(given: str) -> str:
    """The address that was meant where its beginning is misspelt, or an empty string."""
    from difflib import get_close_matches

    found = _WRITTEN.fullmatch(given)
    if found is None:
        return ""
    schemes = {one.rstrip(":/"): one for one in (*_ENGINES, *_SERVICES)}
    near = get_close_matches(found[1].lower().replace("_", "+"), schemes, 1, _NEAR)
    return f"{schemes[near[0]]}{found[2]}" if near else ""
