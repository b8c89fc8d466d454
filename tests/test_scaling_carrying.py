"""What goes along with a copy beside passages and vectors, and what is said of the rest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engines import Server
from tiny import TinyEncoder
from typer.testing import CliRunner

from dpr_rag import MilvusStore, Passage, PassageStore, Ranking, open_store
from dpr_rag.cli.app import app
from dpr_rag.errors import NotAcknowledgedError, ServiceUnavailableError
from dpr_rag.fusion import Calibration, Tuned
from dpr_rag.scaling import carry, copy, encode, encoder_of_parts, export, load, merge, origin_of, recorded
from dpr_rag.store.recording import EARLIER, GIVEN
from dpr_rag.stores import WholeStore, whole

ENCODER = TinyEncoder()
PASSAGES = [Passage(f"p{at}", f"Die Häuser der Stadt {at} waren alt und schön.") for at in range(24)]
DENSE, HYBRID, WORDS = Ranking(), Ranking("hybrid", weight=0.7), Ranking("bm25")
CALIBRATIONS = {one: Calibration(1.0, float(at)) for at, one in enumerate((DENSE, HYBRID, WORDS))}
BY_WORDS = Tuned(HYBRID, CALIBRATIONS, questions=90, weight=0.7)
BY_VECTORS = Tuned(DENSE, CALIBRATIONS, questions=80, weight=0.9)


def run(*args: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(arg) for arg in args], prog_name="dpr-rag")
    return done.exit_code, " ".join(done.output.replace("│", " ").split())


def choice_of(store: WholeStore) -> tuple[Any, ...]:
    """What it is tuned to, without what binds it to a place."""
    tuned = store.tuned
    return () if tuned is None else (tuned.ranking, dict(tuned.calibrations), tuned.questions, tuned.weight)


def as_tuned(choice: Tuned) -> tuple[Any, ...]:
    return choice.ranking, dict(choice.calibrations), choice.questions, choice.weight


@pytest.fixture
def german(tmp_path: Path) -> Iterator[PassageStore]:
    place = tmp_path / "german.dpr"
    with PassageStore.open(place, encoder=ENCODER, language="german", dtype="float16") as store:
        store.add(PASSAGES)
        store.note_filled({"a machine": "2020-01-01T00:00:00+00:00"})
        yield store


@pytest.fixture
def engine(tmp_path: Path) -> str:
    pytest.importorskip("milvus_lite")
    return f"milvus+lite:{tmp_path / 'engine.db'}"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    pytest.importorskip("pymilvus")
    running = Server(tmp_path / "milvus")
    running.start()
    yield running
    running.stop()


def test_a_server_of_milvus_without_words_records_what_it_cannot_use(
    tmp_path: Path, german: PassageStore, server: Server
) -> None:
    german.set_tuned(BY_WORDS)
    address = server.address("carried")
    code, told = run("copy", german.path, address)
    assert (code, f"{german.path} has the language german of BM25 and the tuned ranking" in told) == (0, True), told
    code, told = run("copy", address, tmp_path / "back.dpr")
    assert (code, told.count("dpr-rag:")) == (0, 0), told
    with PassageStore.open(tmp_path / "back.dpr") as back:
        assert choice_of(back) == as_tuned(BY_WORDS)
        assert (back.info().language, back.info().dtype) == ("german", "float16")
        assert back.info().filled == german.info().filled


def test_a_folder_is_copied_with_language_dtype_ranking_and_what_filled_it(
    tmp_path: Path, german: PassageStore
) -> None:
    german.set_tuned(BY_WORDS)
    code, told = run("copy", german.path, tmp_path / "b.dpr")
    assert (code, told.partition(", in ")[0]) == (0, "copied 24; 0 were already there; 24 in all")
    with PassageStore.open(tmp_path / "b.dpr") as other:
        info, mine = other.info(), german.info()
        assert (info.language, info.dtype, info.ranking) == ("german", "float16", mine.ranking)
        assert info.filled == mine.filled
        assert list(info.filled or ()) == ["a machine", "a runtime that the encoder does not name"]
        assert choice_of(other) == as_tuned(BY_WORDS)


@pytest.mark.parametrize("choice", [BY_WORDS, BY_VECTORS], ids=["words", "vectors"])
def test_a_folder_comes_back_from_an_engine_as_it_was(
    tmp_path: Path, german: PassageStore, engine: str, choice: Tuned
) -> None:
    german.set_tuned(choice)
    code, told = run("copy", german.path, engine)
    said = "the language german of BM25" + (f" and the tuned ranking ({HYBRID})" if choice is BY_WORDS else "")
    assert code == 0
    assert f"{german.path} has {said}, which milvus+lite:" in told
    assert "does not use, as its engine counts words in its own way; a copy to a folder has it again" in told
    with MilvusStore.open(engine) as there:
        expected = () if choice is BY_WORDS else (DENSE, {DENSE: CALIBRATIONS[DENSE]}, 80, None)
        assert choice_of(there) == expected
        assert (there.info().filled, there.info().language) == (german.info().filled, "none")
    assert run("copy", engine, f"{engine}#again")[0] == 0
    for number, place in enumerate((engine, f"{engine}#again")):
        code, told = run("copy", place, tmp_path / f"back{number}.dpr")
        assert (code, told.count("dpr-rag:")) == (0, 0), told
        with PassageStore.open(tmp_path / f"back{number}.dpr") as back:
            info = back.info()
            assert (info.language, info.dtype, info.filled) == ("german", "float16", german.info().filled)
            assert (choice_of(back)[0], choice_of(back)[2]) == (choice.ranking, choice.questions)
            if choice is BY_WORDS:
                assert choice_of(back) == as_tuned(BY_WORDS)


def test_another_language_leaves_a_ranking_by_words_behind_and_says_so(tmp_path: Path, german: PassageStore) -> None:
    german.set_tuned(BY_WORDS)
    code, told = run("copy", german.path, tmp_path / "b.dpr", "--language", "english", "--dtype", "float32")
    assert code == 0
    assert "was left behind: it was found with the language german, and" in told
    with PassageStore.open(tmp_path / "b.dpr") as other:
        assert (other.info().language, other.info().dtype, other.tuned) == ("english", "float32", None)
    german.set_tuned(BY_VECTORS)
    code, told = run("copy", german.path, tmp_path / "c.dpr", "--language", "english")
    assert (code, "left behind" in told) == (0, False)
    with PassageStore.open(tmp_path / "c.dpr") as other:
        assert choice_of(other) == (DENSE, {DENSE: CALIBRATIONS[DENSE]}, 80, None)


def test_what_a_collection_was_tuned_to_goes_along_where_it_counts(
    tmp_path: Path, german: PassageStore, engine: str, caplog: pytest.LogCaptureFixture
) -> None:
    run("copy", german.path, engine)
    with MilvusStore.open(engine) as there:
        there.set_tuned(BY_WORDS)
    code, told = run("copy", engine, tmp_path / "b.dpr")
    assert code == 0
    assert "was left behind: it counts words as its engine does, which" in told
    with PassageStore.open(tmp_path / "b.dpr") as back:
        assert back.tuned is None
    assert run("copy", engine, f"{engine}#again")[0] == 0
    with MilvusStore.open(f"{engine}#again") as other:
        assert choice_of(other) == as_tuned(BY_WORDS)
        other.set_tuned(BY_VECTORS)
        with MilvusStore.open(engine) as there:
            caplog.clear()
            carry(there, other)
            assert "keeps what it is tuned to (dense)" in caplog.text
            assert choice_of(other) == as_tuned(BY_VECTORS)
    assert run("copy", f"{engine}#again", tmp_path / "c.dpr")[0] == 0
    with PassageStore.open(tmp_path / "c.dpr") as back:
        assert choice_of(back) == as_tuned(BY_VECTORS)


def test_a_second_copy_brings_what_the_folder_is_tuned_to_by_then(
    tmp_path: Path, german: PassageStore, engine: str
) -> None:
    german.set_tuned(BY_VECTORS)
    run("copy", german.path, engine)
    german.set_tuned(BY_WORDS)
    told = run("copy", german.path, engine)[1]
    assert f"and the tuned ranking ({HYBRID}), which milvus+lite:" in told
    with MilvusStore.open(engine) as there:
        assert choice_of(there) == ()
    run("copy", engine, tmp_path / "b.dpr")
    with PassageStore.open(tmp_path / "b.dpr") as back:
        assert choice_of(back) == as_tuned(BY_WORDS)
    german.set_tuned(BY_VECTORS)
    run("copy", german.path, engine)
    with MilvusStore.open(engine) as there:
        assert choice_of(there)[0] == DENSE
    german.set_tuned(None)
    run("copy", german.path, engine)
    with MilvusStore.open(engine) as there:
        assert (choice_of(there), there.origin.tuned) == ((), None)
        there.set_tuned(BY_VECTORS)
    german.set_tuned(BY_WORDS)
    told = run("copy", german.path, engine)[1]
    assert "keeps what it is tuned to (dense), and that of" in told
    assert "the tuned ranking" not in told
    with MilvusStore.open(engine) as there:
        assert choice_of(there) == as_tuned(BY_VECTORS)


def test_a_ranking_by_the_engines_words_gives_way_to_that_of_the_folder_and_says_so(
    tmp_path: Path, german: PassageStore, engine: str
) -> None:
    german.set_tuned(BY_VECTORS)
    run("copy", german.path, engine)
    with MilvusStore.open(engine) as there:
        there.set_tuned(BY_WORDS)
    told = run("copy", engine, tmp_path / "b.dpr")[1]
    assert "does not; it ranks as the folder that the passages came from, or tune it anew" in told
    with PassageStore.open(tmp_path / "b.dpr") as back:
        assert choice_of(back)[0] == DENSE


def test_a_collection_of_no_folder_has_no_language_and_says_so(tmp_path: Path, engine: str) -> None:
    with MilvusStore.open(engine, encoder=ENCODER) as there:
        there.add(PASSAGES)
        assert origin_of(there).language is None
        assert list(there.info().filled or ()) == ["a runtime that the encoder does not name"]
        filled = there.info().filled
    code, told = run("copy", engine, tmp_path / "b.dpr")
    assert code == 0
    assert "stems english; change it with: dpr-rag optimize DIR --language NAME" in told
    assert run("copy", engine, tmp_path / "c.dpr", "--language", "german", "--dtype", "float16")[0] == 0
    with PassageStore.open(tmp_path / "c.dpr") as back:
        assert (back.info().language, back.info().dtype, back.info().filled) == ("german", "float16", filled)


def test_options_of_a_folder_go_with_no_collection(german: PassageStore, engine: str) -> None:
    for option, value in (("--language", "german"), ("--dtype", "float16")):
        code, told = run("copy", german.path, engine, option, value)
        assert (code, "it goes with the folder of a store" in told) == (2, True)


def test_a_merged_store_says_what_filled_all_of_its_sources(tmp_path: Path, engine: str) -> None:
    moments = {"a": "2021-01-01T00:00:00+00:00", "b": "2020-01-01T00:00:00+00:00"}
    for at, (name, moment) in enumerate(moments.items()):
        with PassageStore.open(tmp_path / f"{name}.dpr", encoder=ENCODER) as store:
            store.add(PASSAGES[at * 12 : at * 12 + 12])
            store.note_filled({f"machine {name}": moment, "both": moment})
    for out in (tmp_path / "c.dpr", engine):
        told = [run("merge", tmp_path / "a.dpr", tmp_path / "b.dpr", "--out", out)[1] for _ in range(2)]
        assert [one.partition(", in ")[0] for one in told] == [
            "merged 24; 0 were already there; 24 in all",
            "merged 0; 24 were already there; 24 in all",
        ]
        with open_store(out) as merged:
            filled = whole(merged).info().filled or {}
            assert filled.keys() == {"machine a", "machine b", "both", "a runtime that the encoder does not name"}
            assert (filled["both"], list(filled)[:2]) == (moments["b"], ["both", "machine b"])


def test_parts_bring_what_made_them(tmp_path: Path, german: PassageStore, engine: str) -> None:
    export(german, tmp_path / "parts", rows=10)
    for place in (tmp_path / "b.dpr", engine):
        told = [run("load", tmp_path / "parts", "--store", place)[1].partition(", in ")[0] for _ in range(2)]
        assert told == ["loaded 24; 0 were already there; 24 in all", "loaded 0; 24 were already there; 24 in all"]
        with open_store(place) as loaded:
            assert whole(loaded).info().filled == german.info().filled

    class Running(TinyEncoder):
        runtime = "a GPU in bfloat16"

    encode(PASSAGES[:10], Running(), tmp_path / "more", rows=5)
    with PassageStore.open(tmp_path / "c.dpr", encoder=encoder_of_parts([tmp_path / "more"])) as loaded:
        load([tmp_path / "more"], loaded)
        assert list(loaded.info().filled or ()) == ["a GPU in bfloat16, elsewhere"]


def test_what_an_earlier_version_filled_says_that_it_is_not_known(engine: str, tmp_path: Path) -> None:
    with MilvusStore.open(engine, encoder=ENCODER) as there:
        there.add(PASSAGES[:3])
        there._collection.note(origin="")  # as it made them
        assert there.info().filled is None
        with PassageStore.open(tmp_path / "b.dpr", encoder=recorded(there)) as back:
            copy(there, back)
            assert back.info().filled == {EARLIER: ""}
        there.add(PASSAGES[3:5])
        assert list(there.info().filled or ()) == [EARLIER, "a runtime that the encoder does not name"]


def test_vectors_without_an_encoder_keep_when_they_were_given(tmp_path: Path, engine: str) -> None:
    with PassageStore.open(tmp_path / "a.dpr") as store:
        store.add(PASSAGES, vectors=ENCODER.encode_passages(PASSAGES))
        store.note_filled({GIVEN: "2020-01-01T00:00:00+00:00"})
        for place in (engine, tmp_path / "b.dpr"):
            with open_store(place) as target:
                copy(store, whole(target))
                assert whole(target).info().filled == {GIVEN: "2020-01-01T00:00:00+00:00"}


def test_two_clients_record_beside_each_other(german: PassageStore, engine: str) -> None:
    with MilvusStore.open(engine, encoder=ENCODER) as one, MilvusStore.open(engine, encoder=recorded(german)) as two:
        copy(german, two)
        one.add([Passage("more", "Eine Stadt am Fluss.")])
        with MilvusStore.open(engine) as there:
            assert (there.origin.language, there.origin.dtype) == ("german", "float16")
            assert list(there.info().filled or ()) == ["a machine", "a runtime that the encoder does not name"]


def test_an_empty_store_is_copied(tmp_path: Path, engine: str) -> None:
    with PassageStore.open(tmp_path / "empty.dpr") as empty:
        for place in (engine, str(tmp_path / "b.dpr")):
            with open_store(place) as target:
                assert copy(empty, whole(target)).total == 0


class _Leaving:
    """A store that goes away after so many batches."""

    def __init__(self, store: Any, batches: int) -> None:
        self._store, self._left = store, batches

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def add(self, passages: Any, **how: Any) -> Any:
        self._left -= 1
        if self._left < 0:
            ids = tuple(one.id for one in passages)
            raise NotAcknowledgedError("add them again", ids, 0) from ServiceUnavailableError("the engine is gone")
        return self._store.add(passages, **how)


def test_what_was_cut_off_says_how_far_it_is_and_how_to_go_on(
    tmp_path: Path, german: PassageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = r"the engine is gone; 16 of 24 passages are in .*b.dpr \({} were before\): call it again to go on"
    with PassageStore.open(tmp_path / "b.dpr", encoder=recorded(german)) as target:
        with pytest.raises(NotAcknowledgedError, match=said.format(0)) as caught:
            copy(german, _Leaving(target, 2), batch_size=8)
        assert (caught.value.acknowledged, caught.value.passage_ids[0]) == (16, "p16")
        with pytest.raises(NotAcknowledgedError, match=said.format(16)):
            copy(german, _Leaving(target, 2), batch_size=8)
        with pytest.raises(NotAcknowledgedError, match=said.format(16)):
            merge([german], _Leaving(target, 2), batch_size=8)
        export(german, tmp_path / "parts", rows=8)
        with pytest.raises(NotAcknowledgedError, match=said.format(16)):
            load([tmp_path / "parts"], _Leaving(target, 2), batch_size=8)
    from dpr_rag.cli import filling

    real = filling.StoreOptions.opened
    monkeypatch.setattr(filling.StoreOptions, "opened", lambda *given: _Entered(_Leaving(real(*given), 2)))
    code, told = run("copy", german.path, tmp_path / "c.dpr", "--batch-size", 4)
    assert code == 1
    assert "8 of 24 passages are in" in told
    assert told.endswith("run the same command again to go on")
    monkeypatch.undo()
    code, told = run("copy", german.path, tmp_path / "c.dpr")
    assert (code, told.partition(", in ")[0]) == (0, "copied 16; 8 were already there; 24 in all")


class _Entered:
    def __init__(self, store: Any) -> None:
        self._store = store

    def __enter__(self) -> Any:
        return self._store

    def __exit__(self, *raised: object) -> None:
        self._store.close()


def test_a_command_says_what_it_found_as_json(german: PassageStore, engine: str) -> None:
    run("copy", german.path, engine)
    assert json.loads(run("info", engine, "--json")[1])["filled"] == german.info().filled
