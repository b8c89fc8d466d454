"""The stores of a service by name, with their worker threads and shared batchers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from dpr_rag.arguments import kind
from dpr_rag.errors import ArgumentError, RequestError, StoreNotFoundError
from dpr_rag.reading.second_stage import SecondStage
from dpr_rag.service.batching import Batcher
from dpr_rag.service.limits import Limits
from dpr_rag.service.metrics import Metrics
from dpr_rag.service.workers import Admission, Workers
from dpr_rag.stores import WholeStore, whole

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class ServedStore:
    """One store of a service.

    Attributes:
        name: Its name in requests.
        store: The open store.
        batcher: Encodes its questions; None where it has no encoder.
        second: Reranks its hits; None for no second stage.
    """

    name: str
    store: WholeStore
    batcher: Batcher | None
    second: SecondStage | None = None


class Service:
    """Stores with their worker threads; stores with the same encoder share its batches.

    Args:
        stores: Open stores by name.
        writable: Whether passages may be added and deleted.
        limits: Limits of requests.
        second: A second stage that reranks the hits of questions in words.

    Raises:
        RequestError: There is no store, or a name cannot be one.
    """

    def __init__(
        self,
        stores: Mapping[str, WholeStore],
        *,
        writable: bool,
        limits: Limits,
        second: SecondStage | None = None,
    ) -> None:
        if not isinstance(stores, Mapping):
            raise ArgumentError(f"stores is {kind(stores)}, expected open stores by name, such as {{'notes': store}}")
        if not stores:
            raise RequestError("a service without a store has nothing to answer; give at least one")
        for name in stores:
            check_name(name)
        stores = {name: whole(store) for name, store in stores.items()}
        self.writable, self.limits, self.metrics = writable, limits, Metrics()
        self.searching = Workers(limits.threads, "searching")
        self.writing, self.watching = Workers(1, "writing"), Workers(1, "watching")
        self.admission = Admission(limits.waiting)
        self.metrics.watch_waiting(lambda: self.admission.admitted)
        self._batchers: dict[tuple[str, int], Batcher] = {}
        self._served = {name: ServedStore(name, store, self._batcher(store), second) for name, store in stores.items()}

    @property
    def stores(self) -> tuple[ServedStore, ...]:
        """All stores, in the order given."""
        return tuple(self._served.values())

    def served(self, name: str | None) -> ServedStore:
        """The store of a name, or the only one.

        Raises:
            StoreNotFoundError: There is none of that name.
            RequestError: No name was given, and there are several.
        """
        if name is None and len(self._served) > 1:
            raise RequestError(f"store is missing, and there are several: {', '.join(self._served)}; name one of them")
        served = next(iter(self._served.values())) if name is None else self._served.get(name)
        if served is None:
            raise StoreNotFoundError(f"there is no store {name!r:.80} here; there are {', '.join(self._served)}")
        return served

    @property
    def places(self) -> dict[str, str]:
        """The folders of the stores, with what messages say instead."""
        return {str(served.store.path): f"the store {served.name!r}" for served in self.stores}

    def close(self) -> None:
        """Wait for what is running, and end the threads; the stores stay open."""
        for batcher in self._batchers.values():
            batcher.close()
        for workers in (self.searching, self.writing, self.watching):
            workers.close()

    def _batcher(self, store: WholeStore) -> Batcher | None:
        encoder = store.encoder
        if encoder is None:
            return None
        key = (encoder.fingerprint, int(encoder.dim))
        if key not in self._batchers:
            self._batchers[key] = Batcher(encoder, self.limits, self.metrics)
        return self._batchers[key]


def check_name(name: object) -> None:
    """Refuse what cannot be the name of a store.

    Raises:
        RequestError: It has other characters than ASCII letters, digits, dots, dashes and underscores, or too many.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise RequestError(
            f"{name!r:.80} cannot name a store; expected up to 64 ASCII letters, digits, dots, dashes and underscores"
        )
