"""Folders of texts, web pages, PDF and Word files, split into passages of 100 words at most, at the ends of sentences."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

from dpr_rag.arguments import is_blank
from dpr_rag.corpora.gzipped import unpacked_name
from dpr_rag.corpora.lines import BAD_TEXT, LeftOut, OnBad, tell
from dpr_rag.corpora.magic import exists, refuse_pipe
from dpr_rag.corpora.scans import scans_of
from dpr_rag.corpora.splitting import split_lines
from dpr_rag.corpora.text_files import NEEDS_PYPDF, check_text, is_beyond, read_written
from dpr_rag.corpora.walking import EMPTY, UNREADABLE_PAGE, in_words, not_found, walk
from dpr_rag.errors import CorpusError, PassageError, UnreadableError
from dpr_rag.faces import ByFace, message_of
from dpr_rag.passages import OnBadText, Passage, check_on_bad_text
from dpr_rag.paths import place_of

_log = logging.getLogger(__name__)
SUFFIXES = (".txt", ".md", ".html", ".htm", ".xhtml", ".docx", ".pdf")
WORDS = 100


def read_texts(
    path: str | Path,
    *,
    words: int = WORDS,
    sentences: bool = True,
    on_bad: OnBad = None,
    on_bad_text: OnBadText = "error",
    left_out: LeftOut | None = None,
) -> Iterator[Passage]:
    """Split text files into disjoint passages of 100 words at most, with the line breaks of the file.

    Passages end where sentences do. DPR cuts Wikipedia after every hundredth word (paper, section 4.1), as
    ``sentences=False`` does; among 232 short documents of SQuAD's paragraphs such passages were found less often (top-1 by answer
    66.0 against 73.2, top-5 88.6 against 92.8, 500 questions, the default encoder), as some lose half a sentence and others
    are a few last words.

    In scripts without spaces between words, such as those of Chinese, Japanese and Thai, three characters count as two
    words, so that a model reads all of a passage, and a cut falls behind punctuation where it can.

    Of web pages (.html, .htm, .xhtml) scripts, styles and navigation are left out, see
    :func:`~dpr_rag.corpora.html.decode_html` for their charset; of Word documents (.docx) what tracked changes have deleted.
    PDF files need pypdf: without it they are left out of a folder and counted. Their passages have ``page`` in their
    metadata, from 1, and ``last_page`` where they go on to another; pages that show a picture and no text but a page number are
    left out, counted and told by file. Nothing is fetched that a file refers to.

    A passage's title is the file's own (the first markdown heading, the title of a page or document), or its name without
    its ending; its id is the folder's
    name with the path inside it, ``#`` and a number from 1. Hidden files and folders, linked folders and files of other
    endings are passed over.

    Args:
        path: A folder, read in sorted order with what lies below it, or one file, which is read as text where its ending
            says nothing else.
        words: Largest number of words of a passage.
        sentences: Whether a passage ends where a sentence does, unless the sentence alone is longer; False cuts anywhere.
        on_bad: Takes the errors of files and folders that cannot be read, such as texts that are not UTF-8, of pages and of
            broken links, all of which are left out, and of the bad lines where one file is given; None raises the first.
        on_bad_text: What becomes of lone surrogates, which the names of files can bring into ids and titles; see
            :meth:`~dpr_rag.Passage.made`.
        left_out: Takes the number of files, folders, links and passages that were passed over, by reason.

    Yields:
        The passages.

    Raises:
        CorpusError: A bad line, with the file's name and the line's number; a missing path; words below 1.
        UnreadableError: A file or folder that cannot be read, an encrypted file, or a scan without text.
        MissingExtraError: One PDF file is given, and pypdf is not installed.
    """
    read = read_by_file(
        path, words=words, sentences=sentences, on_bad=on_bad, on_bad_text=on_bad_text, left_out=left_out
    )
    return (passage for passage, _ in read)


def read_by_file(
    path: str | Path,
    *,
    words: int = WORDS,
    sentences: bool = True,
    on_bad: OnBad = None,
    on_bad_text: OnBadText = "error",
    left_out: LeftOut | None = None,
) -> Iterator[tuple[Passage, Path]]:
    """Read passages as :func:`read_texts` does, each with its file."""
    path = place_of(path)
    counted = LeftOut() if left_out is None else left_out
    check_on_bad_text(on_bad_text)
    if words < 1:
        raise CorpusError(f"words is {words}, expected at least 1, such as {WORDS}")
    if not exists(path):
        raise not_found(path, ByFace("give a folder of .txt, .md, .html, .docx and .pdf files, or one file"))
    for file, name in _files(path, on_bad, counted):
        number, bad = 0, _Heard(on_bad, None if file == path else counted)
        try:
            if file != path:
                check_text(file)
            written = read_written(file, bad.hear if on_bad else None)
            texts = split_lines(written.lines, words, sentences=sentences)
            for number, text in enumerate((text for text in texts if not is_blank(text)), 1):
                fields = (
                    f"{name}#{number}",
                    text,
                    written.title or unpacked_name(file).stem,
                    written.place_of_next(text),
                )
                yield from ((passage, file) for passage in _made(*fields, on_bad, on_bad_text, counted))
        except UnreadableError as error:
            if file == path:
                raise
            counted[error.counted_by] += 1
            tell(on_bad, error)
        else:
            counted.update([] if number or bad.count else [EMPTY])
            scans = scans_of(name, written.pages.scans if written.pages else 0)
            counted.update(scans)
            if scans and left_out is None:
                _log.warning("left out: %s", in_words(scans))


class _Heard:
    """Passes errors of one file on and counts them, to tell a file that could not be read from an empty one.

    A page of a file in a folder is left out as a whole file is: it does not end the reading of all others.
    """

    def __init__(self, on_bad: OnBad, of_folder: LeftOut | None) -> None:
        self._on_bad, self._of_folder, self.count = on_bad, of_folder, 0

    def hear(self, error: CorpusError) -> None:
        self.count += 1
        if self._of_folder is None:
            tell(self._on_bad, error)
        else:
            self._of_folder[UNREADABLE_PAGE] += 1
            tell(self._on_bad, UnreadableError(message_of(error), UNREADABLE_PAGE))


def _made(
    name: str,
    text: str,
    title: str,
    metadata: Mapping[str, int],
    on_bad: OnBad,
    on_bad_text: OnBadText,
    left_out: LeftOut,
) -> Iterator[Passage]:
    """The passage, unless it is bad or skipped."""
    try:
        passage = Passage.made(name, text, title, metadata, on_bad_text=on_bad_text)
    except PassageError as error:
        tell(on_bad, CorpusError(f"{name!r:.200}: " + message_of(error)))
        return
    if passage is None:
        left_out[BAD_TEXT] += 1
    else:
        yield passage


def _files(path: Path, on_bad: OnBad, left_out: LeftOut) -> Iterator[tuple[Path, str]]:
    if not path.is_dir():
        if unpacked_name(path).suffix.lower() == ".md":
            refuse_pipe(path)  # its heading is looked for first; texts and web pages can come out of one
        yield path, path.name
        return
    top = path.resolve().name
    for file in walk(path, SUFFIXES, on_bad=on_bad, left_out=left_out):
        if is_beyond(file):
            left_out[NEEDS_PYPDF] += 1
            continue
        yield file, f"{top}/{file.relative_to(path).as_posix()}"
