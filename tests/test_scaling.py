"""Encoding to parts, in shards and after interruptions; loading, exporting and merging without encoding again."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from tiny import TinyEncoder

from dpr_rag import Passage, PassageStore, RemoteStore
from dpr_rag.corpora import Columns, open_corpus, read_vectors
from dpr_rag.corpora.columnar import PART
from dpr_rag.corpora.parts import parts_of, read_mark, read_part
from dpr_rag.encoder import Vectors
from dpr_rag.errors import CorpusError, DprRagError, EncoderMismatchError, PassageError, StoreError, UnreadableError
from dpr_rag.faces import on_face
from dpr_rag.passages import SOURCE_KEY
from dpr_rag.scaling import Encoded, Shard, copy, encode, encoder_of_parts, export, load, merge, origin_of, recorded
from dpr_rag.store.reports import MadeBy

ODD = {"n": 2**53, "f": 0.1, "list": [1, "é", None, {"a": True}], "_dpr_rag_source": "/a/file.txt"}
PASSAGES = [
    Passage(f"p{n}", f"text {n} about \U0001f600 and {n * 7}", f"title {n}" if n % 3 else "", {**ODD, "n": n})
    for n in range(23)
]
ENCODER = TinyEncoder()


def told(passages: Sequence[Passage]) -> list[tuple[str, str, str, str]]:
    return [(one.id, one.title, one.text, repr(one.metadata)) for one in passages]


def held(folder: Path, *more: Path) -> tuple[list[Passage], Vectors]:
    read = [read_part(file) for file, _ in parts_of([folder, *more])]
    return [passage for passages, _ in read for passage in passages], np.concatenate([vectors for _, vectors in read])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class Dying(TinyEncoder):
    """Encodes so many passages, and then fails as a killed process would."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.left = most

    def encode_passages(self, passages: Sequence[Passage]) -> Vectors:
        self.left -= len(passages)
        if self.left < 0:
            raise KeyboardInterrupt
        return super().encode_passages(passages)


def test_a_corpus_comes_back_out_of_its_parts(tmp_path: Path) -> None:
    assert encode(iter(PASSAGES), ENCODER, tmp_path / "out", rows=10) == Encoded(23, 0, 23, 3)
    assert names(tmp_path / "out") == [f"part-0000000{n}.parquet" for n in range(3)]
    passages, vectors = held(tmp_path / "out")
    assert told(passages) == told(PASSAGES)
    assert np.array_equal(vectors, ENCODER.encode_passages(PASSAGES))
    mark = read_mark(tmp_path / "out" / "part-00000002.parquet")
    assert (mark.number, mark.passages, mark.last, mark.dim, mark.fingerprint) == (2, 3, True, 64, "tiny-64")


def test_a_corpus_that_fills_its_last_part_ends_with_it(tmp_path: Path) -> None:
    encode(PASSAGES[:20], ENCODER, tmp_path, rows=10)
    assert [mark.last for _, mark in parts_of([tmp_path])] == [False, True]


@pytest.mark.parametrize("of", [2, 3, 5])
def test_shards_make_the_parts_that_one_process_makes(tmp_path: Path, of: int) -> None:
    encode(PASSAGES, ENCODER, tmp_path / "whole", rows=4)
    order = random.Random(of).sample(range(of), of)
    done = [encode(PASSAGES, ENCODER, tmp_path / "out", shard=Shard(n, of), rows=4) for n in order]
    assert sum(one.encoded for one in done) == 23
    for name in names(tmp_path / "whole"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        encode(PASSAGES, Dying(12), tmp_path, rows=5)
    assert names(tmp_path) == ["part-00000000.parquet", "part-00000001.parquet"]
    seen: list[int] = []
    assert encode(PASSAGES, ENCODER, tmp_path, rows=5, progress=seen.append) == Encoded(13, 10, 23, 5)
    assert seen == [5, 10, 15, 20, 23]
    assert encode(PASSAGES, Dying(0), tmp_path, rows=5) == Encoded(0, 23, 23, 5)
    assert told(held(tmp_path)[0]) == told(PASSAGES)


def test_a_place_that_cannot_be_written_is_found_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    encoder = Dying(23)
    with pytest.raises(CorpusError, match=r"out: cannot be written \(a file stands where a folder is needed\)"):
        encode(PASSAGES, encoder, tmp_path / "out")
    assert encoder.left == 23


def test_a_full_disk_leaves_no_half_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(CorpusError, match=r"cannot be written .No space left"):
        encode(PASSAGES, ENCODER, tmp_path)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda passages: passages[1:], "part 0 of another corpus"),
        (lambda passages: [*passages[:7], Passage("p7", "other"), *passages[8:]], "part 1 of another corpus"),
        (lambda passages: passages[:20], "part 3 of another corpus"),
        (lambda passages: [*passages, Passage("new", "new")], "part 4 of another corpus"),
    ],
)
def test_another_corpus_does_not_mix_with_an_earlier_one(tmp_path: Path, change: object, words: str) -> None:
    encode(PASSAGES, ENCODER, tmp_path, rows=5)
    with pytest.raises(CorpusError, match=words):
        encode(change(PASSAGES), ENCODER, tmp_path, rows=5)  # type: ignore[operator]


