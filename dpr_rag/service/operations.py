"""The operations of the service on a store; they run in worker threads and know neither HTTP nor the event loop."""

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
from dpr_rag.service.stores import ServedStore
from dpr_rag.store import named_source, shown_source
from dpr_rag.stores import execute

_OPTIONS = tuple(field.name for field in fields(RankingOptions))


def filter_of(filter: Mapping[str, Any] | None) -> Filter | None:
    """Parse the filter of a request.

    Raises:
        FilterError: It cannot be understood, or has a condition on the server's file paths, which answers would disclose.
    """
    return None if filter is None else parse_public(filter)


def questions_of(request: models.RetrieveRequest) -> list[str] | None:
    """The questions of a request as a list; None if it has only vectors."""
    return [request.questions] if isinstance(request.questions, str) else request.questions


def ranking_of_request(served: ServedStore, request: models.RankedRequest) -> Ranking:
    """The ranking of a request; options that it leaves out are as the store was tuned."""
    full_ranking = None if request.ranking is None else ranking_of(request.ranking.model_dump())
    options = {name: getattr(request, name) for name in _OPTIONS}
    return Retriever(served.store, **options, ranking=full_ranking).ranking


def check_retrieve(served: ServedStore, request: models.RetrieveRequest, limits: Limits) -> Ranking:
    """Check a request before its questions are encoded, and return its ranking.

    Raises:
        RequestError: It has neither questions nor vectors, or exceeds a limit.
        DprRagError: The store would refuse it.
    """
    questions = questions_of(request)
    if questions is None and request.vectors is None:
        raise RequestError("neither questions nor vectors were given; give one of them, or both")
    if request.exact and questions is not None:
        raise RequestError(
            "exact goes with vectors alone; leave it out, or send the vectors without the questions, which /v1/encode makes"
        )
    ranking = ranking_of_request(served, request)
    if request.exact and _has_ranking(request) and ranking.needs_words:
        raise RequestError(
            f"exact is a search by vectors, and mode {ranking.mode!r} needs words; leave one of them out"
        )
    limits.check_texts("questions", questions or [])
    counts = [options.candidates for options in (request, request.ranking, request.diversity) if options is not None]
    limits.check_count("hits", max(request.k, *(options or 0 for options in counts)), limits.hits)
    for question in questions or []:
        check_question(question)
    filter_of(request.filter)
    return ranking


def _has_ranking(request: models.RetrieveRequest) -> bool:
    """Whether a request has any option of a ranking."""
    return any(getattr(request, name) is not None for name in (*_OPTIONS, "ranking"))


def retrieve(served: ServedStore, request: models.RetrieveRequest, ranking: Ranking, vectors: Any) -> dict[str, Any]:
    """Hits for each question."""
    diversity = request.diversity
    search = SearchRequest(
        questions_of(request),
        request.k,
        filter_of(request.filter),
        vectors,
        exact=request.exact,
        diversity=None if diversity is None else Diversity(diversity.candidates, diversity.balance),
        min_relevance=request.min_relevance,
    )
    if search.questions is not None:
        hits = Retriever(served.store, ranking=ranking, reranker=served.second).execute(search)
    elif search.exact:
        hits = execute(served.store, search)
    else:
        hits = Retriever(served.store, ranking=ranking if _has_ranking(request) else None).execute(search)
    return {"results": _results(search.questions, hits, private=request.private)}


def _results(questions: Sequence[str] | None, hits: Sequence[Sequence[Hit]], *, private: bool) -> list[dict[str, Any]]:
    texts = [None] * len(hits) if questions is None else questions
    return [
        {
            "question": text,
            "hits": [{**hit_record(hit, private=private), **_source(hit.passage)} for hit in question_hits],
        }
        for text, question_hits in zip(texts, hits, strict=True)
    ]


def ranking(served: ServedStore, request: models.RankingRequest) -> dict[str, Any]:
    """The ranking of the store with the options of the request."""
    completed = ranking_of_request(served, request)
    return {"ranking": asdict(served.store.settled(completed) if request.settle else completed)}


