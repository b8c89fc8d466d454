"""Write the figures of ``run.py`` as Markdown, and the growth of the indexes as a plot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from side_by_side import rows, table

Figures = Any
PANELS = (
    ("build_s", "build, s"),
    ("p50_ms", "question, p50 ms"),
    ("index_recall_at_20", "index recall@20"),
    ("memory_mib", "anonymous memory + index, MiB"),
)
WIKIPEDIA, WIDTH = 21_015_324, 768


def write_report(folder: Path, sections: Mapping[str, Mapping[str, Any]]) -> None:
    """Write ``report.md``, and ``growth.svg`` where indexes were measured."""
    lines = ["# Benchmarks", ""]
    for name, write in WRITERS.items():
        if name in sections and sections[name]["figures"] is not None:
            section = sections[name]
            lines += [*write(section["figures"]), ""]
            if name == "growth" and section["full"]:
                lines += [*projection(section["figures"]), ""]
            lines += [about(section), ""]
    if "growth" in sections:
        plot(sections["growth"]["figures"], folder / "growth.svg")
    (folder / "report.md").write_text("\n".join(lines), encoding="utf-8")


def about(section: Mapping[str, Any]) -> str:
    """Format date, commit, machine and versions of a section."""
    versions = ", ".join(f"{name} {number}" for name, number in section["versions"].items())
    size = "" if section["full"] else " Small mode: a check that it runs, too short for figures to quote."
    return f"*{section['date']}, commit {section['commit']}, {section['processor']}, {section['system']}; {versions}.{size}*"


def stacks(figures: Figures) -> list[str]:
    """The section on our stacks and the rivals'."""
    rounds = len(next(iter(figures["rounds"].values())))
    return [
        "## Text in, passages out, beside the rivals",
        "",
        f"The same weights, titles, texts and questions; medians of {rounds} rounds in turn, least and most in brackets. "
        "Indexing goes from texts to an index on disk that answers, loading the model aside. Ours run as installed, in the "
        "precision that the encoder takes on this CPU, the first three others as installed, in float32 by PyTorch, the next "
        "three as an expert would set them, and the last three by databases with the vectors of sentence-transformers and "
        "OpenVINO. Ten milliseconds pass before each question: " + ", ".join(figures["versions"]) + ".",
        "",
        *table(figures["rounds"]),
    ]


def precision(figures: Figures) -> list[str]:
    """The section on precisions beside float32."""
    tops = [name for name in figures["int8"] if name.startswith("top_")]
    body = [
        [
            dtype,
            *(row[top] for top in tops),
            f"{row['off_median']:.1e} ({row['off_most']:.1e})",
            row["seconds"],
        ]
        for dtype, row in figures.items()
    ]
    return [
        "## What a precision costs",
        "",
        f"{figures['int8']['questions']:,} questions over {figures['int8']['passages']:,} passages, top-k accuracy by gold "
        "passage in percent, 1 - cosine to float32 at the median (and at most), and seconds from texts to a store that answers.",
        "",
        *rows(["", *(top.replace("_", "-") for top in tops), "off float32", "seconds"], body),
    ]


def cold_start(figures: Figures) -> list[str]:
    """The section on the start of processes."""
    body = [[name, *(f"{value:.3f}" for value in values)] for name, values in figures.items()]
    caption = "Seconds from the start of a process to its end; `dpr-rag search` opens a store of 20,000 passages."
    return ["## Cold start", "", caption, "", *rows(["", "median", "least", "most"], body)]


def threads(rates: Figures) -> list[str]:
    """The section on concurrent callers."""
    body = [
        [count, *(f"{f(row[count] for row in rates):.0f}" for f in (median, min, max))] for count in next(iter(rates))
    ]
    return [
        "## Callers at once",
        "",
        "Questions a second, each from words to 20 hits, of so many threads together.",
        "",
        *rows(["callers", "median", "least", "most"], body),
    ]


def parts(figures: Figures) -> list[str]:
    """The section on the parts of a question's and a passage's time."""
    question, passage = figures["question_ms"], figures["passage_ms"]
    return [
        "## Where the time goes",
        "",
        f"A question of {figures['question_tokens']} tokens, medians in ms: tokenising and the graph alone, then each with all "
        "that goes before it.",
        "",
        *rows(["", "ms"], [[name, f"{value:.2f}"] for name, value in question.items()]),
        "",
        f"A passage of {figures['passage_tokens']} tokens, among many: ms.",
        "",
        *rows(["", "ms"], [[name, f"{value:.2f}"] for name, value in passage.items()]),
        "",
        "The layers' int8 matrices alone, multiplied with many rows, reach "
        f"{figures['limit_gops']['side by side']} billion operations a second side by side, {figures['limit_gops']['one batch']} "
        f"with all cores on one batch. Encoding passages reaches {100 * figures['passage_share_of_limit']:.0f} % of the first, a "
        f"single question with its few rows {100 * figures['question_share_of_limit']:.0f} % of the second.",
    ]


