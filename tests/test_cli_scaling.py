"""`encode`, `load`, `export` and `merge`: what they write, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny import TinyEncoder
from typer.testing import CliRunner, Result

from dpr_rag import Passage, PassageStore
from dpr_rag.cli import models
from dpr_rag.cli.app import app
from dpr_rag.corpora import write_tsv

PASSAGES = [Passage(str(n), f"passage {n} of many", f"t{n}") for n in range(1, 24)]


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args], prog_name="dpr-rag")


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models.ModelChoice, "load", lambda choice: TinyEncoder())


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    write_tsv(tmp_path / "corpus.tsv", PASSAGES)
    return tmp_path / "corpus.tsv"


def test_two_shards_make_one_store(tmp_path: Path, corpus: Path) -> None:
    out, store = tmp_path / "out", tmp_path / "store.dpr"
    first = run("encode", corpus, "-o", out, "--part-size", 5, "--shard", "0/2")
    assert first.stdout.startswith("encoded 13 of 23 passages ")
    early = run("load", out, "--store", store)
    assert early.exit_code == 1
    assert "lacks parts 1, 3 of the corpus" in early.stderr
    assert not store.exists()
    assert run("encode", corpus, "-o", out, "--part-size", 5, "--shard", "1/2").stdout.startswith("encoded 10 of 23 ")
    assert run("load", out, "--store", store, "--index", "flat").stdout.startswith(
        "loaded 23; 0 were already there; 23 in all, "
    )
    with PassageStore.open(store, encoder=TinyEncoder(), read_only=True) as opened:
        assert [passage.id for passage in opened] == [passage.id for passage in PASSAGES]
        assert (opened.info().index, opened.check().passages) == ("flat", 23)
        made = TinyEncoder().encode_passages(PASSAGES)
        found = opened.get_vectors([passage.id for passage in PASSAGES])
        assert all(np.array_equal(found[one.id], vector) for one, vector in zip(PASSAGES, made, strict=True))


def test_vectors_without_an_encoder_are_exported_and_loaded(tmp_path: Path, corpus: Path) -> None:
    vectors = np.eye(23, 30, dtype=np.float32)
    with PassageStore.open(tmp_path / "own.dpr") as store:
        store.add(PASSAGES, vectors=vectors)
    assert run("export", tmp_path / "own.dpr", "-o", tmp_path / "out").exit_code == 0
    for store, said in ("new", "loaded 23; 0 were"), ("new", "loaded 0; 23 were"), ("own", "loaded 0; 23 were"):
        assert run("load", tmp_path / "out", "--store", tmp_path / f"{store}.dpr").stdout.startswith(said)
    with PassageStore.open(tmp_path / "new.dpr", read_only=True) as opened:
        assert opened.info().fingerprint == ""
        found = opened.get_vectors([passage.id for passage in PASSAGES])
        assert all(np.array_equal(found[one.id], vector) for one, vector in zip(PASSAGES, vectors, strict=True))
    run("index", corpus, "--store", tmp_path / "named.dpr")
    refused = run("load", tmp_path / "out", "--store", tmp_path / "named.dpr")
    assert refused.exit_code == 1
    assert "does not say which encoder made the vectors; name it with --model" in refused.stderr


def test_encoding_again_goes_on(tmp_path: Path, corpus: Path) -> None:
    run("encode", corpus, "-o", tmp_path / "out", "--part-size", 5)
    (tmp_path / "out" / "part-00000003.parquet").unlink()
    done = run("encode", corpus, "-o", tmp_path / "out", "--part-size", 5)
    assert done.stdout.startswith("encoded 5 of 23 passages, 18 were there ")


def test_encoded_vectors_meet_their_corpus(tmp_path: Path, corpus: Path) -> None:
    run("encode", corpus, "-o", tmp_path / "out", "--part-size", 5)
    done = run("index", corpus, "--store", tmp_path / "store.dpr", "--vectors", tmp_path / "out")
    assert done.stdout.startswith("added 23, "), done.output
    (tmp_path / "out" / "part-00000004.parquet").unlink()
    done = run("index", corpus, "--store", tmp_path / "other.dpr", "--vectors", tmp_path / "out")
    assert done.exit_code == 1
    assert "lacks what comes after part 3" in done.stderr


def test_a_store_is_exported_filtered_and_merged(tmp_path: Path, corpus: Path) -> None:
    run("index", corpus, "--store", tmp_path / "a")
    assert run("export", tmp_path / "a", "-o", tmp_path / "all").stdout.startswith("wrote 23 passages in 1 parts to ")
    for name, ids in (("b", ["3", "4"]), ("c", ["9"])):
        kept = f'{{"id": {{"$in": {ids}}}}}'.replace("'", '"')
        run("export", tmp_path / "a", "-o", tmp_path / f"{name}.parts", "--filter", kept)
        run("load", tmp_path / f"{name}.parts", "--store", tmp_path / name)
    done = run("merge", tmp_path / "b", tmp_path / "c", "-o", tmp_path / "whole")
    assert done.stdout.startswith("merged 3; 0 were already there; 3 in all, ")
    found = run("search", tmp_path / "whole", "passage 9", "--json")
    assert [line.split('"id": "')[1][0] for line in found.stdout.splitlines() if '"id"' in line][:1] == ["9"], (
        found.output
    )


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--shard", "2/2"), "of n shards the first is 0/n"),
        (("--shard", "one"), "expected i/n"),
        (("--address", "127.0.0.1:1"), "it goes with --engine ray"),
        (("--workers", "2"), "it goes with --engine ray"),
        (("--engine", "ray", "--shard", "0/2"), "shares the work out itself"),
        (("--format", "tvs"), "the format is 'tvs', expected one of"),
        (("--part-size", "0"), "greater than or equal to 1"),
    ],
)
def test_wrong_usage_ends_with_two(tmp_path: Path, corpus: Path, args: tuple[str, ...], words: str) -> None:
    done = run("encode", corpus, "-o", tmp_path / "out", *args)
    assert done.exit_code == 2
    assert words in " ".join(done.stderr.replace("│", " ").split())
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_written_is_told(tmp_path: Path, corpus: Path) -> None:
    done = run("encode", corpus, "-o", corpus / "out")
    assert done.exit_code == 1
    assert "corpus.tsv/out: cannot be written" in done.stderr


def test_parts_that_are_nowhere_and_a_store_without_passages_are_named(tmp_path: Path) -> None:
    told = run("load", tmp_path / "nowhere", "--store", tmp_path / "store.dpr")
    assert (told.exit_code, "nowhere: does not exist" in told.stderr) == (1, True)
    with PassageStore.open(tmp_path / "empty.dpr", encoder=TinyEncoder()):
        pass
    assert run("optimize", tmp_path / "empty.dpr", "--index", "hnsw").stdout.startswith(
        "flat (there are no passages yet"
    )


def test_a_refused_merge_makes_no_store(tmp_path: Path) -> None:
    for name, encoder in ("a", TinyEncoder()), ("b", TinyEncoder("other")):
        with PassageStore.open(tmp_path / f"{name}.dpr", encoder=encoder) as store:
            store.add([Passage(name, name)])
    done = run("merge", tmp_path / "a.dpr", tmp_path / "b.dpr", "-o", tmp_path / "m.dpr")
    assert done.exit_code == 1
    assert "several encoders" in done.stderr
    assert "m.dpr" not in done.stderr
    assert not (tmp_path / "m.dpr").exists()
