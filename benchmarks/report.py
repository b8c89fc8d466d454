"""The figures of ``run.py`` as Markdown, and the growth of the indexes as a plot."""

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


def write_report(out: Path, sections: Mapping[str, Mapping[str, Any]]) -> None:
    """Write ``report.md``, and ``growth.svg`` where indexes were measured."""
    lines = ["# Benchmarks", ""]
    for name, write in WRITERS.items():
        if name in sections and sections[name]["figures"] is not None:
            found = sections[name]
            lines += [*write(found["figures"]), ""]
            if name == "growth" and found["full"]:
                lines += [*projection(found["figures"]), ""]
            lines += [about(found), ""]
    if "growth" in sections:
        plot(sections["growth"]["figures"], out / "growth.svg")
    (out / "report.md").write_text("\n".join(lines), encoding="utf-8")


def about(found: Mapping[str, Any]) -> str:
    """Where and when a section was measured."""
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    size = "" if found["full"] else " Small mode: a check that it runs, too short for figures to quote."
    return f"*{found['date']}, commit {found['commit']}, {found['processor']}, {found['system']}; {versions}.{size}*"


def stacks(found: Figures) -> list[str]:
    """Beside the rivals."""
    rounds = len(next(iter(found["rounds"].values())))
    return [
        "## Text in, passages out, beside the rivals",
        "",
        f"The same weights, titles, texts and questions; medians of {rounds} rounds in turn, least and most in brackets. "
        "Indexing goes from texts to an index on disk that answers, loading the model aside. Ours run as installed, in the "
        "precision that the encoder takes on this CPU, the first three others as installed, in float32 by PyTorch, the last "
        "three as an expert would set them. Ten milliseconds pass before each question: "
        + ", ".join(found["versions"])
        + ".",
        "",
        *table(found["rounds"]),
    ]


def precision(found: Figures) -> list[str]:
    """Each precision beside float32."""
    tops = [name for name in found["int8"] if name.startswith("top_")]
    body = [
        [
            dtype,
            *(figures[top] for top in tops),
            f"{figures['off_median']:.1e} ({figures['off_most']:.1e})",
            figures["seconds"],
        ]
        for dtype, figures in found.items()
    ]
    return [
        "## What a precision costs",
        "",
        f"{found['int8']['questions']:,} questions over {found['int8']['passages']:,} passages, top-k accuracy by gold passage "
        "in percent, 1 - cosine to float32 at the median (and at most), and seconds from texts to a store that answers.",
        "",
        *rows(["", *(top.replace("_", "-") for top in tops), "off float32", "seconds"], body),
    ]


def cold_start(found: Figures) -> list[str]:
    """Processes."""
    body = [[name, *(f"{value:.3f}" for value in values)] for name, values in found.items()]
    told = "Seconds from the start of a process to its end; `dpr-rag search` opens a store of 20,000 passages."
    return ["## Cold start", "", told, "", *rows(["", "median", "least", "most"], body)]


def threads(found: Figures) -> list[str]:
    """Callers at once."""
    body = [
        [count, *(f"{f(one[count] for one in found):.0f}" for f in (median, min, max))] for count in next(iter(found))
    ]
    return [
        "## Callers at once",
        "",
        "Questions a second, each from words to 20 hits, of so many threads together.",
        "",
        *rows(["callers", "median", "least", "most"], body),
    ]


def parts(found: Figures) -> list[str]:
    """Where the time goes."""
    question, passage = found["question_ms"], found["passage_ms"]
    return [
        "## Where the time goes",
        "",
        f"A question of {found['question_tokens']} tokens, medians in ms: tokenising and the graph alone, then each with all "
        "that goes before it.",
        "",
        *rows(["", "ms"], [[name, f"{value:.2f}"] for name, value in question.items()]),
        "",
        f"A passage of {found['passage_tokens']} tokens, among many: ms.",
        "",
        *rows(["", "ms"], [[name, f"{value:.2f}"] for name, value in passage.items()]),
        "",
        "The layers' int8 matrices alone, multiplied with many rows, reach "
        f"{found['limit_gops']['side by side']} billion operations a second side by side, {found['limit_gops']['one batch']} "
        f"with all cores on one batch. Encoding passages reaches {100 * found['passage_share_of_limit']:.0f} % of the first, a "
        f"single question with its few rows {100 * found['question_share_of_limit']:.0f} % of the second.",
    ]


