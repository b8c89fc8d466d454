"""BEIR folders: ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/{split}.tsv``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dpr_rag.corpora.lines import LeftOut, OnBad, id_of, read_json_lines, write_objects, writing
from dpr_rag.corpora.magic import exists
from dpr_rag.corpora.qrels import Judgement, read_qrels, with_judgements
from dpr_rag.corpora.question import Question, strings, text_of
from dpr_rag.corpora.tabular import exported_metadata, read_jsonl
from dpr_rag.errors import CorpusError
from dpr_rag.passages import OnBadText, Passage, check_question
from dpr_rag.paths import place_of, writing_to

_QRELS_HEADER = "query-id\tcorpus-id\tscore"


def read_beir(
    folder: str | Path, *, on_bad: OnBad = None, on_bad_text: OnBadText = "error", left_out: LeftOut | None = None
) -> Iterator[Passage]:
    """Read the passages of a BEIR folder.

    Args:
        folder: The folder with ``corpus.jsonl``, possibly ``corpus.jsonl.gz``.
        on_bad: Takes the errors of bad lines; None raises the first.
        on_bad_text: What becomes of lone surrogates, see :meth:`~dpr_rag.Passage.made`.
        left_out: Takes the number of passages that ``on_bad_text="skip"`` passed over.

    Raises:
        CorpusError: A bad line or a missing file.
    """
    return read_jsonl(corpus_file(folder), on_bad=on_bad, on_bad_text=on_bad_text, left_out=left_out)


def corpus_file(folder: str | Path) -> Path:
    """The file that holds the passages of a BEIR folder."""
    return _file(folder, "corpus.jsonl")


def _file(folder: str | Path, name: str) -> Path:
    plain = place_of(folder) / name
    packed = plain.with_name(f"{plain.name}.gz")
    return packed if exists(packed) and not exists(plain) else plain


def read_beir_questions(
    folder: str | Path, *, split: str | None = None, on_bad: OnBad = None, left_out: LeftOut | None = None
) -> Iterator[Question]:
    """Read the questions of a BEIR folder.

    Args:
        folder: The folder with ``queries.jsonl``.
        split: Name of a file in ``qrels/``: only its questions are read, with the relevant passages as
            ``positive_ids``. The judgements are held in memory.
        on_bad: Takes the errors of bad lines; None raises the first.
        left_out: Takes the number of questions that the split does not judge, and of those that are judged and missing.

    Raises:
        CorpusError: A bad line or a missing file.
    """
    questions = read_json_lines(_file(folder, "queries.jsonl"), lambda item, _: _question(item), on_bad)
    if split is None:
        yield from questions
        return
    qrels, counted = _file(folder, f"qrels/{split}.tsv"), LeftOut() if left_out is None else left_out
    judgements = read_qrels(qrels, on_bad=on_bad)
    yield from with_judgements(questions, judgements, name=f"qrels/{qrels.name}", zeros=True, left_out=counted)


def _question(item: dict[str, Any]) -> Question:
    metadata = item.get("metadata")
    answers = item.get("answers", metadata.get("answers") if isinstance(metadata, dict) else None)
    known = item.get("_id", item.get("id"))
    return Question(text_of(id_of(known), "_id"), check_question(item.get("text")), strings(answers, "answers"))


def write_beir(
    folder: str | Path,
    passages: Iterable[Passage],
    *,
    questions: Iterable[Question] = (),
    splits: Mapping[str, Iterable[Judgement]] | None = None,
) -> None:
    """Write a BEIR folder.

    Args:
        folder: The folder, made if it is missing; its files are replaced.
        passages: What ``corpus.jsonl`` holds.
        questions: What ``queries.jsonl`` holds; answers go into their metadata, as BEIR has no place for them.
        splits: Judgements by the name of their split, such as ``test``; None writes one split ``test`` of the
            questions' ``positive_ids``.

    Raises:
        CorpusError: A file cannot be written, or an id holds a tab or a line end.
    """
    folder = place_of(folder)
    with writing_to(folder, CorpusError):
        (folder / "qrels").mkdir(parents=True, exist_ok=True)
    items = list(questions)
    write_objects(folder / "corpus.jsonl", map(_passage_object, passages))
    write_objects(folder / "queries.jsonl", map(_question_object, items))
    own = {"test": [Judgement(item.id, known, 1) for item in items for known in item.positive_ids]}
    for split, judgements in (own if splits is None else splits).items():
        _write_qrels(folder / "qrels" / f"{split}.tsv", judgements)


def _passage_object(passage: Passage) -> dict[str, Any]:
    fields = {"_id": passage.id, "title": passage.title, "text": passage.text, "metadata": exported_metadata(passage)}
    return fields


def _question_object(question: Question) -> dict[str, Any]:
    metadata = {"answers": list(question.answers)} if question.answers else {}
    return {"_id": question.id, "text": question.question, "metadata": metadata}


def _write_qrels(path: Path, judgements: Iterable[Judgement]) -> None:
    with writing(path) as file:
        file.write(f"{_QRELS_HEADER}\n")
        for item in judgements:
            # BEIR's readers know no quoting here
            if any(mark in item.question_id + item.passage_id for mark in '\t\r\n"'):
                raise CorpusError(f"{path}: the ids of {item} hold a tab, quote or line end; rename them")
            file.write(f"{item.question_id}\t{item.passage_id}\t{item.relevance}\n")