def test_another_encoder_or_size_does_not_mix_with_an_earlier_one(tmp_path: Path) -> None:
    encode(PASSAGES, ENCODER, tmp_path, rows=5)
    with pytest.raises(CorpusError, match="is of the encoder 'tiny-64', not of 'other-64'; encode to a new folder"):
        encode(PASSAGES, TinyEncoder("other"), tmp_path, rows=5)
    with pytest.raises(CorpusError, match="cut by another rows=; encode"):
        encode(PASSAGES, ENCODER, tmp_path, rows=6)


def test_the_file_that_passages_came_from_may_lie_elsewhere(tmp_path: Path) -> None:
    moved = [Passage(p.id, p.text, p.title, {**p.metadata, "_dpr_rag_source": "/mnt/b.txt"}) for p in PASSAGES]
    encode(PASSAGES, ENCODER, tmp_path, shard=Shard(0, 2), rows=5)
    encode(moved, ENCODER, tmp_path, shard=Shard(1, 2), rows=5)
    assert len(parts_of([tmp_path])) == 5


@pytest.mark.parametrize("text", ["", "1", "2/2", "-1/2", "0/0", "a/b", "1/2/3", "0.5/2", "²/3", "0/" + "9" * 30])
def test_a_shard_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(CorpusError, match="shard"):
        Shard.parsed(text)


def test_a_part_too_long_to_be_read_again_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dpr_rag.corpora.parts.LARGEST", 1000)
    with pytest.raises(CorpusError, match="give a smaller rows=") as refused:
        encode(PASSAGES, ENCODER, tmp_path)
    assert on_face(refused.value, "cli").endswith("give a smaller --part-size")
    assert names(tmp_path) == []


def test_no_passages_are_no_corpus(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="holds no passage"):
        encode([], ENCODER, tmp_path)


