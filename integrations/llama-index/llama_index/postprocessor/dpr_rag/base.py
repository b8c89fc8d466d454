"""``DPRReranker``: a second stage behind any retriever, as LlamaIndex's node postprocessor."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated, Any, cast

from llama_index.core.bridge.pydantic import BeforeValidator, ConfigDict, Field, PrivateAttr
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, QueryBundle
from llama_index.postprocessor.dpr_rag.nodes import ANSWER_KEY, hits_of, judged, nodes_given, without_answer

from dpr_rag import Reader, SecondStage
from dpr_rag.arguments import check_count, is_blank, kind, remedy
from dpr_rag.errors import ArgumentError, VectorError, nearest

__all__ = ["ANSWER_KEY", "DPRReranker"]
_ARGUMENTS = ("reranker", "top_n", "rerank_weight", "callback_manager")
_OTHER_WORDS = {
    **dict.fromkeys(("model", "model_name", "cross_encoder", "reader", "llm"), "reranker="),
    **dict.fromkeys(("k", "top_k", "similarity_top_k"), "top_n="),
    **dict.fromkeys(("weight", "alpha"), "rerank_weight="),
    **dict.fromkeys(("device", "dtype", "runtime"), "an argument of Reader.from_pretrained(folder)"),
}


def _a_number(value: Any) -> Any:
    """Refuse truth values and texts, which pydantic would convert, as the constructor does."""
    if isinstance(value, bool | str):
        raise ValueError(f"is {kind(value)}, expected a number")  # noqa: TRY004 - what pydantic takes for a refusal
    return value


class DPRReranker(BaseNodePostprocessor):
    """Orders what any retriever found anew, by reading question and node together, and points out answers.

    Setup:
        In a checkout of the repository: ``pip install -c constraints.txt '.[llama-index]'``

    Key arguments:
        reranker: A ``dpr_rag.Reader``, the folder or hub name of one, or a ``CrossEncoder`` of sentence-transformers; None is
            the built-in reader.
        top_n: Nodes that are kept; 2 as in LlamaIndex's own rerankers.
        rerank_weight: Share of the reranker in the order, from 0 to 1, beside the nodes' scores, or their order where one has
            none; None for what it is by default, 1 for the reranker alone.
        callback_manager: As in every postprocessor.

    Instantiate:
        .. code-block:: python

            from llama_index.postprocessor.dpr_rag import DPRReranker

            reranker = DPRReranker(top_n=3)  # or DPRReranker("my-reader", …)

    Score:
        What the nodes are ordered by; higher is better. ``node.metadata["dpr_answer"]`` holds what a ``Reader`` found, if it
        did: text, start, end and probability. Prompts and embeddings leave it out.

    Async:
        ``apostprocess_nodes`` reads in a thread, so that the event loop goes on.

    In a query engine:
        .. code-block:: python

            RetrieverQueryEngine.from_args(retriever, llm=llm, node_postprocessors=[reranker]).query("Who wrote Hamlet?")

    Nodes are copied, not changed. Those without text cannot be read and come last, with the score of the last one that
    was read; for a blank question all keep their order.

    Raises:
        TypeError: ``reranker`` cannot rerank, an argument is unknown, or nodes or question are of another type.
        VectorError: ``top_n`` is below 1, or ``rerank_weight`` not between 0 and 1.
        ModelError: A folder holds no reader.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, validate_assignment=True)

    # what instrumentation and dicts tell of it
    model: str = Field(default="", frozen=True, description="Where the reranker's weights came from.")
    fingerprint: str = Field(
        default="", frozen=True, description="Identifies a Reader's weights, tokenizer and profile."
    )
    top_n: Annotated[int, BeforeValidator(_a_number)] = Field(default=2, description="Nodes that are kept.", ge=1)
    rerank_weight: Annotated[float | None, BeforeValidator(_a_number)] = Field(
        default=None, description="Share of the reranker in the order.", ge=0, le=1
    )
    _reranker: Any = PrivateAttr()

    def __init__(
        self,
        reranker: Any = None,
        *,
        top_n: int = 2,
        rerank_weight: float | None = None,
        callback_manager: CallbackManager | None = None,
        **unknown: Any,
    ) -> None:
        for name in unknown:
            right = f"; here it is {_OTHER_WORDS[name]}" if name in _OTHER_WORDS else nearest(name, _ARGUMENTS)
            raise ArgumentError(f"unknown argument {name!r:.80}, expected one of {', '.join(_ARGUMENTS)}{right}")
        if isinstance(reranker, str | os.PathLike):
            reranker = Reader.from_pretrained(cast(str, reranker))
        reranker = Reader.default() if reranker is None else reranker
        stage = SecondStage(reranker, rerank_weight=rerank_weight)
        fields: dict[str, Any] = {
            "model": str(getattr(reranker, "source", "") or type(reranker).__name__),
            "fingerprint": str(getattr(reranker, "fingerprint", "")),
            "top_n": check_count("top_n", top_n, VectorError),
            "rerank_weight": None if rerank_weight is None else stage.weight,
        }
        super().__init__(callback_manager=callback_manager or CallbackManager([]), **fields)
        self._reranker = reranker

    @classmethod
    def class_name(cls) -> str:
        """The name under which LlamaIndex serialises the class."""
        return "DPRReranker"

    @classmethod
    def from_dict(cls, data: dict[str, Any], **kwargs: Any) -> DPRReranker:
        """The reranker of a dict that ``to_dict`` made.

        Args:
            data: The dict; it names its model, and nothing that a dict names is loaded.
            **kwargs: Arguments of the class, ``reranker`` among them.

        Raises:
            ArgumentError: The reranker is missing, or another one than that of the dict.
        """
        settings = {name: data[name] for name in ("top_n", "rerank_weight") if data.get(name) is not None}
        if kwargs.get("reranker") is None:
            raise ArgumentError(
                f"the dict is of the reranker {data.get('model')!r:.120}; load it and pass it as reranker="
            )
        reranker = cls(**{**settings, **kwargs})
        if data.get("fingerprint", "") != reranker.fingerprint:
            raise ArgumentError(
                f"the dict is of the reranker {data.get('model')!r:.120}, this one is {reranker.model!r:.120}; load that one and "
                "pass it as reranker="
            )
        return reranker

    def __getstate__(self) -> dict[str, Any]:
        """Refuse to go to another process without the reader, which LlamaIndex would drop with a warning in the log."""
        state = super().__getstate__()
        if "_reranker" not in (state.get("__pydantic_private__") or {}):
            raise TypeError(
                f"the reranker {self.model!r:.120} is loaded and cannot be pickled; load it where it is used, with "
                "DPRReranker(folder)"
            )
        return state

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None:
            raise ArgumentError("a reranker reads question and nodes together; pass query_str= or query_bundle=")
        nodes = nodes_given(nodes)
        if not isinstance(query_bundle.query_str, str):
            given = query_bundle.query_str
            advice = remedy(given, several="rerank for one question after the other")
            raise ArgumentError(f"query_str is {kind(given)}, expected a string; {advice}")
        if is_blank(query_bundle.query_str) or not nodes:
            return nodes[: self.top_n]
        payload: dict[str, Any] = {
            EventPayload.NODES: nodes,
            EventPayload.MODEL_NAME: self.model,
            EventPayload.QUERY_STR: query_bundle.query_str,
            EventPayload.TOP_K: self.top_n,
        }
        with self.callback_manager.event(CBEventType.RERANKING, payload=payload) as event:
            best = self._best(nodes, query_bundle.query_str)
            event.on_end(payload={EventPayload.NODES: best})
        return best

    def _best(self, nodes: Sequence[NodeWithScore], question: str) -> list[NodeWithScore]:
        hits = hits_of(nodes)
        if not hits:
            return list(nodes[: self.top_n])
        stage = SecondStage(self._reranker, rerank=len(hits), rerank_weight=self.rerank_weight)
        ranked = [judged(nodes[int(hit.passage.id)], hit) for hit in stage.ranked(question, hits, self.top_n)]
        read, last = {int(hit.passage.id) for hit in hits}, ranked[-1].score
        return [*ranked, *(without_answer(node, last) for at, node in enumerate(nodes) if at not in read)][: self.top_n]
