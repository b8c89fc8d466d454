"""What is whole of a damaged store comes out, verified and in order; what is not is named; the damaged one stays as it is."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from conftest import HashEncoder, make_passages
from typer.testing import CliRunner

from dpr_rag import Passage, PassageStore
from dpr_rag.cli.app import app
from dpr_rag.errors import EncoderMismatchError, StoreCorrupted, StoreError, StoreNotFoundError
from dpr_rag.storage.schema import FORMAT
from dpr_rag.store import RecoverReport

PAGE = 8192
COUNT = 400


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "store"
    with PassageStore.open(path, encoder=HashEncoder(), language="german", dtype="float16") as store:
        store.add(make_passages(COUNT))
        store.optimize()
        store.delete(["5", "6"])
        store.add([Passage("late", "a late text", "title", {"year": 1999})])
        store.private.write({"notes": {str(at): {"n": at} for at in range(50)}})
    return path


@pytest.fixture
def damaged(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "damaged"))


def content(path: Path) -> dict[str, tuple[Passage, bytes]]:
    with PassageStore.open(path, create=False, read_only=True) as store:
        passages = list(store)
        vectors = store.get_vectors([passage.id for passage in passages])
        return {passage.id: (passage, vectors[passage.id].tobytes()) for passage in passages}


def run(folder: Path, statement: str) -> None:
    with closing(sqlite3.connect(folder / "passages.sqlite")) as connection, connection:
        connection.execute(statement)


def overwrite(file: Path, page: int, fill: bytes = b"\xa5") -> None:
    with file.open("r+b") as opened:
        opened.seek(page * PAGE)
        opened.write(fill * PAGE)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_whole_store_comes_out_whole_with_its_settings(whole: Path, tmp_path: Path) -> None:
    report = PassageStore.recover(whole, tmp_path / "new")
    assert (report.passages, report.encoded, report.lost, report.entries) == (COUNT - 1, 0, (), 50)
    assert report.is_whole
    assert list(content(tmp_path / "new").items()) == list(content(whole).items())
    with PassageStore.open(tmp_path / "new", encoder=HashEncoder(), create=False) as store:
        info = store.info()
        assert (info.language, info.dtype, info.fingerprint) == ("german", "float16", HashEncoder().fingerprint)
        assert store.private.read("notes", ["7"]) == {"7": {"n": 7}}
        assert store.check().passages == COUNT - 1
        assert store.add(make_passages(3, 1000)).added == 3


@pytest.mark.parametrize(
    ("statement", "lost", "without"),
    [
        ("UPDATE passage SET text = 'other' WHERE row = 8", ("7",), ()),
        ("UPDATE passage SET metadata = x'ff00' WHERE row = 8", ("7",), ()),
        ("UPDATE passage SET text = CAST(x'ff41' AS TEXT) WHERE row = 8", ("7",), ()),
        ("UPDATE vector_a SET vector = zeroblob(32) WHERE row = 8", (), ("7",)),
        ("UPDATE vector_a SET vector = 'text' WHERE row = 8", (), ("7",)),
        ("DELETE FROM vector_a WHERE row = 8", (), ("7",)),
    ],
)
def test_one_damaged_row_costs_one_passage_which_is_named(
    damaged: Path, whole: Path, tmp_path: Path, statement: str, lost: tuple[str, ...], without: tuple[str, ...]
) -> None:
    run(damaged, statement)
    before = snapshot(damaged)
    report = PassageStore.recover(damaged, tmp_path / "new")
    assert (report.lost, report.without_vectors, report.nameless) == (lost, without, 0)
    assert content(tmp_path / "new") == {name: one for name, one in content(whole).items() if name != "7"}
    assert snapshot(damaged).items() >= {name: data for name, data in before.items() if "-shm" not in name}.items()


def test_with_the_encoder_a_damaged_vector_is_made_anew(damaged: Path, whole: Path, tmp_path: Path) -> None:
    run(damaged, "UPDATE vector_a SET vector = zeroblob(32) WHERE row = 8")
    report = PassageStore.recover(damaged, tmp_path / "new", encoder=HashEncoder())
    assert (report.encoded, report.without_vectors, report.is_whole) == (1, (), True)
    assert content(tmp_path / "new") == content(whole)


def test_another_encoder_is_refused_by_name(damaged: Path, tmp_path: Path) -> None:
    with pytest.raises(EncoderMismatchError, match=r"hash-16-.*not with 'hash-16-other'"):
        PassageStore.recover(damaged, tmp_path / "new", encoder=HashEncoder(salt="other"))
    assert not (tmp_path / "new").exists()


def recovered_or_none(damaged: Path, new: Path) -> RecoverReport | None:
    """None where the store is refused as one of which nothing can be read, with nothing left behind."""
    try:
        return PassageStore.recover(damaged, new, encoder=HashEncoder())
    except StoreError as error:
        if new.exists() or "passages.sqlite" not in str(error):
            raise
        return None


def hold_against(report: RecoverReport, new: Path, right: dict[str, tuple[Passage, bytes]]) -> None:
    found = content(new)
    missing = right.keys() - found.keys()
    assert set(report.lost) <= missing
    assert report.passages == len(found)
    with PassageStore.open(new, create=False) as store:
        assert store.check().passages == len(found)
    if report.nameless is None:  # with the store's own record the size of its numbers is lost
        assert all(found[name][0] == right[name][0] for name in found)
    else:
        assert found.items() <= right.items()
        assert len(missing) == len(report.lost) + len(report.without_vectors) + report.nameless


def test_whatever_page_is_lost_what_comes_out_is_right_and_what_does_not_is_counted(
    whole: Path, tmp_path: Path
) -> None:
    right = content(whole)
    file = tmp_path / "damaged" / "passages.sqlite"
    pages = (whole / "passages.sqlite").stat().st_size // PAGE
    outcomes = []
    for page in range(pages):
        shutil.rmtree(tmp_path / "damaged", ignore_errors=True)
        shutil.rmtree(tmp_path / "new", ignore_errors=True)
        shutil.copytree(whole, tmp_path / "damaged")
        overwrite(file, page, b"\xa5" if page % 2 else b"\0")
        report = recovered_or_none(tmp_path / "damaged", tmp_path / "new")
        outcomes.append(0 if report is None else report.passages)
        if report is not None:
            hold_against(report, tmp_path / "new", right)
    assert outcomes[0] == COUNT - 1  # the first page holds the schema alone
    assert min(outcomes) > COUNT / 2  # a page of passages costs those on it


@pytest.fixture(scope="module")
def thinned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Long texts, of which a block was deleted whole: its pages are empty, and still hold it."""
    path = tmp_path_factory.mktemp("thinned") / "store"
    file = path / "passages.sqlite"
    with PassageStore.open(path, encoder=HashEncoder()) as store:
        store.add([Passage(str(at), f"text-of-{at} " * (1500 if at % 50 == 0 else 90)) for at in range(COUNT)])
    before = file.read_bytes()
    with PassageStore.open(path, encoder=HashEncoder()) as store:
        store.delete([str(at) for at in range(100, 250)])
    after = bytearray(file.read_bytes())
    at = free_trunk(path) * PAGE
    for place in range(at + 8, at + 8 + 4 * int.from_bytes(after[at + 4 : at + 8], "big"), 4):
        page = (int.from_bytes(after[place : place + 4], "big") - 1) * PAGE
        after[page : page + PAGE] = before[page : page + PAGE]  # some builds of SQLite fill empty pages with zeros
    file.write_bytes(after)
    return path