class TestLoading:
    """What is not whole is not loaded."""

    @pytest.fixture
    def out(self, tmp_path: Path) -> Path:
        encode(PASSAGES, ENCODER, tmp_path / "out", rows=5)
        return tmp_path / "out"

    def opened(self, tmp_path: Path, out: Path) -> PassageStore:
        return PassageStore.open(tmp_path / "store.dpr", encoder=encoder_of_parts([out]))

    def test_a_store_gets_passages_vectors_and_encoder(self, tmp_path: Path, out: Path) -> None:
        with self.opened(tmp_path, out) as store:
            report = load([out], store, batch_size=3)
            assert (report.added, report.unchanged) == (23, 0)
            assert told(list(store)) == told(PASSAGES)
            assert load([out], store).unchanged == 23
            with pytest.raises(EncoderMismatchError, match=r"the model that did it \(tiny\) is not loaded"):
                store.encode_questions(["text 3"])
        with PassageStore.open(tmp_path / "store.dpr", encoder=ENCODER) as store:
            found = store.get_vectors([passage.id for passage in PASSAGES])
            for passage, vector in zip(PASSAGES, ENCODER.encode_passages(PASSAGES), strict=True):
                assert np.array_equal(found[passage.id], vector)
            info = store.info()
            assert (info.fingerprint, info.source) == ("tiny-64", "tiny")
            assert list(info.filled or {}) == ["a runtime that the encoder does not name, elsewhere"]
            assert store.check().passages == 23
        with pytest.raises(EncoderMismatchError):
            PassageStore.open(tmp_path / "store.dpr", encoder=TinyEncoder("other"))

    @pytest.mark.parametrize(
        ("gone", "words"),
        [((0,), "lacks part 0 of"), ((1, 3), "lacks parts 1, 3 of"), ((4,), "lacks what comes after part 3 of")],
    )
    def test_a_missing_part_is_an_error(self, tmp_path: Path, out: Path, gone: Sequence[int], words: str) -> None:
        with self.opened(tmp_path, out) as store:
            for number in gone:
                (out / f"part-0000000{number}.parquet").unlink()
            with pytest.raises(CorpusError, match=words):
                load([out], store)
            assert store.count() == 0

    def test_a_doubled_part_is_an_error(self, tmp_path: Path, out: Path) -> None:
        (tmp_path / "two").mkdir()
        shutil.copy(out / "part-00000002.parquet", tmp_path / "two")
        with pytest.raises(CorpusError, match="are the same part of the corpus; remove one of them"):
            parts_of([out, tmp_path / "two"])

    def test_parts_of_two_corpora_are_an_error(self, tmp_path: Path, out: Path) -> None:
        encode([*PASSAGES[:8], *PASSAGES[9:], PASSAGES[8]], ENCODER, tmp_path / "two", rows=5)
        shutil.copy(tmp_path / "two" / "part-00000001.parquet", out)
        with pytest.raises(CorpusError, match=r"part-00000002.parquet does not follow"):
            parts_of([out])

    def test_parts_of_two_encoders_are_an_error(self, tmp_path: Path, out: Path) -> None:
        encode(PASSAGES, TinyEncoder("other"), tmp_path / "two", rows=5)
        shutil.copy(tmp_path / "two" / "part-00000001.parquet", out)
        with pytest.raises(CorpusError, match="is of the encoder 'other-64'"):
            parts_of([out])

    def test_a_store_of_another_encoder_takes_no_parts(self, tmp_path: Path, out: Path) -> None:
        with PassageStore.open(tmp_path / "store.dpr", encoder=TinyEncoder("other")) as store:
            with pytest.raises(EncoderMismatchError, match=r"'tiny-64'.*'other-64'"):
                load([out], store)
            store.add([Passage("a", "b")])
            with pytest.raises(EncoderMismatchError, match=r"'tiny-64'.*'other-64'"):
                load([out], store)

    def test_every_damaged_byte_is_found_or_harmless(self, out: Path) -> None:
        """A flipped byte of a part either ends in an error that names the file, or changes nothing that is read."""
        file = out / "part-00000001.parquet"
        whole, (passages, vectors) = file.read_bytes(), read_part(file)
        refused = 0
        for at in random.Random(5).sample(range(len(whole)), 150):
            file.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
            try:
                found = read_part(file)
            except CorpusError as error:
                refused += str(file) in str(error)
            else:
                assert told(found[0]) == told(passages)
                assert np.array_equal(found[1], vectors)
        assert refused > 100

    @pytest.mark.parametrize("size", [0, 4, 100, -1])
    def test_a_cut_part_is_refused(self, out: Path, size: int) -> None:
        file = out / "part-00000001.parquet"
        file.write_bytes(file.read_bytes()[:size])
        with pytest.raises(CorpusError, match="part-00000001"):
            parts_of([out])

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"form": 2}, "a later version"),
            ({"dim": -1}, "cannot be read"),
            ({"number": True}, "cannot be read"),
            ({"last": 1}, "cannot be read"),
            ({"fingerprint": None}, "cannot be read"),
            ({"extra": 1}, "cannot be read"),
        ],
    )
    def test_a_mark_that_is_none_is_refused(self, out: Path, change: dict[str, object], words: str) -> None:
        file = out / "part-00000001.parquet"
        table = pyarrow.parquet.read_table(file)
        mark = {**json.loads(table.schema.metadata[PART]), **change}
        pyarrow.parquet.write_table(table.replace_schema_metadata({PART: json.dumps(mark)}), file)
        with pytest.raises(CorpusError, match=words):
            read_mark(file)

    @pytest.mark.parametrize("number", [2, 10**7, 10**12])
    def test_a_part_under_another_name_is_refused_at_once(self, out: Path, number: int) -> None:
        file = out / "part-00000004.parquet"
        table = pyarrow.parquet.read_table(file)
        mark = {**json.loads(table.schema.metadata[PART]), "number": number}
        pyarrow.parquet.write_table(table.replace_schema_metadata({PART: json.dumps(mark)}), file)
        with pytest.raises(CorpusError, match="under the name of another one"):
            parts_of([out])

    def test_millions_of_missing_parts_are_counted_without_listing_them(self, out: Path) -> None:
        file = out / "part-00000004.parquet"
        table = pyarrow.parquet.read_table(file)
        mark = {**json.loads(table.schema.metadata[PART]), "number": 99_999_999}
        last = out / "part-99999999.parquet"
        pyarrow.parquet.write_table(table.replace_schema_metadata({PART: json.dumps(mark)}), last)
        file.unlink()
        with pytest.raises(CorpusError, match=r"lacks parts 4, 5, 6, 7, 8 … of"):
            parts_of([out])

    @pytest.mark.parametrize(
        "how",
        [
            {"column_encoding": {"text": "DELTA_BYTE_ARRAY"}, "use_dictionary": False},
            {"use_dictionary": ["text"]},
        ],
    )
    def test_few_bytes_that_stand_for_many_are_refused(self, out: Path, how: dict[str, object]) -> None:
        file = out / "part-00000001.parquet"
        pyarrow.parquet.write_table(pyarrow.parquet.read_table(file), file, **how)
        with pytest.raises(CorpusError, match="written in another way"):
            read_part(file)

    def test_more_rows_than_a_part_says_are_refused(self, out: Path) -> None:
        file = out / "part-00000001.parquet"
        table = pyarrow.parquet.read_table(file)
        twice = pyarrow.concat_tables([table, table]).replace_schema_metadata(table.schema.metadata)
        pyarrow.parquet.write_table(twice, file, use_dictionary=False)
        with pytest.raises(CorpusError, match="than it says"):
            read_part(file)

    def test_parquet_of_others_is_told(self, out: Path) -> None:
        file = out / "part-00000001.parquet"
        pyarrow.parquet.write_table(pyarrow.parquet.read_table(file).replace_schema_metadata(None), file)
        with pytest.raises(CorpusError, match="no part that dpr-rag encoded; index it with"):
            parts_of([out])

    def test_a_folder_of_parts_is_read_as_vectors(self, out: Path) -> None:
        read = list(read_vectors(out, block=4))
        assert [name for ids, _ in read for name in ids] == [passage.id for passage in PASSAGES]
        assert np.array_equal(np.concatenate([rows for _, rows in read]), ENCODER.encode_passages(PASSAGES))
        (out / "part-00000001.parquet").unlink()
        with pytest.raises(CorpusError, match="lacks part 1"):
            list(read_vectors(out))