def calibration(served: ServedStore, request: models.RankedRequest) -> dict[str, Any]:
    """The calibration of a ranking's scores."""
    return asdict(served.store.calibration_of(ranking_of_request(served, request)))


def get(served: ServedStore, request: models.GetRequest, limits: Limits) -> dict[str, Any]:
    """Passages by id or by filter.

    Raises:
        RequestError: Neither or both were given, or the filter matches more passages than one answer may hold.
    """
    if (request.ids is None) == (request.filter is None):
        raise RequestError("expected either ids or a filter; give exactly one of them")
    if request.ids is not None:
        if request.k is not None:
            raise RequestError("k goes with a filter; leave it out, or give fewer ids")
        limits.check_count("ids", len(request.ids), limits.passages)
        passages = served.store.get(request.ids)
    else:
        if request.k is not None:
            limits.check_count("passages", request.k, limits.passages)
        passages = served.store.select(
            filter_of(request.filter), limits.passages + 1 if request.k is None else request.k
        )
        if len(passages) > limits.passages:
            raise RequestError(
                f"the filter keeps more than the {limits.passages:,} passages that this service gives at once; give k"
            )
    return {
        "passages": [{**passage_record(passage, private=request.private), **_source(passage)} for passage in passages]
    }


def _source(passage: Passage) -> dict[str, str]:
    """The name of a passage's source file for citations, without its path."""
    name = shown_source(named_source(passage), passage.id)
    return {"source": name} if name else {}


def count(served: ServedStore, request: models.CountRequest) -> dict[str, Any]:
    """The number of passages, or of those that match a filter."""
    return {"count": served.store.count(filter_of(request.filter))}


def add(served: ServedStore, request: models.AddRequest, limits: Limits) -> dict[str, Any]:
    """Add passages, and return how many were added, replaced and unchanged.

    Raises:
        PassageError: One cannot be stored, or has a reserved metadata key.
    """
    limits.check_count("passages", len(request.passages), limits.passages)
    limits.check_texts("passages", [text for passage in request.passages for text in (passage.title, passage.text)])
    report = served.store.add([_passage(passage) for passage in request.passages], vectors=request.vectors)
    return {"added": report.added, "replaced": report.replaced, "unchanged": report.unchanged}


def _passage(passage: models.GivenPassage) -> Passage:
    for key in RESERVED_KEYS:
        if key in passage.metadata:
            raise PassageError(
                f"passage {passage.id!r:.120}: the key {key!r} is kept for dpr-rag itself; give it another name"
            )
    return Passage(passage.id, passage.text, passage.title, passage.metadata)


def delete(served: ServedStore, request: models.SelectionRequest) -> dict[str, Any]:
    """Delete passages, and return how many there were.

    Raises:
        RequestError: Neither ids nor a filter were given.
    """
    if request.ids is None and request.filter is None:
        raise RequestError("expected ids, a filter or both; give one of them")
    return {"deleted": served.store.delete(request.ids, filter=filter_of(request.filter))}


def figures(served: ServedStore, *, writable: bool) -> dict[str, Any]:
    """Counts and settings of a store, without the paths of store and model; those of a view concern its passages."""
    store = served.store
    return {
        "name": served.name,
        "passages": store.count(),
        "dim": store.dim,
        "fingerprint": "" if store.encoder is None else store.encoder.fingerprint,
        "ranking": str(store.ranking),
        "writable": writable,
    }


def passages_to_encode(request: models.EncodeRequest, limits: Limits) -> list[Passage]:
    """The passages of a request, with their positions as ids."""
    passages = request.passages or []
    limits.check_count("passages", len(passages), limits.questions)
    limits.check_texts("passages", [text for passage in passages for text in (passage.title, passage.text)])
    return [Passage(str(number), passage.text, passage.title) for number, passage in enumerate(passages)]


def encoded(served: ServedStore, vectors: Vectors) -> dict[str, Any]:
    """Vectors, and the fingerprint of their encoder."""
    encoder = served.store.encoder
    if encoder is None:
        return {}
    return {"fingerprint": encoder.fingerprint, "dim": int(encoder.dim), "vectors": vectors.tolist()}
