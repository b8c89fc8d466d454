"""What a copy of a store includes beside passages and vectors, and what it cannot include, which it reports."""

from __future__ import annotations

import logging
from dataclasses import replace

from dpr_rag.faces import ByFace
from dpr_rag.fusion import Tuned
from dpr_rag.milvus import MilvusStore
from dpr_rag.milvus.origin import Origin
from dpr_rag.scaling.moving import runs_in
from dpr_rag.stores import WholeStore, whole

_NO_WORDS = "none"
_log = logging.getLogger(__name__)


def origin_of(store: WholeStore) -> Origin:
    """What a folder is made as that takes the passages of a store: as that one, or as the folder that filled a collection.

    What a collection was tuned to since counts in a folder too, unless it ranks by the engine's BM25, which no folder has.
    """
    if isinstance(store, MilvusStore):
        known, own = store.origin, store.tuned
        return known if own is None or own.ranking.needs_words else replace(known, tuned=own)
    info = whole(store).info()
    return Origin(info.language, info.dtype, store.tuned, info.filled)


def carry(source: WholeStore, target: WholeStore) -> None:
    """Bring the tuned ranking of a store and the record of what filled it to a copy of its passages.

    The language of BM25, and how vectors are kept, a folder has from when it was made, see :func:`origin_of`. A collection has
    no place for either, nor for a ranking by the folder's BM25: it records them, and a copy to a folder has them again. What
    the target does not use is logged as a warning, in a line.
    """
    if not source.count():
        return  # a collection is made when the first passages come
    had = origin_of(source)
    target.note_filled(runs_in(source))
    if isinstance(target, MilvusStore):
        _to_engine(source, target, had)
    else:
        _to_folder(source, target, had)


def _to_engine(source: WholeStore, target: MilvusStore, had: Origin) -> None:
    if _was_carried(target):
        target.set_tuned(None)  # an earlier copy brought it: that of the source counts now
    target.keep_origin(had)
    mine = source.tuned
    if isinstance(source, MilvusStore) and mine is not None and target.info().words:
        _set(source, target, mine)
        return
    unused = [] if had.language in (None, _NO_WORDS) else [f"the language {had.language} of BM25"]
    if mine is not None and mine.ranking.needs_words and target.tuned is None:
        unused.append(f"the tuned ranking ({mine.ranking})")
    elif mine is not None:
        _set(source, target, _without_words(mine))
    if unused:
        _log.warning(
            "%s has %s, which %s does not use, as its engine counts words in its own way; a copy to a folder has it again",
            source.path,
            " and ".join(unused),
            target.path,
        )


def _was_carried(target: MilvusStore) -> bool:
    """Whether a collection is tuned to what its passages' folder was, and not by somebody who asked it."""
    own, brought = target.tuned, target.origin.tuned
    return (
        own is not None and brought is not None and any(_alike(own, one) for one in (brought, _without_words(brought)))
    )


def _to_folder(source: WholeStore, target: WholeStore, had: Origin) -> None:
    language, mine, own = target.info().language, had.tuned, source.tuned
    if had.language is None:
        _log.warning(
            "%s does not say whose words BM25 is to stem, and %s stems %s; %s",
            source.path,
            target.path,
            language,
            ByFace("optimize(language='NAME') changes it", cli="change it with: dpr-rag optimize DIR --language NAME"),
        )
    if isinstance(source, MilvusStore) and own is not None and own.ranking.needs_words:
        _log.warning(
            "the tuned ranking of %s (%s) was left behind: it counts words as its engine does, which %s does not; %s",
            source.path,
            own.ranking,
            target.path,
            "tune it anew" if mine is None else "it ranks as the folder that the passages came from, or tune it anew",
        )
    if mine is None:
        return
    if had.language not in (None, language):
        if mine.ranking.needs_words:
            _log.warning(
                "the tuned ranking of %s (%s) was left behind: it was found with the language %s, and %s has %s; tune it anew",
                source.path,
                mine.ranking,
                had.language,
                target.path,
                language,
            )
            return
        mine = _without_words(mine)
    _set(source, target, mine)


def _without_words(tuned: Tuned) -> Tuned:
    """What is left of a ranking by vectors where words are counted otherwise."""
    kept = {ranking: one for ranking, one in tuned.calibrations.items() if not ranking.needs_words}
    return replace(tuned, calibrations=kept, weight=None)


def _set(source: WholeStore, target: WholeStore, tuned: Tuned) -> None:
    """Tune the target; what it was tuned to itself stays."""
    known = target.tuned
    if known is not None and not _alike(known, tuned):
        _log.warning(
            "%s keeps what it is tuned to (%s), and %s stays behind (%s)",
            target.path,
            known.ranking,
            f"that of {source.path}",
            tuned.ranking,
        )
    elif known is None:
        target.set_tuned(_unbound(tuned))


def _alike(one: Tuned, other: Tuned) -> bool:
    return _unbound(one) == _unbound(other)


def _unbound(tuned: Tuned) -> Tuned:
    """Without what binds it to a place."""
    return replace(tuned, fingerprint="", language="")