class TestMoving:
    """Stores become parts, and one store."""

    def filled(self, path: Path, passages: Sequence[Passage], encoder: TinyEncoder = ENCODER) -> PassageStore:
        store = PassageStore.open(path, encoder=encoder)
        store.add(passages)
        return store

    def test_a_store_comes_back_out_of_its_parts(self, tmp_path: Path) -> None:
        with self.filled(tmp_path / "a", PASSAGES) as store:
            store.delete(["p4"])
            store.add([Passage("p5", "anew")])
            assert export(store, tmp_path / "out", rows=6) == Encoded(22, 0, 22, 4)
            assert export(store, tmp_path / "out", rows=6) == Encoded(0, 22, 22, 4)
            with PassageStore.open(tmp_path / "b", encoder=encoder_of_parts([tmp_path / "out"])) as other:
                load([tmp_path / "out"], other)
                assert told(list(other)) == told(list(store))
                everything = [passage.id for passage in store]
                ours, theirs = store.get_vectors(everything), other.get_vectors(everything)
                assert all(np.array_equal(ours[name], theirs[name]) for name in everything)

    def test_a_filter_exports_what_it_keeps(self, tmp_path: Path) -> None:
        with self.filled(tmp_path / "a", PASSAGES) as store:
            export(store, tmp_path / "out", filter={"n": {"$lt": 7}}, rows=3)
        passages, vectors = held(tmp_path / "out")
        assert told(passages) == told(PASSAGES[:7])
        assert np.array_equal(vectors, ENCODER.encode_passages(PASSAGES[:7]))

    def test_an_empty_store_exports_nothing(self, tmp_path: Path) -> None:
        with PassageStore.open(tmp_path / "a", encoder=ENCODER) as store, pytest.raises(StoreError, match="no passage"):
            export(store, tmp_path / "out")

    def test_stores_are_merged(self, tmp_path: Path) -> None:
        with (
            self.filled(tmp_path / "a", PASSAGES[:10]) as one,
            self.filled(tmp_path / "b", PASSAGES[8:]) as two,
            PassageStore.open(tmp_path / "c", encoder=recorded(one)) as whole,
        ):
            report = merge([one, two], whole, batch_size=4)
            assert (report.added, report.unchanged) == (23, 2)
            assert told(list(whole)) == told(PASSAGES)
            hits = whole.search(ENCODER.encode_questions(["text 9 title"]), 3)
            exact = ENCODER.encode_passages(PASSAGES) @ ENCODER.encode_questions(["text 9 title"])[0]
            assert [hit.score for hit in hits[0]] == sorted(exact.tolist(), reverse=True)[:3]
            assert whole.info().fingerprint == "tiny-64"
            assert merge([one, two], whole).unchanged == 25

    def test_one_corpus_that_was_read_from_two_places_is_merged(self, tmp_path: Path) -> None:
        here, elsewhere = (
            [Passage(f"p{i}", f"text {i}", "", {"year": i, SOURCE_KEY: at}) for i in (1, 2)] for at in "ab"
        )
        with (
            self.filled(tmp_path / "a", here) as one,
            self.filled(tmp_path / "b", [*elsewhere, Passage("p3", "text 3")]) as two,
            PassageStore.open(tmp_path / "c", encoder=recorded(one)) as whole,
        ):
            report = merge([one, two], whole, batch_size=2)
            assert (report.added, report.replaced, report.unchanged) == (3, 0, 2)
            assert [passage.metadata[SOURCE_KEY] for passage in whole.get(["p1", "p2"])] == ["a", "a"]
        with self.filled(tmp_path / "d", [Passage("p1", "text 1", "", {"year": 2, SOURCE_KEY: "b"})]) as other:
            with (
                PassageStore.open(tmp_path / "c") as whole,
                pytest.raises(PassageError, match="'p1' is another passage"),
            ):
                merge([other], whole)

    def test_views_are_merged_and_exported(self, tmp_path: Path) -> None:
        with (
            self.filled(tmp_path / "a", PASSAGES) as one,
            PassageStore.open(tmp_path / "c", encoder=recorded(one)) as whole,
        ):
            seen, rest = (one.restricted(where) for where in ({"id": "p3"}, {"$not": {"id": "p3"}}))
            first, second = sorted((seen.count(), rest.count()))
            assert first + second == len(PASSAGES)
            assert merge([rest, seen], whole).added == len(PASSAGES)
            assert sorted(told(list(whole))) == sorted(told(PASSAGES))
            assert whole.made_by() == one.made_by() == rest.made_by()
            assert export(rest, tmp_path / "out").passages == rest.count()
            assert whole.made_by() == MadeBy.of(whole.info())
            with pytest.raises(StoreError, match="info concerns the whole store"):
                merge([one], whole.restricted({"id": "p1"}))

    def test_an_empty_filter_exports_everything(self, tmp_path: Path) -> None:
        with self.filled(tmp_path / "a", PASSAGES) as one:
            assert export(one, tmp_path / "out", filter={}).passages == len(PASSAGES)

    @pytest.mark.parametrize(
        ("call", "said"),
        [
            (lambda store, out: merge(["a.dpr"], store), "store is str 'a.dpr', expected an open store"),
            (
                lambda store, out: merge("a.dpr", store),
                r"sources is the string 'a.dpr', expected .*; give \[store\] for one",
            ),
            (lambda store, out: copy("a.dpr", store), "store is str 'a.dpr', expected an open store"),
            (lambda store, out: copy(store, "a.dpr"), "store is str 'a.dpr', expected an open store"),
            (lambda store, out: export("a.dpr", out), "store is str 'a.dpr', expected an open store"),
            (lambda store, out: load([out], "a.dpr"), "store is str 'a.dpr', expected an open store"),
            (lambda store, out: recorded("a.dpr"), "store is str 'a.dpr', expected an open store"),
            (lambda store, out: load([], store), "no folder of parts was given"),
            (lambda store, out: load(5, store), "folders is int 5, expected a folder of parts, or a list of them"),
            *(
                (call, "is a service, which gives out no vectors")
                for call in (
                    lambda store, out: merge([RemoteStore("http://127.0.0.1:1")], store),
                    lambda store, out: copy(RemoteStore("http://127.0.0.1:1"), store),
                    lambda store, out: export(RemoteStore("http://127.0.0.1:1"), out),
                    lambda store, out: origin_of(RemoteStore("http://127.0.0.1:1")),
                )
            ),
        ],
    )
    def test_what_is_no_store_with_vectors_is_told_so(self, tmp_path: Path, call: Any, said: str) -> None:
        with self.filled(tmp_path / "a", PASSAGES[:3]) as one, pytest.raises(DprRagError, match=said):
            call(one, tmp_path / "out")

    def test_parts_are_not_written_into_a_store(self, tmp_path: Path) -> None:
        with self.filled(tmp_path / "a", PASSAGES[:3]) as one:
            for write in (lambda: export(one, one.path), lambda: encode(PASSAGES, ENCODER, one.path)):
                with pytest.raises(CorpusError, match="is a store; write the parts to a folder of their own"):
                    write()
            assert not list(one.path.glob("*.parquet"))
            with pytest.raises(
                StoreError, match="a holds no passage that the filter keeps; there is nothing to export"
            ):
                export(one, tmp_path / "out", filter={"n": -1})

    def test_a_folder_that_nobody_may_look_into_is_told_so(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """For root, who may look into any, the system is made to refuse."""
        locked, stat = tmp_path / "locked", os.stat
        locked.mkdir()

        def refusing(path: Any, *given: Any, **options: Any) -> os.stat_result:
            if str(path).startswith(f"{locked}{os.sep}"):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return stat(path, *given, **options)

        with self.filled(tmp_path / "a", PASSAGES[:3]) as one, monkeypatch.context() as patched:
            patched.setattr(os, "stat", refusing)
            with pytest.raises(UnreadableError, match=r"cannot be read \(Permission denied\); check the path"):
                export(one, locked / "parts")

    def test_a_lone_store_is_merged_as_a_list_of_one(self, tmp_path: Path) -> None:
        with (
            self.filled(tmp_path / "a", PASSAGES[:3]) as one,
            PassageStore.open(tmp_path / "c", encoder=recorded(one)) as whole,
        ):
            assert merge(one, whole).added == 3

    @pytest.mark.parametrize(("first", "second"), [(1, True), (1, 1.0), (0, False), ([{"a": 1}], [{"a": True}])])
    def test_values_that_python_takes_for_equal_are_two_contents(
        self, tmp_path: Path, first: object, second: object
    ) -> None:
        with (
            self.filled(tmp_path / "a", [Passage("p", "text", "", {"n": first})]) as one,
            self.filled(tmp_path / "b", [Passage("p", "text", "", {"n": second})]) as two,
            PassageStore.open(tmp_path / "c", encoder=recorded(one)) as whole,
        ):
            with pytest.raises(PassageError, match="'p' is another passage"):
                merge([one, two], whole)
            assert repr(whole.get(["p"])[0].metadata["n"]) == repr(first)

    def test_an_empty_target_of_another_encoder_takes_nothing(self, tmp_path: Path) -> None:
        with (
            self.filled(tmp_path / "a", PASSAGES[:2]) as one,
            PassageStore.open(tmp_path / "c", encoder=TinyEncoder("other")) as whole,
        ):
            with pytest.raises(EncoderMismatchError, match=r"several encoders.*tiny-64.*other-64"):
                merge([one], whole)
            assert whole.count() == 0

    def test_other_vectors_of_the_same_passages_are_not_taken_for_exported_ones(self, tmp_path: Path) -> None:
        for name, factor in (("a", 1), ("b", 2)):
            with PassageStore.open(tmp_path / name) as store:
                store.add(PASSAGES[:3], vectors=factor * ENCODER.encode_passages(PASSAGES[:3]))
        with PassageStore.open(tmp_path / "a") as one, PassageStore.open(tmp_path / "b") as two:
            export(one, tmp_path / "out")
            with pytest.raises(CorpusError, match="other vectors of the same passages"):
                export(two, tmp_path / "out")

    def test_an_id_with_two_contents_is_named(self, tmp_path: Path) -> None:
        with (
            self.filled(tmp_path / "a", PASSAGES[:2]) as one,
            self.filled(tmp_path / "b", [Passage("p1", "another")]) as two,
            PassageStore.open(tmp_path / "c", encoder=recorded(one)) as whole,
        ):
            with pytest.raises(PassageError, match=r"'p1' is another passage in .*b than in .*c; delete one"):
                merge([one, two], whole)
            assert [passage.text for passage in whole.get(["p1"])] == [PASSAGES[1].text]

    def test_stores_of_several_encoders_are_not_merged(self, tmp_path: Path) -> None:
        with (
            self.filled(tmp_path / "a", PASSAGES[:2]) as one,
            self.filled(tmp_path / "b", PASSAGES[2:4], TinyEncoder("other")) as two,
            PassageStore.open(tmp_path / "n") as nobodys,
            PassageStore.open(tmp_path / "c", encoder=recorded(one)) as whole,
        ):
            with pytest.raises(EncoderMismatchError, match=r"several encoders.*tiny-64.*other-64"):
                merge([one, two], whole)
            nobodys.add(PASSAGES[5:6], vectors=ENCODER.encode_passages(PASSAGES[5:6]))
            with pytest.raises(EncoderMismatchError, match="an encoder that nobody named"):
                merge([one, nobodys], whole)
            assert whole.count() == 0
            assert recorded(nobodys) is None

    def test_batches_are_passages_with_their_vectors(self, tmp_path: Path) -> None:
        with self.filled(tmp_path / "a", PASSAGES) as store:
            read = list(store.batches(5))
            assert [len(passages) for passages, _ in read] == [5, 5, 5, 5, 3]
            assert np.array_equal(np.concatenate([rows for _, rows in read]), ENCODER.encode_passages(PASSAGES))
            with pytest.raises(StoreError, match="size"):
                next(store.batches(0))

    def test_batches_end_where_the_store_is_encoded_anew(self, tmp_path: Path) -> None:
        with self.filled(tmp_path / "a", PASSAGES) as store:
            reading = store.batches(5)
            next(reading)
            store.reencode(TinyEncoder("other"))
            with pytest.raises(StoreError, match="encoded anew meanwhile"):
                next(reading)


def test_a_part_is_a_corpus_with_its_metadata_as_they_were(tmp_path: Path) -> None:
    passages = [Passage("1", "a", "t", {"n": 0, "tags": ["x", {"y": None}]}), Passage("2", "b")]
    encode(passages, TinyEncoder(), tmp_path / "parts")
    part = tmp_path / "parts" / "part-00000000.parquet"
    assert list(open_corpus(part)) == passages
    titled = list(open_corpus(part, columns=Columns(title="metadata")))
    assert [one.title for one in titled] == ['{"n": 0, "tags": ["x", {"y": null}]}', "{}"]


def test_folders_of_parts_and_stores_are_no_corpora_and_say_what_to_do(tmp_path: Path) -> None:
    encode([Passage("1", "a")], TinyEncoder(), tmp_path / "my parts")
    with PassageStore.open(tmp_path / "s.dpr", encoder=TinyEncoder()) as store:
        store.add([Passage("1", "a")])
    for name, command in ("my parts", "dpr-rag load '{}' --store STORE"), ("s.dpr", "dpr-rag merge {} -o STORE"):
        with pytest.raises(CorpusError) as raised:
            open_corpus(tmp_path / name)
        assert command.format(tmp_path / name) in on_face(raised.value, "cli")


def test_folders_are_given_as_text_too_and_one_without_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    encode([Passage("1", "a")], TinyEncoder(), "~/parts")
    with PassageStore.open(tmp_path / "s.dpr", encoder=TinyEncoder()) as store:
        assert load("~/parts", store).added == 1
        assert export(store, str(tmp_path / "out")).passages == 1
        for folders in (str(tmp_path / "out"), tmp_path / "out", [str(tmp_path / "out")], (tmp_path / "out",)):
            assert load(folders, store).unchanged == 1
        assert encoder_of_parts("~/parts").fingerprint == TinyEncoder().fingerprint
