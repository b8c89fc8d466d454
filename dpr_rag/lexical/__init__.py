"""BM25 over immutable segments of postings, derived from the stored texts."""

from __future__ import annotations

from dpr_rag.lexical.analysis import LANGUAGES, Analyzer, analysis_of
from dpr_rag.lexical.postings import Postings
from dpr_rag.lexical.scoring import BM25, PHRASES, Corpus

__all__ = ["BM25", "LANGUAGES", "PHRASES", "Analyzer", "Corpus", "Postings", "analysis_of"]
