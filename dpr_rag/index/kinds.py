"""Index kinds by plain name: what FAISS index a segment gets, with parameters that scale with its size."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from dpr_rag.arguments import kind
from dpr_rag.errors import IndexKindError, nearest

EF_SEARCH = 400
AUTO_FLAT_LIMIT = 50_000
AUTO_GRAPH_LIMIT = 2_000_000


@dataclass(frozen=True, slots=True)
class Kind:
    """An index kind: its FAISS factory string and its defaults.

    Attributes:
        factory: FAISS factory string with ``{nlist}``, ``{links}`` and ``{m}`` to fill in; empty for an exact scan.
        oversample: Candidates fetched per asked hit, before they are rescored with the stored vectors.
        minimum: Fewest passages that can train it; below, the segment stays exact.
    """

    factory: str
    oversample: int = 1
    minimum: int = 1


KINDS: Mapping[str, Kind] = {
    "flat": Kind(""),
    "hnsw": Kind("HNSW{links},Flat", 2),
    "hnsw-sq8": Kind("HNSW{links},SQ8", 2, 100),
    "ivf": Kind("IVF{nlist},Flat", 1, 100),
    "ivf-sq8": Kind("IVF{nlist},SQ8", 2, 100),
    "ivf-pq": Kind("IVF{nlist},PQ{m}", 10, 10_000),
    "ivf-rabitq": Kind("IVF{nlist},RaBitQ", 25, 100),
    "sq8": Kind("SQ8", 2, 100),
    "fp16": Kind("SQfp16", 2, 1),
    "pq": Kind("PQ{m}", 10, 10_000),
    "rabitq": Kind("RaBitQ", 25, 100),
}
PARAMETERS: Mapping[str, int] = {
    "nlist": 1 << 24,
    "nprobe": 1 << 24,
    "links": 1024,
    "efConstruction": 10_000,
    "efSearch": 100_000,
    "m": 65_536,
    "oversample": 10_000,
}
"""Index parameters and their largest values; FAISS takes larger ones and then the machine's memory with them."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The index chosen for one segment, and why.

    Attributes:
        name: Plain name or factory string in use.
        factory: Complete FAISS factory string, empty for an exact scan of the vector matrix.
        oversample: Candidates fetched per asked hit.
        parameters: ``nprobe``, ``efSearch`` and the like, as numbers.
        reason: Why this kind, in words for people.
    """

    name: str
    factory: str
    oversample: int
    parameters: Mapping[str, int] = field(default_factory=dict, hash=False)
    reason: str = ""


DIGITS = re.compile("[0-9]{1,18}")
"""How a parameter's number is written: too short for Python to refuse its digits."""


def parse(spec: str) -> tuple[str, dict[str, int]]:
    """Split ``"hnsw:links=64,efSearch=256"`` into its kind and its parameters.

    Args:
        spec: ``auto``, a plain name, or a FAISS factory string, with optional parameters after a colon.

    Raises:
        IndexKindError: An unknown name or parameter, or a value out of its range.
    """
    if not isinstance(spec, str):
        raise IndexKindError(f"index is {kind(spec)}, expected a string; choose auto, {', '.join(KINDS)}")
    name, _, rest = spec.partition(":")
    if name not in KINDS and name != "auto" and not re.fullmatch(r"(?=.*[A-Z])[A-Za-z0-9_,()\[\]]+", name):
        raise IndexKindError(
            f"unknown index {name!r:.80}; choose auto, {', '.join(KINDS)}, or a FAISS factory string{nearest(name, KINDS)}"
        )
    links = [int(number) for number in re.findall(r"HNSW(\d+)", name)]
    parameters = {}
    for item in filter(None, rest.split(",")):
        key, _, value = item.partition("=")
        if key not in PARAMETERS or not DIGITS.fullmatch(value) or not 0 < int(value) <= PARAMETERS[key]:
            limits = ", ".join(f"{known}=1 to {most:,}" for known, most in PARAMETERS.items())
            raise IndexKindError(
                f"index parameter {item!r:.80} of {spec!r:.80} is unknown or out of bounds; there are {limits}"
            )
        if name in KINDS and key != "oversample" and not _concerns(key, KINDS[name].factory):
            own = [known for known in PARAMETERS if known == "oversample" or _concerns(known, KINDS[name].factory)]
            raise IndexKindError(f"index {name!r} has no parameter {key!r}; it has {', '.join(own)}")
        if key in parameters:
            raise IndexKindError(f"index {spec!r:.80} names the parameter {key!r} twice; leave one of them out")
        parameters[key] = int(value)
    links.append(parameters.get("links", 2))
    if not all(2 <= count <= PARAMETERS["links"] for count in links):
        # FAISS crashes with one link, and takes the machine's memory for very many
        raise IndexKindError(
            f"index {spec!r} asks for {links[0]:,} links, expected 2 to {PARAMETERS['links']:,}; 32 is common"
        )
    return name, parameters


