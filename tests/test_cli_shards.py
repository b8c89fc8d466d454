"""`index --vectors`: passages meet the vectors that were made of them elsewhere; and the demo on a small library."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from tiny import TinyEncoder
from typer.testing import CliRunner, Result

from dpr_rag import Passage, PassageStore
from dpr_rag.cli import demo, models, shards
from dpr_rag.cli.app import app
from dpr_rag.corpora import read_docstrings, write_tsv, write_vectors
from dpr_rag.errors import CorpusError

PASSAGES = [Passage(str(n), f"passage {n} of many", f"t{n}") for n in range(1, 11)]
VECTORS = np.eye(10, 12, dtype=np.float32)


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args], prog_name="dpr-rag")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    write_tsv(tmp_path / "corpus.tsv", PASSAGES)
    return tmp_path / "corpus.tsv"


def shard(folder: Path, name: str, rows: slice, prefix: str = "") -> Path:
    path = folder / f"{name}.npy"
    write_vectors(path, [([prefix + passage.id for passage in PASSAGES[rows]], VECTORS[rows])])
    return path


def test_shards_bring_their_vectors(tmp_path: Path, corpus: Path) -> None:
    first = shard(tmp_path, "first", slice(0, 4), prefix="wiki:")
    second = shard(tmp_path, "second", slice(6, 9))
    store = tmp_path / "store.dpr"
    done = run(
        "index", corpus, "--store", store, "--vectors", first, "--vectors", second, "--batch-size", 2, "--skip-bad"
    )
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("added 7, replaced 0, unchanged 0 in ")
    with PassageStore.open(store, read_only=True) as opened:
        assert [passage.id for passage in opened] == ["1", "2", "3", "4", "7", "8", "9"]
        hits = opened.search(VECTORS[[1, 7]], 1)
        assert [(hit.passage.id, hit.passage.title, hit.score) for (hit,) in hits] == [
            ("2", "t2", 1.0),
            ("8", "t8", 1.0),
        ]
        assert opened.info().fingerprint == ""
    assert "2 passages between those with vectors have none and were left out" in done.stderr
    assert "the shards end before the corpus: '10' and what follows have no vectors and were left out" in done.stderr


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ((slice(0, 4), slice(6, 10)), "second.npy: 2 passages before '7' have no vectors"),
        ((slice(0, 4), slice(4, 9)), "the shards end before the corpus: '10' and what follows have no vectors"),
        ((slice(0, 4), slice(0, 4)), "second.npy: the vector of '1' has no passage in the rest of the corpus"),
    ],
)
def test_a_missing_or_doubled_shard_is_an_error(
    tmp_path: Path, corpus: Path, rows: tuple[slice, slice], words: str
) -> None:
    given = [
        part
        for name, one in zip(("first", "second"), rows, strict=True)
        for part in ("--vectors", shard(tmp_path, name, one))
    ]
    done = run("index", corpus, "--store", tmp_path / "store.dpr", *given)
    assert done.exit_code == 1
    assert words in done.stderr


def test_shards_out_of_order_are_refused(tmp_path: Path, corpus: Path) -> None:
    late, early = shard(tmp_path, "late", slice(5, 8)), shard(tmp_path, "early", slice(0, 2))
    order = ("--vectors", late, "--vectors", early)
    done = run("index", corpus, "--store", tmp_path / "store.dpr", *order)
    assert done.exit_code == 1
    assert "late.npy: 5 passages before '6' have no vectors" in done.stderr
    assert "give all shards in the corpus's order" in done.stderr
    done = run("index", corpus, "--store", tmp_path / "store.dpr", *order, "--skip-bad")
    assert done.exit_code == 1
    assert "early.npy: the vector of '1' has no passage in the rest of the corpus" in done.stderr


def test_matched_reads_one_passage_beyond_what_it_needs(tmp_path: Path) -> None:
    passages = iter(PASSAGES)
    pairs = list(shards.matched(passages, [shard(tmp_path, "part", slice(2, 4))], partial=True))
    assert [passage.id for passage, _ in pairs] == ["3", "4"]
    np.testing.assert_array_equal(np.stack([vector for _, vector in pairs]), VECTORS[2:4])
    assert next(passages).id == "6"  # the one before tells that the shards end early
    with pytest.raises(CorpusError, match="has no passage"):
        list(shards.matched(iter(PASSAGES[:3]), [shard(tmp_path, "more", slice(2, 4))], partial=True))


def test_demo_hands_quiet_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[bool] = []

    @contextmanager
    def progress(label: str, total: int | None, *, quiet: bool = False) -> Iterator[Callable[[int], None]]:
        given.append(quiet)
        yield lambda done: None

    monkeypatch.setattr(models.ModelChoice, "load", lambda choice: TinyEncoder())
    monkeypatch.setattr("dpr_rag.corpora.open_corpus", lambda path: iter(PASSAGES))
    monkeypatch.setattr("dpr_rag.cli.indexing.progress", progress)
    assert run("demo", "--store", tmp_path / "demo.dpr").exit_code == 0
    assert run("demo", "--store", tmp_path / "demo.dpr", "--quiet").exit_code == 0
    assert given == [False, True]


def test_demo_indexes_once_and_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def small_library(path: str, **options: object) -> Iterator[Passage]:
        asked.append(path)
        return read_docstrings(["gzip", "atexit"])

    monkeypatch.setattr(models.ModelChoice, "load", lambda choice: TinyEncoder())
    monkeypatch.setattr("dpr_rag.corpora.open_corpus", small_library)
    store = tmp_path / "demo.dpr"
    first = run("demo", "--store", store)
    assert first.exit_code == 0, first.output
    assert asked[0] == "python:"
    answers = first.stdout.split("\n\n")
    assert [part.splitlines()[0] for part in answers[1:-1]] == list(demo.QUESTIONS)
    assert all("  [" in part.splitlines()[1] for part in answers[1:-1])
    assert f"search {store} 'how do I …?'" in answers[-1]
    count = len(list(read_docstrings(["gzip", "atexit"])))
    assert first.stdout.startswith(f"added {count}, replaced 0, unchanged 0 in ")
    assert run("demo", "--store", store).stdout.startswith(f"added 0, replaced 0, unchanged {count} in ")
    assert json.loads(run("info", store, "--json").stdout)["passages"] == count
    newer = TinyEncoder("tiny")
    newer.fingerprint = "newer-64"
    monkeypatch.setattr(models.ModelChoice, "load", lambda choice: newer)
    assert f"dpr-rag reencode {store} --model default" in run("search", store, "gzip").stderr
    after = run("demo", "--store", store)
    assert after.stdout.startswith(f"added 0, replaced 0, unchanged {count} in ")
    assert "an earlier version's default encoder" in after.stderr
    assert json.loads(run("info", store, "--json").stdout)["fingerprint"] == "newer-64"
    assert "an earlier version's" not in run("demo", "--store", store).stderr
    v1, v2 = (TinyEncoder(f"dpr-rag-mini-v{version}") for version in (1, 2))
    v1.fingerprint, v2.fingerprint = "v1-64", "v2-64"
    by_v1 = tmp_path / "v1.dpr"
    for encoder, text in ((v1, ""), (v2, "an earlier version's default encoder")):
        monkeypatch.setattr(models.ModelChoice, "load", lambda choice, encoder=encoder: encoder)
        demonstrated = run("demo", "--store", by_v1)
        assert demonstrated.exit_code == 0, demonstrated.output
        assert text in demonstrated.stderr
        assert json.loads(run("info", by_v1, "--json").stdout)["fingerprint"] == encoder.fingerprint
    monkeypatch.setattr(models.ModelChoice, "load", lambda choice: TinyEncoder("others"))
    assert run("demo", "--store", store).exit_code == 1
    assert json.loads(run("info", store, "--json").stdout)["fingerprint"] == "newer-64"
