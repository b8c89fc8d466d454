"""A cache of measurements on this machine: small JSON files in the user's cache folder."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from dpr_rag.encoders.processor import this_processor
from dpr_rag.paths import partial_beside

_log = logging.getLogger(__name__)
_SCHEME = 7  # raised when precisions or their measurement change, which makes older files void
_Parts = Sequence[object]


def recall(kind: str, parts: _Parts) -> Mapping[str, object] | None:
    """The object that was saved on this machine under a name; None where there is none, or it cannot be read.

    Args:
        kind: What was measured.
        parts: Of what, apart from processor, its limits and OpenVINO's version, which always count.
    """
    try:
        content = json.loads(_file(kind, parts).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def remember(kind: str, parts: _Parts, content: Mapping[str, object]) -> None:
    """Save an object, whole or not at all; where the cache cannot be written, each process measures again.

    Args:
        kind: As for :func:`recall`.
        parts: The same.
        content: The object.
    """
    file = _file(kind, parts)
    temporary = partial_beside(file)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(content) + "\n", encoding="utf-8")
        os.replace(temporary, file)
    except OSError as error:
        _log.debug("what was measured of the %s is not remembered: %s", kind, error)
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _file(kind: str, parts: _Parts) -> Path:
    processor = this_processor()
    key = [_SCHEME, kind, *parts, _openvino(), processor.name, sorted(processor.abilities), processor.limits]
    name = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]
    root = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    return root / "dpr-rag" / kind / f"{name}.json"


def _openvino() -> str:
    """Its version, without importing it."""
    try:
        return version("openvino")
    except PackageNotFoundError:
        return ""