def pages_of(store: Path, kinds: bytes) -> list[int]:
    data = (store / "passages.sqlite").read_bytes()
    return [at // PAGE for at in range(PAGE, len(data), PAGE) if data[at] in kinds]


def root_of(store: Path, name: str) -> int:
    with closing(sqlite3.connect(store / "passages.sqlite")) as connection:
        return int(connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)).fetchone()[0]) - 1


def recovered(store: Path, place: Path, pages: list[int]) -> tuple[RecoverReport, dict[str, tuple[Passage, bytes]]]:
    copy = Path(shutil.copytree(store, place / "copy"))
    for page in pages:
        overwrite(copy / "passages.sqlite", page)
    report = PassageStore.recover(copy, place / "new")
    shutil.rmtree(copy)
    found = content(place / "new")
    shutil.rmtree(place / "new")
    return report, found


def test_without_the_pages_that_lead_to_rows_all_come_out_and_none_that_was_deleted(
    thinned: Path, tmp_path: Path
) -> None:
    assert b"text-of-120 " in (thinned / "passages.sqlite").read_bytes()
    inner, right = pages_of(thinned, b"\x02\x05"), content(thinned)
    assert {root_of(thinned, "passage"), root_of(thinned, "vector_a")} <= set(inner)
    for pages in ([0], *([page] for page in inner), [0, *inner]):
        report, found = recovered(thinned, tmp_path, pages)
        assert report.is_whole
        assert list(found.items()) == list(right.items())


def test_without_the_list_of_empty_pages_the_index_on_ids_tells_what_was_deleted(thinned: Path, tmp_path: Path) -> None:
    trunk = free_trunk(thinned)
    report, found = recovered(thinned, tmp_path, [trunk, root_of(thinned, "passage")])
    assert report.is_whole
    assert found == content(thinned)


