"""What requests ask of a store, as functions for its threads: nothing here knows of HTTP, and nothing of the event loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from dpr_rag.encoder import Vectors
from dpr_rag.errors import PassageError, RequestError
from dpr_rag.filters import Filter
from dpr_rag.filters.public import parse_public
from dpr_rag.fusion import Diversity, Ranking, RankingOptions, SearchRequest
from dpr_rag.passages import RESERVED_KEYS, Hit, Passage, check_question
from dpr_rag.remote.wire import hit_record, passage_record, ranking_of
from dpr_rag.retriever import Retriever
from dpr_rag.service import models
from dpr_rag.service.limits import Limits
from dpr_rag.service.stores import Served
from dpr_rag.store import named_source, shown_source
from dpr_rag.stores import execute

_OPTIONS = tuple(field.name for field in fields(RankingOptions))


def where_of(given: Mapping[str, Any] | None) -> Filter | None:
    """A filter as the store takes it.

    Raises:
        FilterError: It cannot be understood, or asks where the server's files lie, which answers would give away bit by bit.
    """
    return None if given is None else parse_public(given)


def questions_of(asked: models.Retrieve) -> list[str] | None:
    """The questions of a request; None where there are vectors alone."""
    return [asked.questions] if isinstance(asked.questions, str) else asked.questions


def ranking_for(served: Served, asked: models.Ranked) -> Ranking:
    """How a request wants passages ranked, the rest as the store was tuned."""
    given = None if asked.ranking is None else ranking_of(asked.ranking.model_dump())
    options = {name: getattr(asked, name) for name in _OPTIONS}
    return Retriever(served.store, **options, ranking=given).ranking


def prepared(served: Served, asked: models.Retrieve, limits: Limits) -> Ranking:
    """Everything that can be refused before a question is encoded, and how to rank.

    Raises:
        RequestError: It asks for nothing, or for too much.
        DprRagError: The store would refuse it.
    """
    questions = questions_of(asked)
    if questions is None and asked.vectors is None:
        raise RequestError("neither questions nor vectors were given; give one of them, or both")
    if asked.exact and questions is not None:
        raise RequestError(
            "exact goes with vectors alone; leave it out, or send the vectors without the questions, which /v1/encode makes"
        )
    ranking = ranking_for(served, asked)
    if asked.exact and _said(asked) and ranking.needs_words:
        raise RequestError(
            f"exact is a search by vectors, and mode {ranking.mode!r} needs words; leave one of them out"
        )
    limits.check_texts("questions", questions or [])
    given = [one.candidates for one in (asked, asked.ranking, asked.diversity) if one is not None]
    limits.check_count("hits", max(asked.k, *(one or 0 for one in given)), limits.hits)
    for question in questions or []:
        check_question(question)
    where_of(asked.filter)
    return ranking


def _said(asked: models.Retrieve) -> bool:
    """Whether a request says how to rank."""
    return any(getattr(asked, name) is not None for name in (*_OPTIONS, "ranking"))


def retrieved(served: Served, asked: models.Retrieve, ranking: Ranking, vectors: Any) -> dict[str, Any]:
    """The hits of each question."""
    given = asked.diversity
    request = SearchRequest(
        questions_of(asked),
        asked.k,
        where_of(asked.filter),
        vectors,
        exact=asked.exact,
        diversity=None if given is None else Diversity(given.candidates, given.balance),
        min_relevance=asked.min_relevance,
    )
    if request.questions is not None:
        hits = Retriever(served.store, ranking=ranking, reranker=served.second).execute(request)
    elif request.exact:
        hits = execute(served.store, request)
    else:
        hits = Retriever(served.store, ranking=ranking if _said(asked) else None).execute(request)
    return {"results": _results(request.questions, hits, private=asked.private)}


def _results(questions: Sequence[str] | None, hits: Sequence[Sequence[Hit]], *, private: bool) -> list[dict[str, Any]]:
    texts = [None] * len(hits) if questions is None else questions
    return [
        {"question": text, "hits": [{**hit_record(hit, private=private), **_named(hit.passage)} for hit in found]}
        for text, found in zip(texts, hits, strict=True)
    ]


def told_ranking(served: Served, asked: models.RankingAsked) -> dict[str, Any]:
    """How the store ranks."""
    ranking = ranking_for(served, asked)
    return {"ranking": asdict(served.store.settled(ranking) if asked.settle else ranking)}


def told_calibration(served: Served, asked: models.Ranked) -> dict[str, Any]:
    """What turns scores into relevances."""
    return asdict(served.store.calibration_of(ranking_for(served, asked)))


def got(served: Served, asked: models.Get, limits: Limits) -> dict[str, Any]:
    """Passages by id or by filter; of a filter that keeps more than one answer holds, none.

    Raises:
        RequestError: Neither or both were given, or there are too many.
    """
    if (asked.ids is None) == (asked.filter is None):
        raise RequestError("expected either ids or a filter; give exactly one of them")
    if asked.ids is not None:
        if asked.k is not None:
            raise RequestError("k goes with a filter; leave it out, or give fewer ids")
        limits.check_count("ids", len(asked.ids), limits.passages)
        found = served.store.get(asked.ids)
    else:
        if asked.k is not None:
            limits.check_count("passages", asked.k, limits.passages)
        found = served.store.select(where_of(asked.filter), limits.passages + 1 if asked.k is None else asked.k)
        if len(found) > limits.passages:
            raise RequestError(
                f"the filter keeps more than the {limits.passages:,} passages that this service gives at once; give k"
            )
    return {"passages": [{**passage_record(one, private=asked.private), **_named(one)} for one in found]}


def _named(passage: Passage) -> dict[str, str]:
    """What to cite a passage by: its file's name, never the place where that lies."""
    name = shown_source(named_source(passage), passage.id)
    return {"source": name} if name else {}