def plan(spec: str, *, passages: int, dim: int) -> Plan:
    """Decide on the index of a segment.

    Args:
        spec: What the user asked for, see :func:`parse`.
        passages: Number of vectors in the segment.
        dim: Components per vector.
    """
    name, given = parse(spec)
    if name == "auto":
        return _automatic(given, passages, dim)
    reason = f"asked for as {spec!r}"
    kind = KINDS.get(name, Kind(name, 4))
    if passages < kind.minimum:
        reason = f"{name} needs {kind.minimum:,} passages to train, there are {passages:,}: exact until then"
        return exact(reason)
    return _planned(name, kind, given, passages, dim, reason)


def exact(reason: str) -> Plan:
    """The plan that compares a question with all vectors."""
    return Plan("flat", "", 1, {}, reason)


def _automatic(given: dict[str, int], passages: int, dim: int) -> Plan:
    if passages <= AUTO_FLAT_LIMIT:
        reason = f"auto: {passages:,} passages, exact search is fast up to {AUTO_FLAT_LIMIT:,}"
        return exact(reason + _waiting(given))
    # a graph answers sooner than clusters at equal index recall, but takes 140 bytes a passage and longer to build
    graph = passages <= AUTO_GRAPH_LIMIT
    name, form = ("hnsw-sq8", "a graph") if graph else ("ivf-sq8", "clusters")
    own = {key: value for key, value in given.items() if key == "oversample" or _concerns(key, KINDS[name].factory)}
    reason = f"auto: {passages:,} passages, {form} over 1 byte per component, rescored exactly"
    reason += _waiting([key for key in given if key not in own])
    return _planned(name, KINDS[name], own, passages, dim, reason)


def _waiting(names: Collection[str]) -> str:
    """What is said of parameters that the kind has not that ``auto`` has chosen so far."""
    return f"; {' and '.join(names)} will count once it takes a kind that has such a parameter" if names else ""


def _planned(name: str, kind: Kind, given: dict[str, int], passages: int, dim: int, reason: str) -> Plan:
    values = _defaults(passages, dim, given.get("nlist")) | given
    if name in KINDS:
        values["nlist"] = min(values["nlist"], passages)
    factory = kind.factory.format(**values) if name in KINDS else name
    used = {key: value for key, value in values.items() if key in given or (name in KINDS and _concerns(key, factory))}
    return Plan(name, factory, given.get("oversample", kind.oversample), used, reason)


def probed(clusters: int) -> int:
    """Default of ``nprobe``: the number of clusters of an inverted file that a search looks through.

    An eighth, and more of few: questions lie apart from passages, and an eighth of 128 clusters held 0.88 of their exact
    top 10, of 759 clusters 0.97.
    """
    return min(clusters, max(clusters // 8, int(8 * math.sqrt(clusters))))


def _defaults(passages: int, dim: int, clusters: int | None) -> dict[str, int]:
    # 39 points per centroid is what FAISS asks of k-means training. Above a million vectors it advises 65,536 clusters and
    # more, found by a graph over the centroids; here filling compares each vector with all of them, which would take hours.
    nlist = max(1, min(int(4 * math.sqrt(passages)), passages // 39))
    nlist = nlist if clusters is None else min(clusters, passages)
    return {
        "nlist": nlist,
        "nprobe": probed(nlist),
        "links": 16,
        "efConstruction": 128,
        "efSearch": EF_SEARCH,
        "m": next(m for m in range(max(1, dim // 8), 0, -1) if dim % m == 0),
    }


def _concerns(key: str, factory: str) -> bool:
    if key in ("nlist", "nprobe"):
        return "IVF" in factory
    if key in ("links", "efConstruction", "efSearch"):
        return "HNSW" in factory and "IVF" not in factory
    return key == "m" and "PQ" in factory
