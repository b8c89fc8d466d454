"""The log of a training as JSON lines; on resuming it is truncated to the saved state."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dpr_rag.training.folder import write_text


class Log:
    """Lines of figures, one object each: ``loss`` every few steps, ``validation`` after each of them.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, line: Mapping[str, Any]) -> None:
        """Append one line."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def lines(self) -> list[dict[str, Any]]:
        """All lines; a last one that was cut off by a kill is left out."""
        if not self._path.exists():
            return []
        records = []
        for line in self._path.read_text("utf-8").splitlines():
            try:
                records.append(json.loads(line))
            except (ValueError, RecursionError):
                break
        return records

    def cut(self, step: int) -> None:
        """Forget what was logged behind a step, since those steps are taken again."""
        kept = [line for line in self.lines() if line.get("step", 0) <= step]
        write_text(self._path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in kept))
