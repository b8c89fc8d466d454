"""Paths and addresses as users write them."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import unquote

from dpr_rag.arguments import kind
from dpr_rag.errors import LIMIT_ADVICE, DprRagError, PathError
from dpr_rag.faces import ByFace

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Names of the host that only this machine reaches."""
_SERVICES = ("http://", "https://")
_MILVUS = ("milvus://", "milvus+tls://", "milvus+lite:")
_MAX_NAME_BYTES = 255  # of all common file systems; the system reports it only once the path's folders exist
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:(?=/)")
_ADDRESS_LIKE = re.compile(r"([A-Za-z][A-Za-z0-9+._-]*)(?::/{0,2}|/{2})(?!/)(.+)", re.DOTALL)
_MIN_SIMILARITY = 0.75
"""Least similarity of a misspelt scheme to the right one, from 0 to 1; that of ``wiki`` and ``milvus`` is 0.4."""
_USER = re.compile(r"~[A-Za-z_][\w.-]*")
_VARIABLE = re.compile(r"\$(?:[A-Za-z_]\w*|\{\w+\})")


def is_service(place: object) -> bool:
    """Whether a path or address is that of a service (``dpr-rag serve``)."""
    return isinstance(place, str) and place.lower().startswith(_SERVICES)


def is_milvus(place: object) -> bool:
    """Whether an address is that of a collection in Milvus: ``milvus://…``, ``milvus+tls://…``, ``milvus+lite:…``."""
    return isinstance(place, str) and place.lower().startswith(_MILVUS)


def is_address(place: object) -> bool:
    """Whether a path or address is that of a service or a Milvus, not a folder."""
    return is_service(place) or is_milvus(place)


def place_of(path: str | os.PathLike[str]) -> Path:
    """Read a path from a user: ``~`` and ``~name`` at its start are home folders.

    A shell expands them only where they begin a word, so not in ``--store=~/wiki.dpr``, a notebook, or a configuration file.
    ``./~`` is always a folder of that name. What does not look like a path of this machine, such as ``s3://bucket/wiki`` or
    ``$HOME/wiki``, is refused unless a folder of that name exists.

    Raises:
        PathError: It is not a path; it is empty, as an unset variable leaves it; it holds what no file name can; or it is a
            URI, a variable, an unknown user or SQLite's ``:memory:``.
    """
    if not isinstance(path, str | os.PathLike):
        raise PathError(
            f"the path is {kind(path)}, expected a string or a pathlib.Path; pass the name of a folder or a file"
        )
    name = os.fspath(path)
    if isinstance(name, bytes):
        raise PathError(f"the path is {kind(name)}, expected text; decode it with os.fsdecode(path)")
    if is_address(name):
        refuse_secrets(name)
    if is_milvus(name):
        raise PathError(f"{name!r:.200} is an address, where a path is expected; open_store opens what lies there")
    if is_service(name):
        raise PathError(
            f"{name!r:.200} is an address, where a path is expected; download a file first, and ask a service by RemoteRetriever"
        )
    if not name.strip():
        raise PathError("the path is empty; write . for the current folder")
    place = Path(os.path.expanduser(name))
    _refuse_impossible(place)
    _refuse_foreign_notation(name, place)
    # a Path drops the "./" of "./~", which the next call would expand
    return place.absolute() if place.parts[:1] and place.parts[0].startswith("~") else place


def store_of(place: str | os.PathLike[str]) -> str:
    """The path or address of a store for ``open_store``: an address unchanged, a path as :func:`place_of` reads it.

    Raises:
        PathError: It is neither.
    """
    return str(place) if is_address(place) else str(place_of(place))


def name_of(place: str | os.PathLike[str]) -> str:
    """A short name for the store at a path or address: that of its folder, its file or its collection."""
    name = os.fspath(place).rstrip("/").rpartition("/")[2]
    return (name.partition(":")[2] if is_milvus(name) else name) or os.fspath(place)


def write_failure(error: OSError) -> str:
    """Describe an error of the system while writing: the reason in parentheses, and advice."""
    if (advice := LIMIT_ADVICE.get(error.errno or 0)) is not None:
        return f"({error.strerror}); {advice}"
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return "(a file stands where a folder is needed); choose another path"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"({error.strerror}); free some space, or raise the limit on files (ulimit -f)"
    return f"({error.strerror or error}); choose another path, or check its folder, its permissions and its space"


@contextmanager
def writing_to(path: Path, error: type[DprRagError]) -> Iterator[None]:
    """Turn errors of the system while a path is written into errors of dpr-rag, with the path and advice.

    Args:
        path: The path, for the message.
        error: The class of error to raise.

    Raises:
        DprRagError: The system refuses; of the class ``error``.
    """
    try:
        yield
    except OSError as problem:
        if isinstance(problem, DprRagError):
            raise
        raise error(f"{path}: cannot be written {write_failure(problem)}") from problem