def test_what_may_have_been_deleted_is_named_where_it_cannot_be_told(thinned: Path, tmp_path: Path) -> None:
    roots = [root_of(thinned, name) for name in ("passage", "sqlite_autoindex_passage_1", "removed")]
    copy = Path(shutil.copytree(thinned, tmp_path / "damaged"))
    for page in (free_trunk(thinned), *roots):
        overwrite(copy / "passages.sqlite", page)
    report = PassageStore.recover(copy, tmp_path / "new", encoder=HashEncoder())
    deleted = content(tmp_path / "new").keys() - content(thinned).keys()
    assert deleted
    assert deleted <= set(report.may_be_deleted)
    assert content(thinned).keys() <= content(tmp_path / "new").keys()
    assert not report.is_whole
    done = CliRunner().invoke(app, ["recover", str(copy), str(tmp_path / "again")], prog_name="dpr-rag")
    assert "of the passages may be deleted ones or older versions" in " ".join(done.stderr.split())


def free_trunk(store: Path) -> int:
    data = (store / "passages.sqlite").read_bytes()
    return int.from_bytes(data[32:36], "big") - 1


def test_pages_are_read_as_the_log_left_them(tmp_path: Path) -> None:
    store = PassageStore.open(tmp_path / "store", encoder=HashEncoder())
    store.add([Passage(str(at), f"text-of-{at} " * 90) for at in range(60)])
    store.delete([str(at) for at in range(30)])
    copy = Path(shutil.copytree(tmp_path / "store", tmp_path / "killed"))
    store.close()
    assert (copy / "passages.sqlite-wal").stat().st_size > 0
    with (copy / "passages.sqlite").open("r+b") as file:
        file.write(b"\xa5" * PAGE)
    damage_first_page_in_log(copy)
    report = PassageStore.recover(copy, tmp_path / "new")
    assert report.is_whole
    assert content(tmp_path / "new") == content(tmp_path / "store")


def test_a_frame_that_claims_more_pages_than_there_can_be_costs_no_time(tmp_path: Path) -> None:
    """A hang guard: four thousand million empty pages take hours."""
    store = PassageStore.open(tmp_path / "store", encoder=HashEncoder())
    store.add([Passage(str(at), f"text-of-{at} " * 90) for at in range(40)])
    copy = Path(shutil.copytree(tmp_path / "store", tmp_path / "killed"))
    store.close()
    with (copy / "passages.sqlite").open("r+b") as file:
        file.write(b"\xa5" * PAGE)
    damage_first_page_in_log(copy)
    log = copy / "passages.sqlite-wal"
    data = bytearray(log.read_bytes())
    ends = [at for at in range(32, len(data) - PAGE, 24 + PAGE) if any(data[at + 4 : at + 8])]
    data[ends[-1] + 4] |= 0x80
    log.write_bytes(data)
    PassageStore.recover(copy, tmp_path / "new")
    assert content(tmp_path / "new") == content(tmp_path / "store")


def damage_first_page_in_log(folder: Path) -> None:
    """Damage the first page in the log as well, wherever it stands."""
    log = folder / "passages.sqlite-wal"
    data = bytearray(log.read_bytes())
    for at in range(32, len(data) - PAGE, 24 + PAGE):
        if data[at : at + 4] == b"\0\0\0\x01":
            data[at + 24 : at + 24 + PAGE] = b"\xa5" * PAGE
    log.write_bytes(data)


def test_without_the_stores_own_record_the_encoder_makes_all_vectors_anew(
    damaged: Path, whole: Path, tmp_path: Path
) -> None:
    run(damaged, "UPDATE state SET value = 'x'")
    with pytest.raises(StoreCorrupted, match=r"own record is damaged.*pass encoder="):
        PassageStore.recover(damaged, tmp_path / "new")
    report = PassageStore.recover(damaged, tmp_path / "new", encoder=HashEncoder())
    assert (report.passages, report.encoded, report.nameless, report.is_whole) == (COUNT - 1, COUNT - 1, None, False)
    assert content(tmp_path / "new").keys() == content(whole).keys()


def test_damaged_segments_and_notes_cost_nothing(damaged: Path, whole: Path, tmp_path: Path) -> None:
    for file in [path for path in (damaged / "index").rglob("*") if path.is_file()]:
        file.write_bytes(b"\xa5" * file.stat().st_size)
    (damaged / "writer.json").write_bytes(b"\xa5")
    assert PassageStore.recover(damaged, tmp_path / "new").is_whole
    assert content(tmp_path / "new") == content(whole)


def test_records_of_adapters_that_are_damaged_are_counted(damaged: Path, tmp_path: Path) -> None:
    run(damaged, "UPDATE entry SET value = '1' WHERE key IN ('3', '4')")
    report = PassageStore.recover(damaged, tmp_path / "new")
    assert (report.entries, report.lost_entries, report.is_whole) == (48, 2, False)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("state", ["UPDATE state SET value = 'x'", "DELETE FROM state"])
