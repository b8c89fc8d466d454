"""Makes passages from the fields of a record: a title alone is the text; records without both are skipped and counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path
from typing import Any

from dpr_rag.arguments import is_blank
from dpr_rag.corpora.lines import BAD_TEXT, LeftOut, told
from dpr_rag.passages import RESERVED_KEYS, OnBadText, Passage, check_on_bad_text

EMPTY_PASSAGE = "passage without text and title"
"""What a record is counted by that has neither."""
RESERVED = "metadata under the reserved key {}"
"""What metadata are counted by that no file may bring."""
_log = getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes passages of the fields of records, and counts the records that make none.

    Attributes:
        left_out: Takes the number of records of which no passage is made, by reason.
        on_bad_text: What becomes of lone surrogates, see :meth:`~dpr_rag.Passage.made`.
    """

    left_out: LeftOut
    on_bad_text: OnBadText = "error"

    @classmethod
    @contextmanager
    def counting(cls, path: Path, left_out: LeftOut | None, on_bad_text: OnBadText = "error") -> Iterator[Maker]:
        """Count what is left out into the caller's counter, or else log the counts at the end."""
        check_on_bad_text(on_bad_text)
        counted = LeftOut() if left_out is None else left_out
        yield cls(counted, on_bad_text)
        if counted and left_out is None:
            _log.warning("%s: left out %s", path, told(counted))

    def make(self, name: str, text: Any, title: Any, metadata: Mapping[str, Any] | None = None) -> Passage | None:
        """Make a passage, or count why there is none; metadata under a reserved key are left out and counted.

        What stands under such a key is believed: an adapter makes a node of it, with paths and all. A file can come from
        anybody.

        Text that is empty or missing is common in BEIR's corpora (FiQA, SCIDOCS), whose documents are title and text joined.

        Raises:
            PassageError: See :class:`~dpr_rag.Passage`.
        """
        if _is_missing(text):
            text, title = title, ""
        if _is_missing(text):
            self.left_out[EMPTY_PASSAGE] += 1
            return None
        own = unreserved({} if metadata is None else metadata)
        passage = Passage.made(name, text, "" if title is None else title, own, on_bad_text=self.on_bad_text)
        if passage is None:
            self.left_out[BAD_TEXT] += 1
            return None
        if is_blank(passage.text) and is_blank(passage.title):  # what stands for lone surrogates is no word
            self.left_out[EMPTY_PASSAGE] += 1
            return None
        if metadata is not None:
            self.left_out.update(RESERVED.format(key) for key in metadata if key not in own)
        return passage


def unreserved(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata as a file may bring them: without what dpr-rag and its adapters keep under ``RESERVED_KEYS``."""
    return {key: value for key, value in metadata.items() if key not in RESERVED_KEYS}


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, str) and is_blank(value))
