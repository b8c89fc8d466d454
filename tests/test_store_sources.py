"""Sources of passages: one does not replace what another brought, nobody sees them, and nothing loses them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import HashEncoder

from dpr_rag import PRIVATE_KEY, Passage, PassageStore
from dpr_rag.corpora import read_jsonl, read_tsv, write_jsonl, write_tsv
from dpr_rag.errors import StoreError
from dpr_rag.store import AddReport, source_of, source_path, with_source

OLD = Passage("1", "from a", metadata={"year": 1})
A, B = with_source(OLD, "/a/x.md"), with_source(Passage("1", "from b"), "/b/x.md")
FREE = with_source(Passage("2", "free"), "/b/x.md")


def test_what_another_source_has_is_left_out_and_counted(store: PassageStore, encoder: HashEncoder) -> None:
    store.add([A])
    seen: list[int] = []
    encoded = encoder.passages_encoded
    report = store.add([B, FREE], replace="own", progress=lambda now: seen.append(now.total))
    assert (report, report.left_out, seen) == (AddReport(added=1, owners={"/a/x.md": 1}), 1, [2])
    assert encoder.passages_encoded == encoded + 1
    assert store.get(["1", "2"]) == [A, FREE]
    store.check()


def test_the_same_source_goes_on_and_replaces_its_own(store: PassageStore) -> None:
    store.add([A], replace="own")
    assert store.add([A], replace="own") == AddReport(unchanged=1)
    newer = with_source(Passage("1", "newer"), "/a/x.md")
    assert store.add([newer], replace="own") == AddReport(replaced=1)
    assert store.get(["1"]) == [newer]


def test_asked_to_replace_a_source_takes_over(store: PassageStore) -> None:
    store.add([A])
    assert store.add([B]) == AddReport(replaced=1)
    assert source_of(store.get(["1"])[0]) == "/b/x.md"
    assert store.add([A], replace="own").owners == {"/b/x.md": 1}


def test_passages_without_a_source_are_replaced_as_ever_and_get_one_unchanged(store: PassageStore) -> None:
    store.add([OLD])
    assert store.add([A], replace="own") == AddReport(unchanged=1)
    assert source_of(store.get(["1"])[0]) == "/a/x.md"
    assert store.add([B], replace="own").left_out == 1
    store.check()


def test_who_adds_without_a_source_neither_loses_nor_changes_it(store: PassageStore) -> None:
    store.add([A])
    assert store.add([OLD]) == AddReport(unchanged=1)
    private = Passage("1", "from a", metadata={"year": 2, PRIVATE_KEY: ["node:1", "source:1", ["{}"]]})
    store.add([private])
    (found,) = store.get(["1"])
    assert (source_of(found), found.metadata[PRIVATE_KEY][0]) == ("/a/x.md", "node:1")
    store.add([A])
    (found,) = store.get(["1"])
    assert (source_of(found), found.metadata[PRIVATE_KEY][0], found.visible_metadata) == (
        "/a/x.md",
        "node:1",
        {"year": 1},
    )


def test_given_vectors_of_a_left_out_passage_are_left_out_too(tmp_path: Path) -> None:
    with PassageStore.open(tmp_path / "s") as store:
        store.add([A], vectors=[[1.0, 0.0]])
        report = store.add([B, FREE], vectors=[[0.0, 1.0], [1.0, 1.0]], replace="own")
        assert (report.added, report.left_out) == (1, 1)
        assert np.array_equal(store.get_vectors(["1"])["1"], [1.0, 0.0])


def test_sources_are_seen_by_filters_and_by_nobody_else(store: PassageStore, tmp_path: Path) -> None:
    store.add([A, FREE])
    store.optimize()
    for _ in range(2):
        assert store.count({"_dpr_rag_source": {"$startswith": "/a/"}}) == 1
        store.add([with_source(OLD, "/c/x.md")])
        assert store.count({"_dpr_rag_source": "/c/x.md"}) == 1
        store.add([A])
    assert A.visible_metadata == {"year": 1}
    write_jsonl(tmp_path / "p.jsonl", [A])
    assert list(read_jsonl(tmp_path / "p.jsonl")) == [OLD]
    write_tsv(tmp_path / "p.tsv", [FREE])
    assert list(read_tsv(tmp_path / "p.tsv")) == [Passage("2", "free")]


def test_another_writer_in_between_is_noticed(store: PassageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ids were free when the batch was encoded, and are another source's when it is written."""
    encode = store.encoder.encode_passages

    def meanwhile(passages: list[Passage]) -> np.ndarray:
        monkeypatch.setattr(store.encoder, "encode_passages", encode)
        store.add([A])
        return encode(passages)

    monkeypatch.setattr(store.encoder, "encode_passages", meanwhile)
    assert store.add([B, FREE], replace="own") == AddReport(added=1, owners={"/a/x.md": 1})
    assert store.get(["1"]) == [A]


def test_policies_that_there_are_not_are_refused(store: PassageStore) -> None:
    with pytest.raises(StoreError, match="replace is 'none', expected 'any' or 'own'"):
        store.add([A], replace="none")  # type: ignore[arg-type]


def test_a_source_is_the_files_own_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "docs")
    monkeypatch.chdir(tmp_path)
    assert source_path("link/a.md") == source_path(tmp_path / "docs" / "a.md") == str(tmp_path.resolve() / "docs/a.md")
    assert source_path(b"caf\xe9.md".decode("utf-8", "surrogateescape")).endswith("/caf\\xe9.md")