def growth(found: Figures) -> list[str]:
    """Indexes of more and more vectors."""
    fills = [one for one in found if "inserts_per_second_with_compaction" in one]
    kinds = [one for one in found if "kind" in one]
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
    body = [[f"{one['passages']:,}", label(one), *(one[name] for name in names)] for one in kinds]
    inserted = ", ".join(f"{one['passages']:,}: {one['inserts_per_second_with_compaction']:,}" for one in fills)
    real = max(one["real_vectors"] for one in fills)
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


def label(one: Mapping[str, Any]) -> str:
    """The index asked for, and what ``auto`` chose."""
    return one["kind"] if one["asked_for"] == one["kind"] else f"{one['asked_for']}: {one['kind']}"


def filters(kinds: Sequence[Mapping[str, Any]]) -> list[str]:
    """Filters on the ``auto`` index of every size."""
    found = [one for one in kinds if one["asked_for"] == "auto" and "filters" in one]
    if not found:
        return []
    head = ["passages", "share kept", "first use ms", "p50 ms", "times unfiltered", "index recall@20"]
    body = [
        [
            f"{one['passages']:,}",
            f"1/{round(1 / line['share']):,}",
            line["first_ms"],
            line["p50_ms"],
            f"{line['p50_ms'] / one['p50_ms']:.1f}",
            line["index_recall_at_20"],
        ]
        for one in found
        for line in one["filters"]
    ]
    return ["Filters on `auto`, by a number that has nothing to do with the vectors:", "", *rows(head, body), ""]


def projection(kinds: Sequence[Mapping[str, Any]]) -> list[str]:
    """What all of Wikipedia would take, from the largest clustered indexes measured, a million passages at least."""
    found = [one for one in kinds if one.get("kind", "").startswith("ivf-") and one["passages"] >= 1_000_000]
    body = []
    for name in sorted({one["kind"] for one in found}):
        one = max((line for line in found if line["kind"] == name), key=lambda line: line["passages"])
        scale, wider = WIKIPEDIA / one["passages"], WIDTH / one["dim"]
        memory = (one["anonymous_mib"] + one["index_mib"] * wider) * scale / 1024
        matrix = WIKIPEDIA * WIDTH * 4 / 2**30
        time = one["p50_ms"] * wider * scale
        body.append([name, f"{one['passages']:,}", f"{memory:.1f}", f"{matrix:.0f}", f"{time:.0f}"])
    if not body:
        return []
    return [
        f"Projection to {WIKIPEDIA:,} passages of {WIDTH} components. Assumed: the index grows with passages and components, the "
        "rest of the memory with passages, time with both, as a fixed share of the clusters is probed. Candidates are rescored "
        "from the matrix of vectors, which is mapped from disk: the time holds while the rows asked for are in the cache.",
        "",
        *rows(["index", "measured at", "GiB of memory", "GiB mapped for rescoring", "p50 ms"], body),
    ]


def gpu(found: Figures) -> list[str]:
    """Encoding on a GPU."""
    return ["## GPU", "", *rows(["", ""], [[name.replace("_", " "), value] for name, value in found.items()])]


def plot(found: Figures, path: Path) -> None:
    """Four panels over the number of passages, a line for each kind."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    kinds = [{**one, "memory_mib": (one["anonymous_mib"] or 0) + one["index_mib"]} for one in found if "kind" in one]
    figure, axes = pyplot.subplots(2, 2, figsize=(10, 7), layout="constrained")
    for axis, (name, title) in zip(axes.flat, PANELS, strict=True):
        for kind in dict.fromkeys(one["asked_for"] for one in kinds):
            line = sorted((one["passages"], one[name]) for one in kinds if one["asked_for"] == kind)
            axis.plot(*zip(*line, strict=True), marker="o", label=kind)
        axis.set(title=title, xscale="log", xlabel="passages")
        if name != "index_recall_at_20":
            axis.set_yscale("symlog" if name == "build_s" else "log")
        axis.grid(visible=True, alpha=0.3)
    axes.flat[0].legend()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


WRITERS: Mapping[str, Callable[[Figures], list[str]]] = {
    one.__name__: one for one in (stacks, precision, cold_start, threads, parts, growth, gpu)
}
