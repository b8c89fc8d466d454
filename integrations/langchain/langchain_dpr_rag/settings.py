"""Pydantic fields of the retrievers, validated together on every assignment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from langchain_core.retrievers import BaseRetriever
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from dpr_rag import Ranking
from dpr_rag.filters import check_predicate, parse_filter
from langchain_dpr_rag.argument_names import OF_A_RETRIEVER, RIGHT_WORDS, check_search_type


def _no_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(f"{value} is no number")  # noqa: TRY004 - a validator's error has to be a ValueError
    return value


def _readable(value: Any) -> Any:
    check_predicate(value)
    if value is not None and not callable(value):
        parse_filter(value)
    return value


def _known_mode(mode: Any) -> Any:
    if mode is not None:
        Ranking(mode)  # says what others' words for a mode are here
    return mode


def _known_fusion(fusion: Any) -> Any:
    if fusion is not None:
        Ranking("hybrid", fusion=fusion)
    return fusion


def _known_search_type(search_type: Any) -> Any:
    check_search_type(search_type, OF_A_RETRIEVER)
    return search_type


SearchType = Annotated[Literal["similarity", "mmr"], BeforeValidator(_known_search_type)]
Mode = Annotated[Literal["dense", "bm25", "hybrid"], BeforeValidator(_known_mode)]
Fusion = Annotated[Literal["weighted", "rrf"], BeforeValidator(_known_fusion)]
Count = Annotated[int, BeforeValidator(_no_bool), Field(ge=1)]
Share = Annotated[float, BeforeValidator(_no_bool), Field(ge=0, le=1)]
Weight = Annotated[float, BeforeValidator(_no_bool), Field(ge=0, allow_inf_nan=False)]
Condition = Annotated[Any, AfterValidator(_readable)]


class CheckedRetriever(BaseRetriever):
    """A retriever whose fields can be set and copied, each time with all the checks of construction.

    Pydantic checks assignments field by field and leaves what fails as a whole in place, and it does not check
    ``model_copy(update=…)`` at all.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _name_fields(cls, values: Any) -> Any:
        """Refuse another library's names of fields, naming the right ones; other unknown fields are left to pydantic."""
        for name in values if isinstance(values, dict) else ():
            right = RIGHT_WORDS.get(name)
            if right and name not in cls.model_fields:
                raise ValueError(f"{name}: there is no such field; here it is {right}")
        return values

    def __setattr__(self, name: str, value: Any) -> None:
        if name in type(self).model_fields:
            value = getattr(self._checked({name: value}), name)
        super().__setattr__(name, value)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with other values, which are checked; it shares the open store, and does not close it.

        Args:
            update: Fields and their new values, all at once where they belong together.
            deep: Copy the values of the other fields too; an open store is shared in any case.

        Raises:
            ValidationError: A value does not fit, alone or with the others.
        """
        copied = super().model_copy(deep=deep)
        if update:
            copied.__dict__.update(copied._checked(update).__dict__)
            copied.__pydantic_fields_set__.update(update)
        return copied

    def _checked(self, update: Mapping[str, Any]) -> Self:
        """A new retriever of these fields, made for its checks."""
        set_fields = {name: self.__dict__[name] for name in type(self).model_fields if name in self.__dict__}
        return type(self).model_validate({**set_fields, **update})
