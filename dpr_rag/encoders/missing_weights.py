"""Detects weights that transformers initialises at random because the files lack them, which it only logs."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

from dpr_rag.encoders.weights import is_idle
from dpr_rag.errors import ModelError
from dpr_rag.forking import new_lock

_REPORTER = "transformers.modeling_utils"
_LOADING = new_lock()
_ROW = re.compile(r"^(\S.*?)\s*\|[^|]*MISSING", re.MULTILINE)


class _Report(logging.Filter):
    """Collects missing weights from the reports that transformers logs, and keeps the reports from the log."""

    def __init__(self) -> None:
        super().__init__()
        self.missing: list[str] = []

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if "LOAD REPORT" not in text:
            return True
        self.missing += [name for name in _ROW.findall(text) if not is_idle(name)]
        return False


@contextmanager
def no_weights_made_up(name: str) -> Iterator[None]:
    """Refuse a model that transformers loads inside this context, where a weight in use is missing.

    Args:
        name: What to call the model in a message.

    Raises:
        ModelError: One was.
    """
    log, report = logging.getLogger(_REPORTER), _Report()
    with _LOADING:  # or a report would count for another model that loads at the same time
        level = log.level
        log.addFilter(report)
        log.setLevel(logging.WARNING)  # the report is not even made where its level is off
        try:
            yield
        except ModelError:
            if not report.missing:  # missing weights explain more than the error that they caused
                raise
        finally:
            log.removeFilter(report)
            log.setLevel(level)
    if report.missing:
        shown = ", ".join(report.missing[:5]) + (
            f" and {len(report.missing) - 5} more" if len(report.missing) > 5 else ""
        )
        raise ModelError(
            f"{name}: weights are missing: {shown}; the model would answer at random; fetch or save all of its weights"
        )
