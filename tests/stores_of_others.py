"""A store of somebody else's: all that the protocol ``Store`` says, and nothing more."""

from __future__ import annotations

from typing import Any, Self

from dpr_rag import PassageStore


class AnyOther:
    """Hands on to a store what the protocol asks, and has nothing else that a ``PassageStore`` has."""

    path = "elsewhere:plays"

    def __init__(self, inner: PassageStore) -> None:
        self._inner = inner

    @property
    def encoder(self) -> Any:
        return self._inner.encoder

    @property
    def ranking(self) -> Any:
        return self._inner.ranking

    def add(self, *given: Any, **options: Any) -> Any:
        return self._inner.add(*given, **options)

    def delete(self, *given: Any, **options: Any) -> Any:
        return self._inner.delete(*given, **options)

    def get(self, *given: Any) -> Any:
        return self._inner.get(*given)

    def select(self, *given: Any) -> Any:
        return self._inner.select(*given)

    def count(self, *given: Any) -> Any:
        return self._inner.count(*given)

    def search(self, *given: Any, **options: Any) -> Any:
        return self._inner.search(*given, **options)

    def rank(self, *given: Any, **options: Any) -> Any:
        return self._inner.rank(*given, **options)

    def encode_questions(self, *given: Any) -> Any:
        return self._inner.encode_questions(*given)

    def ranking_of(self, *given: Any) -> Any:
        return self._inner.ranking_of(*given)

    def settled(self, *given: Any) -> Any:
        return self._inner.settled(*given)

    def calibration_of(self, *given: Any) -> Any:
        return self._inner.calibration_of(*given)

    def close(self) -> None:
        self._inner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: Any) -> None:
        self.close()