@contextmanager
def replacing(path: Path, error: type[DprRagError]) -> Iterator[Path]:
    """Path to write a file at that takes the place of ``path`` once it is complete, and is removed if it never is.

    Args:
        path: The file to write or replace.
        error: What is raised where it cannot be written.

    Raises:
        DprRagError: As ``error`` says; or a device or a pipe lies there, whose place no file is to take.
    """
    _refuse_special(path, error)
    partial = partial_beside(path)
    try:
        with writing_to(path, error):
            yield partial
            os.replace(partial, path)
    finally:
        with suppress(OSError):  # told above, where it matters
            partial.unlink()


def _refuse_special(path: Path, error: type[DprRagError]) -> None:
    try:
        mode = path.stat().st_mode
    except OSError:
        return  # told where it matters
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise error(f"{path}: is a device or a pipe, expected a file, which is written whole or not at all; name one")


def partial_beside(path: Path) -> Path:
    """Path beside a file to write it at; a new one each time, since other processes may be writing the same file."""
    end = f".{os.urandom(4).hex()}.partial"
    name = os.fsencode(path.name)[: _MAX_NAME_BYTES - 1 - len(end)]
    return path.with_name("." + os.fsdecode(name) + end)


def _refuse_impossible(place: Path) -> None:
    """Refuse a path that no file can have, which the system would report later and in many ways."""
    most = ""
    try:
        if any(len(os.fsencode(part)) > _MAX_NAME_BYTES for part in place.parts):
            most = f"{_MAX_NAME_BYTES} bytes a name"
        os.lstat(place)
    except ValueError as error:
        why = "a NUL character" if "\0" in str(place) else "characters that are not text"
        raise PathError(f"the path {str(place)!r:.120} holds {why}, expected a name that a file can have") from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG and not most:
            most = f"{os.pathconf('/', 'PC_PATH_MAX') - 1:,} bytes in all"
    if most:
        raise PathError(f"the path {str(place)!r:.120} is too long, expected at most {most}; shorten it")


def _refuse_foreign_notation(path: str, place: Path) -> None:
    """Refuse URIs, variables and the like, which other programs would expand, unless a file of that name exists."""
    exists = not place.parts or os.path.lexists(place.parts[0])
    if not exists:
        refuse_secrets(_intended_address(path))
        if problem := _problem_at_start(path):
            raise PathError(f"the path {path!r:.120} " + problem)
    for at, part in enumerate(place.parts):
        variable = _VARIABLE.match(part)
        if variable and not os.path.lexists(Path(*place.parts[: at + 1])):
            raise PathError(
                f"the path {path!r:.120} holds {variable[0]}, which is not expanded; write what it stands for"
            )


def refuse_secrets(address: str) -> None:
    """Refuse an address with a user or a password before any message repeats it.

    Raises:
        PathError: It has one.
    """
    if "@" in address.partition("://")[2].partition("/")[0]:
        raise PathError(
            "an address holds no user and no password, which logs would show; write it without, and pass a token"
        )


def _problem_at_start(path: str) -> str:
    """What is wrong with the start of a path, to be said behind it; an empty string if nothing is."""
    scheme, user = _SCHEME.match(path), _USER.fullmatch(path.split("/", 1)[0])
    if path == ":memory:":
        return "names no folder; " + ByFace("PassageStore.temporary() is a store that is gone on close", cli="give one")
    address = _intended_address(path)
    if address:
        return f"is no path of this machine, and no address as it is written; write {address:.120}"
    if scheme:
        rest = unquote(path[scheme.end() :].lstrip("/"))
        example = f", such as /{rest:.120}" if scheme[0].lower() == "file:" else ""
        return f"is a URI, expected a path of this machine{example}"
    if user and os.path.expanduser(user[0]) == user[0]:
        return (
            f"begins with a user {user[0]} whom this machine does not know; write ./{user[0]} for a file of that name"
        )
    return ""


def _intended_address(path: str) -> str:
    """The address that a path with a misspelt scheme was meant to be; empty if its start resembles no scheme."""
    from difflib import get_close_matches

    parts = _ADDRESS_LIKE.fullmatch(path)
    if parts is None:
        return ""
    schemes = {prefix.rstrip(":/"): prefix for prefix in (*_MILVUS, *_SERVICES)}
    similar = get_close_matches(parts[1].lower().replace("_", "+"), schemes, 1, _MIN_SIMILARITY)
    return f"{schemes[similar[0]]}{parts[2]}" if similar else ""
