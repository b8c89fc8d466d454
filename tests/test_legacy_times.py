"""Dates and times in the pickles of LangChain: read by value in every protocol, and refused in any other form."""

from __future__ import annotations

import os
import pickle
from datetime import UTC, date, datetime, time, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from dpr_rag.errors import CorpusError, UnsafeFileError
from dpr_rag.legacy import read_embeddings, read_langchain_docstore

EAST = timezone(timedelta(hours=5, minutes=30), "IST")
TIMES = [
    *(date.min, date(1601, 2, 3), date.max, datetime.min, datetime.max, datetime(2020, 1, 2, 3, 4, 5, 678_901)),
    *(datetime(2020, 10, 25, 2, 30, fold=1), datetime(2020, 1, 2, tzinfo=UTC), datetime(2020, 1, 2, 3, tzinfo=EAST)),
    *(time(), time.max, time(1, 2, 3, 4, tzinfo=EAST), time(2, 30, fold=1)),
    *(timedelta(), timedelta.min, timedelta.max, timedelta(-1, 2, 3)),
]
PACKED = b"\x80\x02cdatetime\n%b\n(%btR"


def docstore(path: Path, value: bytes) -> Path:
    """A docstore with one document, whose metadata have a pickled value under ``at``."""
    front = b"\x80\x02}X\x05\x00\x00\x00_dict}X\x01\x00\x00\x00a}(X\x0c\x00\x00\x00page_contentX\x01\x00\x00\x00x"
    path.write_bytes(
        front + b"X\x08\x00\x00\x00metadata}X\x02\x00\x00\x00at" + value + b"susss}K\x00X\x01\x00\x00\x00as\x86."
    )
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_time_is_read_by_value(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "index.pkl"
    path.write_bytes(
        pickle.dumps(({"_dict": {"a": {"page_content": "x", "metadata": {"at": TIMES}}}}, {0: "a"}), protocol)
    )
    documents, _ = read_langchain_docstore(path)
    read: list[Any] = documents["a"]["metadata"]["at"]
    assert [repr(one) for one in read] == [repr(kept(one, protocol)) for one in TIMES]


def kept(one: Any, protocol: int) -> Any:
    """Of an hour that a clock shows twice, protocols before 4 do not say which one it is."""
    return one.replace(fold=0) if protocol < 4 and isinstance(one, datetime | time) else one


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        (b"date", b"C\x04\x07\xe4\x0d\x01"),  # a month 13
        (b"date", b"C\x04\x00\x00\x01\x01"),  # the year 0
        (b"date", b"K\x01K\x01K\x01"),
        (b"datetime", b"C\x0a\x07\xe4\x01\x01\xff\x00\x00\x00\x00\x00"),  # an hour 255
        (b"datetime", b"C\x0a\x07\xe4\x01\x01\x00\x00\x00\xff\xff\xff"),  # 16 seconds in microseconds
        (b"datetime", b"C\x0a\x07\xe4\x01\x01\x00\x00\x00\x00\x00\x00}"),  # a dict as its zone
        (b"time", b"C\x05\x00\x00\x00\x00\x00"),
        (b"timedelta", b"\x8a\x10" + b"\xff" * 15 + b"\x7fK\x00K\x00"),  # 2 ** 127 days
        (b"timedelta", b"G?\xf0\x00\x00\x00\x00\x00\x00K\x00K\x00"),
        (b"timezone", b"K\x01"),
        (b"timezone", b"}"),
    ],
)
def test_other_forms_are_damage(tmp_path: Path, name: bytes, arguments: bytes) -> None:
    path = docstore(tmp_path / "index.pkl", (PACKED % (name, arguments))[2:])
    with pytest.raises(CorpusError, match=r"index\.pkl: truncated, damaged or not a file of this kind"):
        read_langchain_docstore(path)


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("true",)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (
            datetime(2020, 1, 2, tzinfo=ZoneInfo("Europe/Berlin")),
            "the file asks for 'builtins.getattr', which is not read; ",
        ),
        (Hostile(), f"the file asks for '{os.system.__module__}.system', which is not read; nothing was run. "),
        (EAST, "a function, class, dtype or time zone where a value was expected. "),
        (np.datetime64("2020-01-02"), "an array of dtype 'M8' (only plain numbers are read). "),
        (np.str_("ab"), "an array of dtype 'U2' (only plain numbers are read). "),
        (
            {date(2020, 1, 2): 1},
            "a key or member of a set that is a date (only strings, bytes, numbers and None are read). ",
        ),
        (
            {date(2020, 1, 2)},
            "a key or member of a set that is a date (only strings, bytes, numbers and None are read). ",
        ),
    ],
    ids=["zone by name", "hostile", "lone zone", "numpy time", "numpy text", "key", "member"],
)
def test_what_is_refused_has_a_remedy_that_fits_it(tmp_path: Path, value: object, said: str) -> None:
    path = tmp_path / "index.pkl"
    path.write_bytes(pickle.dumps(({"_dict": {"a": {"page_content": "x", "metadata": {"at": value}}}}, {0: "a"})))
    with pytest.raises(UnsafeFileError) as caught:
        read_langchain_docstore(path)
    assert str(caught.value).startswith(f"{path}: {said}")
    assert str(caught.value).endswith(
        ". If it stands in metadata of your own, convert those in LangChain with dpr_rag.to_json_metadata and call save_local "
        "again; if not, use a file from a trusted source"
    )


def test_times_elsewhere_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "shard"
    path.write_bytes(pickle.dumps([("a", date(2020, 1, 2))]))
    with pytest.raises(UnsafeFileError, match=r"asks for 'datetime\.date', .* Use a file from a trusted source"):
        list(read_embeddings(path))
