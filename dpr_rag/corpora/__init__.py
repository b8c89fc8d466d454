"""The field's files of passages and questions: streaming readers and writers, and the choice among them."""

from __future__ import annotations

from dpr_rag.corpora.beir import read_beir, read_beir_questions, write_beir
from dpr_rag.corpora.columns import Columns
from dpr_rag.corpora.docstrings import read_docstrings
from dpr_rag.corpora.dpr_json import (
    Result,
    read_results,
    read_training,
    write_results,
    write_training,
)
from dpr_rag.corpora.embeddings import read_vectors, write_vectors
from dpr_rag.corpora.formats import FORMATS
from dpr_rag.corpora.langchain import read_langchain_folder
from dpr_rag.corpora.lines import LeftOut, OnBad, SkipReport
from dpr_rag.corpora.opening import open_by_place, open_corpus, open_reading
from dpr_rag.corpora.parquet import read_parquet
from dpr_rag.corpora.qrels import Judgement, read_qrels
from dpr_rag.corpora.question import Question
from dpr_rag.corpora.questions import read_questions, write_questions
from dpr_rag.corpora.records import Found, Opened, Reading
from dpr_rag.corpora.samples import TrainingPassage, TrainingSample
from dpr_rag.corpora.tables import read_csv, read_tsv
from dpr_rag.corpora.tabular import read_json, read_jsonl, write_jsonl, write_tsv
from dpr_rag.corpora.texts import read_texts
from dpr_rag.index.foreign import read_faiss_vectors
from dpr_rag.legacy import read_langchain_docstore

__all__ = [
    "FORMATS",
    "Columns",
    "Found",
    "Judgement",
    "LeftOut",
    "OnBad",
    "Opened",
    "Question",
    "Reading",
    "Result",
    "SkipReport",
    "TrainingPassage",
    "TrainingSample",
    "open_by_place",
    "open_corpus",
    "open_reading",
    "read_beir",
    "read_beir_questions",
    "read_csv",
    "read_docstrings",
    "read_faiss_vectors",
    "read_json",
    "read_jsonl",
    "read_langchain_docstore",
    "read_langchain_folder",
    "read_parquet",
    "read_qrels",
    "read_questions",
    "read_results",
    "read_texts",
    "read_training",
    "read_tsv",
    "read_vectors",
    "write_beir",
    "write_jsonl",
    "write_questions",
    "write_results",
    "write_training",
    "write_tsv",
    "write_vectors",
]
