"""Fields that are set after construction: each counts from the next call on, and what does not fit is refused."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.runnables import ConfigurableField, ConfigurableFieldSingleOption

from dpr_rag import Passage, PassageStore, Retriever
from dpr_rag.errors import DprRagError, StoreClosedError
from langchain_dpr_rag import DPREmbeddings, DPRRetriever, DPRVectorStore
from langchain_dpr_rag.batches import DPRVectorStoreRetriever

QUESTION = "a tragedy by Goethe"
Changed = Callable[[DPRRetriever, dict[str, Any]], Any]


def ids_of(documents: list[Document]) -> list[str | None]:
    return [document.id for document in documents]


def assigned(retriever: DPRRetriever, values: dict[str, Any]) -> DPRRetriever:
    for name, value in values.items():
        setattr(retriever, name, value)
    return retriever


def copied(retriever: DPRRetriever, values: dict[str, Any]) -> DPRRetriever:
    return retriever.model_copy(update=values)


def copied_deeply(retriever: DPRRetriever, values: dict[str, Any]) -> DPRRetriever:
    return retriever.model_copy(update=values, deep=True)


def configured(retriever: DPRRetriever, values: dict[str, Any]) -> Any:
    fields = {name: ConfigurableField(id=f"my_{name}") for name in values}
    found = retriever.configurable_fields(**fields).with_config(
        configurable={f"my_{name}": value for name, value in values.items()}
    )
    found.invoke(QUESTION)
    return found


WAYS: list[Changed] = [assigned, copied, copied_deeply, configured]
CHANGES: list[dict[str, Any]] = [
    {"mode": "bm25"},
    {"mode": "hybrid"},
    {"mode": "hybrid", "weight": 0.01},
    {"mode": "hybrid", "weight": 1},
    {"mode": "hybrid", "fusion": "rrf"},
    {"k": 1},
    {"filter": {"year": {"$lt": 1700}}},
    {"filter": lambda document: document.id == "faust"},
    {"score_threshold": 0.5},
    {"search_type": "mmr", "fetch_k": 3, "lambda_mult": 0.0},
    {"include_scores": True},
]


@pytest.mark.parametrize("change", WAYS)
@pytest.mark.parametrize("values", CHANGES, ids=lambda values: re.sub(" at 0x[0-9a-f]+", "", str(values)))
def test_a_field_counts_from_the_next_call_on(plays: DPRVectorStore, change: Changed, values: dict[str, Any]) -> None:
    expected = DPRRetriever.from_store(plays, **values)
    retriever = DPRRetriever.from_store(plays)
    before = retriever.invoke(QUESTION)
    changed = change(retriever, values)
    assert changed.invoke(QUESTION) == expected.invoke(QUESTION)
    assert changed.batch([QUESTION, "Troy"]) == expected.batch([QUESTION, "Troy"])
    if change is not assigned:
        assert retriever.invoke(QUESTION) == before


@pytest.mark.parametrize("change", WAYS)
def test_another_store_is_asked(plays: DPRVectorStore, words: Any, change: Changed) -> None:
    with PassageStore.temporary(encoder=words) as other:
        other.add([Passage("other", "a tragedy")])
        retriever = DPRRetriever.from_store(plays)
        changed = change(retriever, {"store": other})
        assert ids_of(changed.invoke(QUESTION)) == ["other"]


@pytest.mark.parametrize("change", WAYS)
@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"mode": "hybird"}, "hybird"),
        ({"mode": 1}, "mode"),
        ({"weight": 0.5}, "mode='hybrid'"),
        ({"fusion": "rrf"}, "mode='hybrid'"),
        ({"mode": "hybrid", "weight": float("nan")}, "weight"),
        ({"mode": "hybrid", "weight": -1}, "weight"),
        ({"mode": "hybrid", "weight": True}, "weight"),
        ({"mode": "hybrid", "fusion": "sum"}, "fusion"),
        ({"mode": "hybrid", "fusion": "rrf", "weight": 1.0}, "weight goes with"),
        ({"mode": "dense", "weight": 1.0}, "weight goes with"),
        ({"k": 0}, "k"),
        ({"k": -1}, "k"),
        ({"k": True}, "True"),
        ({"k": 2.5}, "k"),
        ({"fetch_k": True}, "True"),
        ({"fetch_k": 0}, "fetch_k"),
        ({"lambda_mult": float("nan")}, "lambda_mult"),
        ({"lambda_mult": 1.5}, "lambda_mult"),
        ({"score_threshold": 75.0}, "score_threshold"),
        ({"score_threshold": float("nan")}, "score_threshold"),
        ({"score_threshold": True}, "True"),
        ({"search_type": "fuzzy"}, "search_type"),
        ({"include_scores": "perhaps"}, "include_scores"),
        ({"filter": {"year": {"$bteween": [1, 2]}}}, "between"),
        ({"filter": "year > 1700"}, "filter"),
        ({"store": "plays.dpr"}, "from_store"),
        ({"store": None}, "from_store"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused_and_changes_nothing(
    plays: DPRVectorStore, change: Changed, values: dict[str, Any], told: str
) -> None:
    retriever = DPRRetriever.from_store(plays)
    last = dict([list(values.items())[-1]])
    if change is assigned:
        assigned(retriever, dict(list(values.items())[:-1]))
    before, found = dict(retriever), retriever.invoke(QUESTION)
    with pytest.raises(ValueError, match=told):
        change(retriever, last if change is assigned else values)
    assert dict(retriever) == before
    assert retriever.invoke(QUESTION) == found


def test_a_vector_store_is_no_passage_store_and_the_error_says_so(plays: DPRVectorStore) -> None:
    with pytest.raises(ValueError, match=r"store is DPRVectorStore.*from_store"):
        DPRRetriever(store=plays)


@pytest.mark.parametrize("change", WAYS)
def test_fields_that_do_not_exist_are_refused(plays: DPRVectorStore, change: Changed) -> None:
    retriever = DPRRetriever.from_store(plays)
    with pytest.raises((ValueError, AttributeError), match="top_k"):
        change(retriever, {"top_k": 3})


def test_several_fields_that_belong_together_change_in_one_copy(plays: DPRVectorStore) -> None:
    weighted = DPRRetriever.from_store(plays, mode="hybrid", weight=0.5)
    with pytest.raises(ValueError, match="weight goes with"):
        weighted.mode = "dense"
    assert (weighted.mode, weighted.weight) == ("hybrid", 0.5)
    dense = weighted.model_copy(update={"mode": "dense", "weight": None})
    assert ids_of(dense.invoke(QUESTION)) == ids_of(DPRRetriever.from_store(plays, mode="dense").invoke(QUESTION))
    weighted.weight = None
    weighted.mode = "bm25"
    assert weighted.invoke(QUESTION) == DPRRetriever.from_store(plays, mode="bm25").invoke(QUESTION)


def test_one_of_several_options_is_chosen_by_name(plays: DPRVectorStore) -> None:
    choice = ConfigurableFieldSingleOption(id="words", options={"yes": "bm25", "no": "dense"}, default="no")
    chosen = DPRRetriever.from_store(plays).configurable_fields(mode=choice)
    for name, mode in (("yes", "bm25"), ("no", "dense")):
        found = chosen.invoke(QUESTION, {"configurable": {"words": name}})
        assert found == DPRRetriever.from_store(plays, mode=mode).invoke(QUESTION)


@pytest.mark.parametrize("copying", [copy.copy, copy.deepcopy, DPRRetriever.model_copy])
def test_a_copy_shares_the_store_and_leaves_closing_to_who_opened_it(tmp_path: Path, words: Any, copying: Any) -> None:
    owner = DPRRetriever.from_texts(["a tragedy"], words, path=tmp_path / "s")
    with copying(owner) as copied:
        assert copied.store is owner.store
    assert len(owner.invoke(QUESTION)) == 1
    owner.close()
    with pytest.raises(StoreClosedError):
        copied.invoke(QUESTION)


def test_what_was_opened_is_closed_also_where_another_store_took_its_place(tmp_path: Path, words: Any) -> None:
    with PassageStore.temporary(encoder=words) as other:
        other.add([Passage("1", "a tragedy")])
        owner = DPRRetriever.from_texts(["a tragedy"], words, path=tmp_path / "s")
        opened = owner.store
        owner.store = other
        owner.close()
        with pytest.raises(StoreClosedError):
            opened.info()
        assert len(other) == 1


@pytest.fixture
def of_store(plays: DPRVectorStore) -> DPRVectorStoreRetriever:
    return plays.as_retriever()


OF_A_STORE: list[dict[str, Any]] = [
    {"search_kwargs": {"k": 1}},
    {"search_kwargs": {"filter": {"title": "Iliad"}}},
    {"search_kwargs": {"k": 3, "fetch_k": 3, "lambda_mult": 0.0}, "search_type": "mmr"},
    {"search_kwargs": {"score_threshold": 0.6}, "search_type": "similarity_score_threshold"},
]


@pytest.mark.parametrize("change", WAYS)
@pytest.mark.parametrize("values", OF_A_STORE, ids=str)
def test_fields_of_the_stores_own_retriever_count(
    plays: DPRVectorStore, of_store: DPRVectorStoreRetriever, change: Any, values: dict[str, Any]
) -> None:
    expected = plays.as_retriever(**values)
    changed = change(of_store, values)
    assert changed.invoke(QUESTION) == expected.invoke(QUESTION)
    assert changed.batch([QUESTION]) == expected.batch([QUESTION])


@pytest.mark.parametrize("change", WAYS)
@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"search_type": "fuzzy"}, "fuzzy"),
        ({"search_type": "similarity_score_threshold"}, "score_threshold"),
        ({"search_kwargs": {"k": 0}}, "k"),
        ({"search_kwargs": {"k": True}}, "True"),
        ({"search_kwargs": {"top_k": 1}}, "top_k"),
        ({"search_kwargs": {"fetch_k": 0}}, "fetch_k"),
        ({"search_kwargs": {"lambda_mult": float("nan")}}, "lambda_mult"),
        ({"search_kwargs": {"score_threshold": 75.0}}, "score_threshold"),
        ({"search_kwargs": {"filter": {"year": {"$foo": 1}}}}, "foo"),
        ({"search_kwargs": None}, "search_kwargs"),
        ({"vectorstore": "plays.dpr"}, "vectorstore"),
    ],
    ids=str,
)
def test_the_stores_own_retriever_refuses_what_does_not_fit(
    of_store: DPRVectorStoreRetriever, change: Any, values: dict[str, Any], told: str
) -> None:
    before = dict(of_store)
    with pytest.raises(ValueError, match=told):
        change(of_store, values)
    assert dict(of_store) == before


@pytest.mark.parametrize("values", [one for one in CHANGES if {"mode"} & set(one)], ids=str)
def test_settings_of_the_vector_store_count(plays: DPRVectorStore, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(plays, name, value)
    core = Retriever(plays.store, k=4, **values).retrieve(QUESTION)
    expected = [(hit.passage.id, hit.score) for hit in core]
    assert [(one.id, score) for one, score in plays.similarity_search_with_score(QUESTION)] == expected
    assert ids_of(plays.as_retriever().invoke(QUESTION)) == [name for name, _ in expected]
    assert {name: getattr(plays, name) for name in values} == values


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("mode", "hybird", "hybird"),
        ("weight", 0.5, "mode='hybrid'"),
        ("fusion", "rrf", "mode='hybrid'"),
        ("on_blank", "drop", "on_blank is 'drop'"),
        ("store", "plays.dpr", "PassageStore"),
    ],
)
def test_settings_of_the_vector_store_are_checked(plays: DPRVectorStore, name: str, value: Any, told: str) -> None:
    before = getattr(plays, name)
    with pytest.raises((DprRagError, ValueError, TypeError), match=told):
        setattr(plays, name, value)
    assert getattr(plays, name) is before


def test_the_vector_store_asks_the_store_that_it_was_given(plays: DPRVectorStore, words: Any) -> None:
    with PassageStore.temporary(encoder=words) as other:
        other.add([Passage("other", "a tragedy")])
        opened, plays.store = plays.store, other
        assert ids_of(plays.similarity_search(QUESTION)) == ["other"]
        assert ids_of(plays.as_retriever().invoke(QUESTION)) == ["other"]
        plays.close()
        with pytest.raises(StoreClosedError):
            opened.info()
        assert len(other) == 1


def test_blank_documents_are_treated_as_was_set_last(plays: DPRVectorStore) -> None:
    plays.on_blank = "error"
    with pytest.raises(ValueError, match="blank"):
        plays.add_documents([Document(page_content=" ")])


@pytest.mark.parametrize("copying", [copy.copy, copy.deepcopy])
def test_a_copy_of_the_vector_store_leaves_closing_to_the_first(plays: DPRVectorStore, copying: Any) -> None:
    with copying(plays) as copied:
        assert copied.store is plays.store
        copied.mode = "bm25"
    assert plays.mode is None
    assert len(plays.similarity_search(QUESTION)) == 4


def test_the_encoder_of_embeddings_can_be_another_one_but_nothing_else(words: Any) -> None:
    first, second = type(words)("first"), type(words)("second")
    embeddings = DPREmbeddings(first)
    embeddings.encoder = second
    embeddings.embed_query("a question")
    assert (first.calls, second.calls) == ([], [["a question"]])
    with pytest.raises(TypeError, match="encoder is str"):
        embeddings.encoder = "a model"
    assert embeddings.encoder is second
