"""Datasets that Hugging Face's ``datasets`` saved to disk: Arrow streams beside JSON, read without that library."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dpr_rag.corpora.columnar import ROWS, import_pyarrow, layout_of, passages_of
from dpr_rag.corpora.fields import Maker
from dpr_rag.corpora.json_files import member, read_json
from dpr_rag.corpora.lines import refuse_unopened
from dpr_rag.corpora.records import Found, Opened, Reading
from dpr_rag.errors import CorpusError
from dpr_rag.faces import ByFace

_STATE, _INFO, _SPLITS = "state.json", "dataset_info.json", "dataset_dict.json"
_OF_FILE = b"ARROW1"


def is_dataset(folder: Path) -> bool:
    """Whether a folder is what ``Dataset.save_to_disk`` or ``DatasetDict.save_to_disk`` makes."""
    return (folder / _STATE).is_file() or (folder / _SPLITS).is_file()


def open_dataset(path: Path, reading: Reading) -> Opened:
    """Open a saved dataset, or one ``.arrow`` file.

    The files are Arrow's streams, as ``save_to_disk`` writes them, in the order of ``state.json``; nothing of the dataset's
    own code is looked at. Columns, and what becomes of bytes and vectors, are as for
    :func:`~dpr_rag.corpora.read_parquet`; images and sounds are bytes.

    Args:
        path: The folder, or a file.
        reading: How to read it; ``part`` is the split.

    Raises:
        CorpusError: A file is missing or malformed, or several splits are there and none was named.
        MissingExtraError: pyarrow is not installed.
    """
    import_pyarrow("A dataset of Hugging Face's datasets")
    if path.is_file():
        return Opened(_read(path, [path], {}, reading))
    folder, split = _split_of(path, reading.part)
    read = _read(folder, _files(folder), _features(folder), reading)
    return Opened(read, f"the split {split} of a saved dataset" if split else "a saved dataset")


def _split_of(folder: Path, part: str | None) -> tuple[Path, str | None]:
    listed = folder / _SPLITS
    if not listed.is_file():
        if part is not None:
            raise CorpusError(f"{folder}: is one dataset without splits; leave the split {part!r:.80} out")
        return folder, None
    names = member(listed, read_json(listed), "splits", list)
    splits = [name for name in names if isinstance(name, str) and Path(name).name == name]
    if part is None and len(splits) == 1:
        part = splits[0]
    if part not in splits:
        wrong = "" if part is None else f"there is no split {part!r:.80}; "
        raise CorpusError(
            f"{folder}: {wrong}its splits are {', '.join(splits) or 'none'}; name the split with "
            + ByFace("part=NAME", cli="--split NAME")
        )
    return folder / part, part


def _files(folder: Path) -> list[Path]:
    state_file = folder / _STATE
    state = read_json(state_file)
    entries = member(state_file, state, "_data_files", list)
    names = [entry.get("filename") if isinstance(entry, dict) else None for entry in entries]
    if not names or not all(isinstance(name, str) and name and Path(name).name == name for name in names):
        raise CorpusError(
            f"{state_file}: _data_files is {entries!r:.120}, expected a list of objects with the filename of a file beside it; "
            "save the dataset anew"
        )
    if state.get("_indices_data_files"):
        raise CorpusError(
            f"{state_file}: rows are chosen by _indices_data_files; save the dataset anew with datasets 2 or later"
        )
    files = [folder / str(name) for name in names]
    for file in files:
        if not file.is_file():
            raise CorpusError(f"{file}: is missing, though {_STATE} names it; fetch or save the dataset anew")
    return files


def _features(folder: Path) -> dict[str, str]:
    """Feature types of the columns by name, such as ``Image``, as ``dataset_info.json`` records them."""
    info = folder / _INFO
    features = read_json(info).get("features") if info.is_file() else None
    known = features.items() if isinstance(features, dict) else ()
    return {
        name: str(kind["_type"])
        for name, kind in known
        if isinstance(kind, dict) and kind.get("_type", "Value") != "Value"
    }


def _read(folder: Path, files: list[Path], features: dict[str, str], reading: Reading) -> Iterator[Found]:
    with Maker.counting(folder, reading.left_out, reading.on_bad_text) as maker:
        for at, file in enumerate(files):
            with _stream(file) as stream:
                layout = layout_of(file, stream.schema, reading.columns, vectors=reading.vectors, features=features)
                maker.left_out.update(layout.beside if not at else ())
                parts = (part.select(list(layout.kept)) for part in _parts(stream))
                yield from passages_of(file, parts, layout, maker, reading.on_bad)


@contextmanager
def _stream(file: Path) -> Iterator[Any]:
    """Open an Arrow file in stream or file format; errors name the file."""
    arrow = import_pyarrow("Arrow")
    try:
        # not mapped into memory, where a file that shrinks while it is read would end the process
        with arrow.OSFile(str(file)) as opened:
            whole = opened.read(len(_OF_FILE)) == _OF_FILE
            opened.seek(0)
            yield arrow.ipc.open_file(opened) if whole else arrow.ipc.open_stream(opened)
    except (arrow.ArrowException, OSError, UnicodeDecodeError) as error:
        refuse_unopened(file, error)
        raise CorpusError(
            f"{file}: is no Arrow file that can be read ({error!s:.200}); save the dataset anew"
        ) from error


def _parts(stream: Any) -> Iterator[Any]:
    batches = map(stream.get_batch, range(stream.num_record_batches)) if hasattr(stream, "get_batch") else iter(stream)
    for batch in batches:
        batch.validate(full=True)  # a damaged file's offsets would lead outside of it
        yield from (batch.slice(start, ROWS) for start in range(0, batch.num_rows, ROWS))