def test_a_damaged_passage_does_not_prove_itself_whole_where_the_state_is_lost(
    tmp_path: Path, count: int, state: str
) -> None:
    """Checksums are combined with a number that the state holds; without it, the other records tell the number."""
    encoder, old = HashEncoder(), tmp_path / "old"
    with PassageStore.open(old, encoder=encoder) as store:
        store.add(make_passages(count))
        store.private.write({"notes": {"one": 1}})
    run(old, "UPDATE passage SET text = 'DAMAGED' WHERE row = 1")
    run(old, state)
    report = PassageStore.recover(old, tmp_path / "new", encoder=encoder)
    with PassageStore.open(tmp_path / "new", encoder=encoder, create=False) as store:
        assert list(store) == make_passages(count)[1:]
    assert (report.lost, report.entries) == (("0",), 1)


def test_the_state_of_another_store_does_not_lose_the_passages(damaged: Path, tmp_path: Path) -> None:
    with PassageStore.open(tmp_path / "other", encoder=HashEncoder(), dtype="float16", language="german") as store:
        store.add(make_passages(COUNT + 1))
    with closing(sqlite3.connect(tmp_path / "other" / "passages.sqlite")) as connection:
        record = connection.execute("SELECT value, crc FROM state").fetchone()
    with closing(sqlite3.connect(damaged / "passages.sqlite")) as connection, connection:
        connection.execute("UPDATE state SET value = ?, crc = ?", record)
    PassageStore.recover(damaged, tmp_path / "new", encoder=HashEncoder())
    assert len(content(tmp_path / "new")) == COUNT - 1


def test_an_older_format_is_recovered_into_the_current_one(tmp_path: Path) -> None:
    for number in range(1, FORMAT):
        old = shutil.copytree(Path(__file__).parent / "golden" / f"format-{number}", tmp_path / f"old-{number}")
        report = PassageStore.recover(old, tmp_path / f"new-{number}")
        assert report.is_whole
        assert report.passages
        assert content(tmp_path / f"new-{number}") == content(Path(old))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_only_be_read_is_recovered(damaged: Path, whole: Path, tmp_path: Path) -> None:
    run(damaged, "UPDATE passage SET text = 'other' WHERE row = 8")
    for path in (*damaged.rglob("*"), damaged):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert PassageStore.recover(damaged, tmp_path / "new").lost == ("7",)
    finally:
        damaged.chmod(0o755)


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda path: path.mkdir(), StoreError, "exists already"),
        (lambda path: path.write_text("x"), StoreError, "exists already"),
    ],
)
def test_what_is_there_is_not_written_over(
    damaged: Path, tmp_path: Path, make: Callable[[Path], object], error: type[Exception], said: str
) -> None:
    make(tmp_path / "new")
    with pytest.raises(error, match=said):
        PassageStore.recover(damaged, tmp_path / "new")


def test_places_that_cannot_be_are_named(damaged: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="lies inside the store"):
        PassageStore.recover(damaged, damaged / "new")
    with pytest.raises(StoreNotFoundError, match="there is no store at"):
        PassageStore.recover(tmp_path / "nowhere", tmp_path / "new")


def test_the_command_lists_the_lost_ids_on_standard_output_and_ends_with_1(damaged: Path, tmp_path: Path) -> None:
    run(damaged, "UPDATE passage SET text = 'other' WHERE id IN ('7', '8')")
    run(damaged, "UPDATE vector_a SET vector = zeroblob(32) WHERE row = (SELECT row FROM passage WHERE id = '9')")
    done = CliRunner().invoke(app, ["recover", str(damaged), str(tmp_path / "new")], prog_name="dpr-rag")
    assert done.exit_code == 1
    assert sorted(done.stdout.split()) == ["7", "8", "9"]
    said = " ".join(done.stderr.split())
    assert "2 passages are lost" in said
    assert "1 passages were left out, their vectors are damaged; name the encoder" in said
    assert f"recovered {COUNT - 4:,} passages" in said


def test_the_command_says_how_many_came_out_of_a_whole_store(whole: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["recover", str(whole), str(tmp_path / "new")], prog_name="dpr-rag")
    assert (done.exit_code, done.stdout) == (0, "")
    assert np.isclose(len(content(tmp_path / "new")), COUNT - 1)


def test_damage_is_answered_with_recover_where_there_is_no_backup(damaged: Path) -> None:
    run(damaged, "UPDATE passage SET text = 'other' WHERE row = 8")
    with PassageStore.open(damaged, create=False) as store:
        with pytest.raises(StoreCorrupted, match=r"restore a backup.*dpr-rag recover DIR NEW"):
            store.get(["7"])
