"""Refuses binary files and devices, recognised by their first bytes."""

from __future__ import annotations

import errno
import stat
from pathlib import Path

from dpr_rag.errors import UnreadableError
from dpr_rag.faces import ByFace

LENGTH = 16
"""How many first bytes :func:`refuse_foreign` asks for."""
PARQUET = b"PAR1"
GZIP = b"\x1f\x8b"
_FEWEST_PAIRS = 4
_UNPACK = "unpack it first, with {}; only gzip is read packed"
_IN_UTF_8 = ByFace("convert it to UTF-8, for example with iconv", page="save it as UTF-8")
_EXPORT = "export it as text, JSONL or CSV"
_FORMS = {
    b"PK\x03\x04": (
        "a zip archive (as .docx, .xlsx and .npz are, too)",
        "unpack it first, or let a Word document's name end in .docx",
    ),
    b"\x28\xb5\x2f\xfd": ("Zstandard-compressed", _UNPACK.format("unzstd")),
    b"\xfd7zXZ\0": ("xz-compressed", _UNPACK.format("unxz")),
    b"\x04\x22\x4d\x18": ("LZ4-compressed", _UNPACK.format("unlz4")),
    b"7z\xbc\xaf\x27\x1c": ("a 7-Zip archive", _UNPACK.format("7z x")),
    b"\xff\xfe\0\0": ("UTF-32 text", _IN_UTF_8),  # before the mark of UTF-16, with which its own begins
    b"\0\0\xfe\xff": ("UTF-32 text", _IN_UTF_8),
    b"\xff\xfe": ("UTF-16 text", _IN_UTF_8),
    b"\xfe\xff": ("UTF-16 text", _IN_UTF_8),
    b"%PDF-": ("a PDF document", "give it a name that ends in .pdf"),
    b"\xd0\xcf\x11\xe0": ("an old or encrypted Office document", "save it as .docx without a password"),
    b"SQLite format 3\0": ("an SQLite database", _EXPORT),
    b"\x93NUMPY": ("a NumPy array", "give a file of passages or questions"),
    b"ARROW1": ("an Arrow file", "give it a name that ends in .arrow where passages are read, or write it as Parquet"),
    PARQUET: ("a Parquet file", "give it a name that ends in .parquet where passages are read, or export it"),
}
_OTHERS = {
    "images": (
        ".png .jpg .jpeg .gif .bmp .tif .tiff .webp .svg .heic .ico",
        "recognise the text in it first, as a PDF",
    ),
    "spreadsheets": (".xlsx .xls .xlsm .ods .numbers", "save the sheet as CSV"),
    "old Word documents": (".doc .dot", "save it as .docx"),
    "documents of this kind": (".odt .rtf .pages .wpd .epub .mobi", "save it as .docx or PDF"),
    "presentations": (".ppt .pptx .odp .key", "save it as PDF"),
    "sound and films": (".mp3 .wav .ogg .flac .m4a .mp4 .mov .avi .mkv .webm", "give a transcript"),
    "archives": (".zip .rar .tar .tgz", "unpack it, and give what is inside"),
    "mails": (".eml .msg .mbox", "save it as text"),
}
_BY_ENDING = {ending: (what, remedy) for what, (endings, remedy) in _OTHERS.items() for ending in endings.split()}


def refuse_other_kinds(path: Path) -> None:
    """Refuse what people have in their folders and no reader reads, by the ending of its name.

    Raises:
        UnreadableError: Saying what to do instead.
    """
    if path.suffix.lower() in _BY_ENDING:
        what, remedy = _BY_ENDING[path.suffix.lower()]
        raise UnreadableError(f"{path}: {what} are not read; {remedy}")


def unmarked_utf_16(head: bytes) -> str:
    """The codec of UTF-16 without a byte order mark, or an empty string; such text is valid UTF-8, with a NUL in each pair.

    Args:
        head: The first ``LENGTH`` bytes of a file, or more.
    """
    pairs = head[: min(LENGTH, len(head)) // 2 * 2]
    first, second = pairs[::2], pairs[1::2]
    if len(pairs) < 2 * _FEWEST_PAIRS:
        return ""
    if all(first) and not any(second):
        return "utf-16-le"
    return "utf-16-be" if all(second) and not any(first) else ""


def refuse_foreign(path: Path, head: bytes, *, is_packed: bool = False) -> None:
    """Refuse a file whose first bytes say that it is no text.

    Args:
        path: The file, for the message.
        head: Its first ``LENGTH`` bytes, or more.
        is_packed: Whether they were gzipped, so that another name for the file would not help.

    Raises:
        UnreadableError: It is packed, or of a form that is read by other programs.
    """
    bzip2 = head[:3] == b"BZh" and head[4:7] == b"1AY"
    known = (
        [("bzip2-compressed", _UNPACK.format("bunzip2"))]
        if bzip2
        else [_FORMS[magic] for magic in _FORMS if head.startswith(magic)]
    )
    known += [("UTF-16 text", _IN_UTF_8)] if unmarked_utf_16(head) else []
    if is_packed:
        names = [what for what, _ in known] + ["a gzipped file"] * head.startswith(GZIP)
        for what in names:
            raise UnreadableError(f"{path}: is {what} that was gzipped; unpack it with gunzip, and give that file")
    for what, remedy in known:
        raise UnreadableError(f"{path}: is {what}; " + remedy)


def exists(path: Path) -> bool:
    """Whether something is at a path, links followed.

    Raises:
        UnreadableError: It may not be looked at, as in a folder that may not be entered.
    """
    try:
        path.stat()
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}:
            return False
        raise UnreadableError(f"{path}: cannot be read ({error.strerror or error}); check the path") from error
    return True


def refuse_pipe(path: Path) -> None:
    """Refuse a pipe where a file is looked at before it is read: what was looked at would be gone.

    Raises:
        UnreadableError: It is one.
    """
    try:
        is_pipe = stat.S_ISFIFO(path.stat().st_mode) or stat.S_ISSOCK(path.stat().st_mode)
    except OSError:
        return
    if is_pipe:
        raise UnreadableError(
            f"{path}: is a pipe, which can be read only once, expected a file, whose form is looked at first; write what comes "
            "out of it to a file, and give that"
        )


def refuse_device(path: Path) -> None:
    """Refuse a device, such as ``/dev/zero``, which has no end; regular files and pipes have one.

    A path where nothing is, is for the reader to refuse.

    Raises:
        UnreadableError: It is one.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        raise UnreadableError(f"{path}: is a device, expected a file or a pipe; copy what is on it to a file first")