def growth(figures: Figures) -> list[str]:
    """The section on indexes of growing size."""
    fills = [row for row in figures if "inserts_per_second_with_compaction" in row]
    kinds = [row for row in figures if "kind" in row]
    head = [
        "passages",
        "index",
        "build s",
        "peak MiB while building",
        "reopen ms",
        "p50 ms",
        "p99 ms",
        "index recall@20",
    ]
    head += ["anonymous MiB", "index MiB", "on disk MiB", "add 1,000 ms"]
    names = ("build_s", "build_peak_mib", "reopen_to_first_answer_ms", "p50_ms", "p99_ms", "index_recall_at_20")
    names += ("anonymous_mib", "index_mib", "mib_on_disk", "add_1000_to_answer_ms")
    body = [[f"{row['passages']:,}", label(row), *(row[name] for name in names)] for row in kinds]
    inserted = ", ".join(f"{row['passages']:,}: {row['inserts_per_second_with_compaction']:,}" for row in fills)
    real = max(row["real_vectors"] for row in fills)
    return [
        "## Indexes as they grow",
        "",
        f"{kinds[0]['dim']} components; the first {real:,} vectors are real, encoded by the default encoder, the others grown "
        f"from them (`index_kinds.py`). Search alone, 20 hits, rescored exactly; *add* is durable and found. Inserts a second "
        f"into a flat store in transactions of 1,000, compaction included, by size of the store: {inserted}.",
        "",
        *rows(head, body),
        "",
        "![growth](growth.svg)",
        "",
        *filters(kinds),
    ]


def label(row: Mapping[str, Any]) -> str:
    """The index kind requested, and the kind that ``auto`` chose."""
    return row["kind"] if row["asked_for"] == row["kind"] else f"{row['asked_for']}: {row['kind']}"


def filters(kinds: Sequence[Mapping[str, Any]]) -> list[str]:
    """The table of filters on the ``auto`` index of every size."""
    auto_rows = [row for row in kinds if row["asked_for"] == "auto" and "filters" in row]
    if not auto_rows:
        return []
    head = ["passages", "share kept", "first use ms", "p50 ms", "times unfiltered", "index recall@20"]
    body = [
        [
            f"{row['passages']:,}",
            f"1/{round(1 / entry['share']):,}",
            entry["first_ms"],
            entry["p50_ms"],
            f"{entry['p50_ms'] / row['p50_ms']:.1f}",
            entry["index_recall_at_20"],
        ]
        for row in auto_rows
        for entry in row["filters"]
    ]
    return ["Filters on `auto`, by a number that has nothing to do with the vectors:", "", *rows(head, body), ""]


def projection(kinds: Sequence[Mapping[str, Any]]) -> list[str]:
    """The resources for all of Wikipedia, projected from the largest clustered indexes of a million passages or more."""
    clustered = [row for row in kinds if row.get("kind", "").startswith("ivf-") and row["passages"] >= 1_000_000]
    body = []
    for name in sorted({row["kind"] for row in clustered}):
        largest = max((row for row in clustered if row["kind"] == name), key=lambda row: row["passages"])
        scale, width_ratio = WIKIPEDIA / largest["passages"], WIDTH / largest["dim"]
        memory = (largest["anonymous_mib"] + largest["index_mib"] * width_ratio) * scale / 1024
        matrix = WIKIPEDIA * WIDTH * 4 / 2**30
        projected_ms = largest["p50_ms"] * width_ratio * scale
        body.append([name, f"{largest['passages']:,}", f"{memory:.1f}", f"{matrix:.0f}", f"{projected_ms:.0f}"])
    if not body:
        return []
    return [
        f"Projection to {WIKIPEDIA:,} passages of {WIDTH} components. Assumed: the index grows with passages and components, the "
        "rest of the memory with passages, time with both, as a fixed share of the clusters is probed. Candidates are rescored "
        "from the matrix of vectors, which is mapped from disk: the time holds while the rows asked for are in the cache.",
        "",
        *rows(["index", "measured at", "GiB of memory", "GiB mapped for rescoring", "p50 ms"], body),
    ]


def gpu(figures: Figures) -> list[str]:
    """The section on encoding on a GPU."""
    return ["## GPU", "", *rows(["", ""], [[name.replace("_", " "), value] for name, value in figures.items()])]


def plot(figures: Figures, path: Path) -> None:
    """Four panels over the number of passages, a line for each kind."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    kinds = [{**row, "memory_mib": (row["anonymous_mib"] or 0) + row["index_mib"]} for row in figures if "kind" in row]
    figure, axes = pyplot.subplots(2, 2, figsize=(10, 7), layout="constrained")
    for axis, (name, title) in zip(axes.flat, PANELS, strict=True):
        for kind in dict.fromkeys(row["asked_for"] for row in kinds):
            points = sorted((row["passages"], row[name]) for row in kinds if row["asked_for"] == kind)
            axis.plot(*zip(*points, strict=True), marker="o", label=kind)
        axis.set(title=title, xscale="log", xlabel="passages")
        if name != "index_recall_at_20":
            axis.set_yscale("symlog" if name == "build_s" else "log")
        axis.grid(visible=True, alpha=0.3)
    axes.flat[0].legend()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


WRITERS: Mapping[str, Callable[[Figures], list[str]]] = {
    writer.__name__: writer for writer in (stacks, precision, cold_start, threads, parts, growth, gpu)
}
