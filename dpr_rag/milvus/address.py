"""Addresses of collections: ``milvus://host:port/collection``, ``milvus+tls://…`` and ``milvus+lite:file.db``."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from dpr_rag.errors import PathError
from dpr_rag.faces import ByFace
from dpr_rag.paths import is_milvus, place_of

VARIABLE = "MILVUS_TOKEN"
"""The environment variable with the default token: ``user:password`` or an API key."""
FILL_ONE = ByFace("open it with create=True", cli="fill one with: dpr-rag copy STORE ADDRESS")
"""Advice where there is no collection."""
DEFAULT = "passages"
_LITE = "milvus+lite:"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_HOST = re.compile(r"[\w.:-]+")
_EXPECTED = "expected milvus://host:19530/collection, milvus+tls://host:19530/collection or milvus+lite:file.db"


@dataclass(frozen=True, slots=True)
class Address:
    """The parsed address of a collection.

    Attributes:
        uri: The address or file for pymilvus.
        collection: The collection's name.
        shown: The address for messages, without the token.
        lite: Whether it is a milvus-lite file.
        token: ``user:password`` or an API key, or None.
    """

    uri: str
    collection: str
    shown: str
    lite: bool = False
    token: str | None = field(default=None, repr=False)


def parse_address(address: str, token: str | None = None) -> Address:
    """Parse an address.

    Raises:
        PathError: It is not an address of a collection, or holds a password or a query.
    """
    if not is_milvus(address):
        raise PathError(f"{address!r:.200} is no address of a collection; {_EXPECTED}")
    token = os.environ.get(VARIABLE) if token is None else token
    if address.lower().startswith(_LITE):
        path, mark, name = address[len(_LITE) :].partition("#")
        if not path.strip():
            raise PathError(f"{address!r:.200} names no file; expected milvus+lite:file.db")
        place, collection = place_of(path).absolute(), _checked(name if mark else DEFAULT, address)
        if place.suffix != ".db":
            raise PathError(
                f"{address!r:.200}: milvus-lite takes files whose names end in .db; rename it: {place.stem}.db"
            )
        return Address(str(place), collection, f"{_LITE}{place}{f'#{name}' if mark else ''}", lite=True)
    if "@" in address:
        raise PathError(
            "an address holds no user and no password, which logs would show; "
            + ByFace(f"pass token=, or set {VARIABLE}", cli=f"set {VARIABLE}")
        )
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise PathError(f"{address!r:.200}: {error}; {_EXPECTED}") from error
    if not host or port == 0 or parts.query or parts.fragment or not _HOST.fullmatch(host):
        raise PathError(f"{address!r:.200} is no address of a collection; {_EXPECTED}")
    if ":" in host:
        raise PathError(
            f"{address!r:.200}: pymilvus does not connect to addresses of IPv6; give a host's name that has one"
        )
    collection = _checked(parts.path.strip("/") or DEFAULT, address)
    where = f"{host}:{port or 19530}"
    scheme = parts.scheme.lower()
    uri = f"{'https' if scheme == 'milvus+tls' else 'http'}://{where}"
    return Address(uri, collection, f"{scheme}://{where}/{collection}", token=token)


def _checked(name: str, address: str) -> str:
    if not _NAME.fullmatch(name):
        raise PathError(
            f"{address!r:.200}: {name!r:.80} cannot name a collection of Milvus; use ASCII letters, digits and underscores"
        )
    return name
