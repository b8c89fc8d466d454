"""The bodies of requests and responses, as pydantic models; the OpenAPI document is made from them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from dpr_rag.fusion import Fusion, Mode

StoreName = Annotated[str | None, Field(description="Which store; may be left out where there is one.")]
Where = Annotated[
    dict[str, Any] | None,
    Field(description='Selects passages before the top k, such as {"year": {"$gte": 1700}}.'),
]
Ids = Annotated[list[str] | None, Field(description="Ids of passages; unknown ones are left out.")]


class Request(BaseModel):
    """Base of all requests; unknown fields and fields of the wrong type are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)

    store: StoreName = None


class BM25Parameters(BaseModel):
    """The parameters of BM25."""

    model_config = ConfigDict(extra="forbid", strict=True)

    k1: float = 0.9
    b: float = 0.4
    phrases: float | None = None


class FullRanking(BaseModel):
    """A ranking with all its options."""

    model_config = ConfigDict(extra="forbid", strict=True)

    mode: Mode = "dense"
    weight: float | None = None
    fusion: Fusion = "weighted"
    candidates: int = 200
    bm25: BM25Parameters = Field(default_factory=BM25Parameters)
    balance: float = 1.0


class DiversityParameters(BaseModel):
    """Parameters of maximal marginal relevance."""

    model_config = ConfigDict(extra="forbid", strict=True)

    candidates: int = 20
    balance: float = 0.5


class RankedRequest(Request):
    """Options of a ranking; those that are left out are as the store was tuned."""

    mode: Mode | None = Field(None, description="dense by inner product, bm25 by words, hybrid by both.")
    weight: float | None = Field(None, description="For hybrid: λ of BM25 + λ · inner product.")
    fusion: Fusion | None = Field(None, description="For hybrid: weighted, or rrf for reciprocal ranks.")
    candidates: int | None = Field(None, description="For hybrid: how many passages each leg brings.")
    k1: float | None = Field(None, description="Of BM25.")
    b: float | None = Field(None, description="Of BM25.")
    phrases: float | None = Field(None, description="Weight of words that follow each other.")
    ranking: FullRanking | None = Field(None, description="A full ranking instead of the options before it.")


class RankingRequest(RankedRequest):
    """Options of a ranking, to be completed by the store."""

    settle: bool = Field(False, description="Fill in the λ that the store was tuned to, where the weight is left out.")


class RetrieveRequest(RankedRequest):
    """Questions, their vectors, or both if the vectors are known already."""

    questions: str | list[str] | None = Field(None, description="One question, or several.")
    vectors: list[list[float]] | None = Field(None, description="Question vectors, [n, dim].")
    k: int = Field(10, description="Hits per question.")
    filter: Where = None
    diversity: DiversityParameters | None = None
    min_relevance: float | None = Field(None, description="Leave out hits of less relevance, in [0, 1].")
    exact: bool = Field(False, description="With vectors alone: search exactly also where the index is approximate.")
    private: bool = Field(False, description="With what an adapter keeps in the passages.")


class SelectionRequest(Request):
    """Passages by id or by filter; with both, delete takes the passages that match both."""

    ids: Ids = None
    filter: Where = None


class GetRequest(SelectionRequest):
    """Passages to read, by id or by filter."""

    k: int | None = Field(None, description="With a filter: the first so many.")
    private: bool = Field(False, description="With what an adapter keeps in the passages.")


class CountRequest(Request):
    """Passages to count; all without a filter."""

    filter: Where = None


class GivenPassage(BaseModel):
    """A passage."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: str
    text: str
    title: str = ""
    metadata: dict[str, Any] = Field(default_factory=dict)


class AddRequest(Request):
    """Passages to add; stored passages with the same id are replaced."""

    passages: list[GivenPassage]
    vectors: list[list[float]] | None = Field(None, description="One vector per passage; else the service encodes.")


class Text(BaseModel):
    """Title and text of a passage that is encoded and not stored."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: str
    title: str = ""


class EncodeRequest(Request):
    """Questions or passages to encode; give one of them."""

    questions: list[str] | None = None
    passages: list[Text] | None = None


class FoundPassage(BaseModel):
    """A passage as it is stored."""

    id: str
    title: str
    text: str
    metadata: dict[str, Any]
    source: str | None = Field(
        None, description="The name of the file that it came from, to cite it by; missing where nobody said."
    )
    private: Any = Field(None, description="What an adapter keeps in it, where that was asked for.")


class FoundAnswer(BaseModel):
    """The span of the passage's text that a reader extracted as the answer."""

    text: str
    start: int
    end: int
    probability: float


class FoundHit(FoundPassage):
    """A passage with its rank and scores; higher is better."""

    rank: int
    score: float
    dense: float | None = Field(None, description="Exact inner product; missing where vectors did not count.")
    bm25: float | None = Field(None, description="BM25; missing where words did not count.")
    retrieved: float | None = Field(None, description="The search's score, where a second stage gave another one.")
    answer: FoundAnswer | None = Field(None, description="Where a reader finds the answer in the passage.")


class Result(BaseModel):
    """One question and its hits, best first."""

    question: str | None
    hits: list[FoundHit]


class RetrieveResponse(BaseModel):
    """The hits of each question, in their order."""

    results: list[Result]


class PassagesResponse(BaseModel):
    """Passages by id in the order asked for, or by filter in order of insertion."""

    passages: list[FoundPassage]


class CountResponse(BaseModel):
    """A number of passages."""

    count: int


class DeleteResponse(BaseModel):
    """The number of passages that were deleted."""

    deleted: int


class AddResponse(BaseModel):
    """How many passages were added, replaced, or stored before with the same contents."""

    added: int
    replaced: int
    unchanged: int


class EncodeResponse(BaseModel):
    """Vectors, [n, dim], and the fingerprint of their encoder."""

    fingerprint: str
    dim: int
    vectors: list[list[float]]


class RankingResponse(BaseModel):
    """A ranking."""

    ranking: FullRanking


class CalibrationResponse(BaseModel):
    """relevance = 1 / (1 + exp(-(slope · score + offset)))."""

    slope: float
    offset: float


class StoreFigures(BaseModel):
    """Counts and settings of a store."""

    name: str
    passages: int
    dim: int | None
    fingerprint: str = Field(description="Of the encoder that questions are encoded with; empty where there is none.")
    ranking: str
    writable: bool


class StoresResponse(BaseModel):
    """The stores of this service."""

    stores: list[StoreFigures]


class ErrorResponse(BaseModel):
    """An error: the name of its class in ``dpr_rag.errors``, and its message."""

    error: str
    message: str
    passage_id: str | None = Field(None, description="With RepeatedIdError: the id.")
    cli: str | None = Field(None, description="The message on the command line, where it is another one there.")
    page: str | None = Field(None, description="The message on a page, where it is another one there.")