def counted(served: Served, asked: models.Count) -> dict[str, Any]:
    """How many passages there are, or how many a filter keeps."""
    return {"count": served.store.count(where_of(asked.filter))}


def added(served: Served, asked: models.Add, limits: Limits) -> dict[str, Any]:
    """What became of the passages of a request.

    Raises:
        PassageError: One cannot be stored, or uses a key that is kept for adapters.
    """
    limits.check_count("passages", len(asked.passages), limits.passages)
    limits.check_texts("passages", [text for one in asked.passages for text in (one.title, one.text)])
    report = served.store.add([_passage(one) for one in asked.passages], vectors=asked.vectors)
    return {"added": report.added, "replaced": report.replaced, "unchanged": report.unchanged}


def _passage(given: models.GivenPassage) -> Passage:
    for key in RESERVED_KEYS:
        if key in given.metadata:
            raise PassageError(
                f"passage {given.id!r:.120}: the key {key!r} is kept for dpr-rag itself; give it another name"
            )
    return Passage(given.id, given.text, given.title, given.metadata)


def deleted(served: Served, asked: models.Selection) -> dict[str, Any]:
    """How many passages a request removed.

    Raises:
        RequestError: Neither ids nor a filter were given.
    """
    if asked.ids is None and asked.filter is None:
        raise RequestError("expected ids, a filter or both; give one of them")
    return {"deleted": served.store.delete(asked.ids, filter=where_of(asked.filter))}


def told_store(served: Served, *, writable: bool) -> dict[str, Any]:
    """A store in figures, without its place and that of its model; a view tells of what it shows."""
    store = served.store
    return {
        "name": served.name,
        "passages": store.count(),
        "dim": store.dim,
        "fingerprint": "" if store.encoder is None else store.encoder.fingerprint,
        "ranking": str(store.ranking),
        "writable": writable,
    }


def passages_to_encode(asked: models.Encode, limits: Limits) -> list[Passage]:
    """The passages of a request, with ids that nobody sees."""
    given = asked.passages or []
    limits.check_count("passages", len(given), limits.questions)
    limits.check_texts("passages", [text for one in given for text in (one.title, one.text)])
    return [Passage(str(at), one.text, one.title) for at, one in enumerate(given)]


def told_vectors(served: Served, vectors: Vectors) -> dict[str, Any]:
    """Vectors and what identifies their encoder."""
    encoder = served.store.encoder
    if encoder is None:
        return {}
    return {"fingerprint": encoder.fingerprint, "dim": int(encoder.dim), "vectors": vectors.tolist()}
