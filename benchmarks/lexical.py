"""Compare engines for BM25 on the same passages and questions: this package, bm25s, SQLite FTS5 and tantivy.

    pip install bm25s tantivy && python benchmarks/lexical.py PASSAGES.jsonl.gz QUESTIONS.jsonl.gz [--count N]

Beyond the passages of the file, further ones up to ``--count`` are made by shuffling the words of two of them together.
Figures per engine, each in a process of its own: seconds to build, milliseconds a question (text in, 100 passages out, one
at a time), bytes on disk, peak memory in MiB beyond the texts, and the mean score of the best passage: bm25s and this
package use Lucene's formula with k1 0.9 and b 0.4, the others fix 1.2 and 0.75.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np

from dpr_rag import BM25, Passage
from dpr_rag.lexical import Analyzer, Corpus, Postings

TOP = 100
Search = Callable[[str], list[tuple[int, float]]]


def read(path: str, count: int) -> list[dict]:
    """Read the first ``count`` records of a gzipped JSONL file."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in islice(file, count)]


def passages(path: str, count: int) -> list[str]:
    """Titles with texts of the passages, followed by synthetic ones up to ``count``."""
    texts = [f"{record['title']} {record['text']}" for record in read(path, count)]
    draw = random.Random(0)
    real_count = len(texts)
    while len(texts) < count:
        words = [*texts[draw.randrange(real_count)].split()[::2], *texts[draw.randrange(real_count)].split()[1::2]]
        texts.append(" ".join(words))
    return texts


def ours(texts: list[str], folder: Path) -> Search:
    """This package's postings, written and memory-mapped as in a store."""
    analyzer = Analyzer()
    postings = Postings.of(((row, Passage(str(row), text)) for row, text in enumerate(texts, 1)), analyzer)
    files = postings.write(folder)
    del postings
    corpus = Corpus([Postings.open(folder, files)])

    def search(question: str) -> list[tuple[int, float]]:
        rows, scores = corpus.score(analyzer.sequence(question), BM25()).best(TOP)
        return list(zip((rows - 1).tolist(), scores.tolist(), strict=True))  # a store's rows are counted from 1

    return search


def of_bm25s(texts: list[str], folder: Path) -> Search:
    """The library bm25s, saved and memory-mapped; its own stop words and PyStemmer."""
    import bm25s
    import Stemmer

    stemmer = Stemmer.Stemmer("porter")

    def split(batch: list[str]) -> object:
        return bm25s.tokenize(
            batch, stopwords="en", stemmer=stemmer, token_pattern=r"(?u)\w+", show_progress=False, return_ids=False
        )

    engine = bm25s.BM25(k1=0.9, b=0.4)
    engine.index(split(texts), show_progress=False)
    engine.save(folder)
    engine = bm25s.BM25.load(folder, mmap=True)

    def search(question: str) -> list[tuple[int, float]]:
        rows, scores = engine.retrieve(split([question]), k=TOP, show_progress=False)
        return [(int(row), float(score)) for row, score in zip(rows[0], scores[0], strict=True) if score > 0]

    return search


def of_fts5(texts: list[str], folder: Path) -> Search:
    """SQLite's FTS5 without a copy of the texts; k1 and b are fixed."""
    connection = sqlite3.connect(folder / "fts.sqlite")
    connection.execute("CREATE VIRTUAL TABLE words USING fts5(text, content='', tokenize='porter unicode61')")
    connection.executemany("INSERT INTO words(rowid, text) VALUES (?, ?)", enumerate(texts))
    connection.execute("INSERT INTO words(words) VALUES ('optimize')")
    connection.commit()

    def search(question: str) -> list[tuple[int, float]]:
        query = " OR ".join(f'"{word}"' for word in re.findall(r"\w+", question))
        sql = "SELECT rowid, -rank FROM words WHERE words MATCH ? ORDER BY rank LIMIT ?"
        return connection.execute(sql, (query, TOP)).fetchall()

    return search


def of_tantivy(texts: list[str], folder: Path) -> Search:
    """Tantivy, Rust's Lucene; k1 and b are fixed."""
    import tantivy

    builder = tantivy.SchemaBuilder()
    builder.add_integer_field("row", stored=True)
    builder.add_text_field("text", stored=False, tokenizer_name="en_stem")
    index = tantivy.Index(builder.build(), path=str(folder))
    writer = index.writer(heap_size=256_000_000)
    for row, text in enumerate(texts):
        writer.add_document(tantivy.Document(row=row, text=text))
    writer.commit()
    writer.wait_merging_threads()
    index.reload()
    searcher = index.searcher()

    def search(question: str) -> list[tuple[int, float]]:
        query = index.parse_query(" ".join(re.findall(r"\w+", question)), ["text"])
        hits = searcher.search(query, TOP).hits
        return [(searcher.doc(address)["row"][0], score) for score, address in hits]

    return search


ENGINES = {"dpr-rag": ours, "bm25s": of_bm25s, "fts5": of_fts5, "tantivy": of_tantivy}


def measure(name: str, args: argparse.Namespace) -> dict[str, object]:
    """Index the passages with one engine and measure its searches."""
    texts = passages(args.passages, args.count)
    questions = [record["question"] for record in read(args.questions, args.asked)]
    peak_before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        start = time.perf_counter()
        search = ENGINES[name](texts, Path(folder))
        build_seconds = time.perf_counter() - start
        for question in questions[:20]:
            search(question)
        times, results = [], []
        for question in questions:
            start = time.perf_counter()
            results.append(search(question))
            times.append(1000 * (time.perf_counter() - start))
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    return {
        "engine": name,
        "passages": len(texts),
        "build_s": round(build_seconds, 1),
        "p50_ms": round(float(np.percentile(times, 50)), 2),
        "p99_ms": round(float(np.percentile(times, 99)), 2),
        "mb_on_disk": round(size / 1e6, 1),
        "peak_mib_beyond_texts": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak_before) // 1024,
        "mean_best_score": round(float(np.mean([hits[0][1] for hits in results if hits])), 4),
    }


def main() -> None:
    """Measure every engine in a process of its own and print one JSON line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("passages")
    parser.add_argument("questions")
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--asked", type=int, default=300)
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--folder", help="where the indexes go while they are measured")
    parser.add_argument("--engine", choices=ENGINES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.engine:
        print(json.dumps(measure(args.engine, args)))
        return
    for name in args.engines.split(","):
        subprocess.run([sys.executable, __file__, *sys.argv[1:], "--engine", name], check=True)


if __name__ == "__main__":
    main()
