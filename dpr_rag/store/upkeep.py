"""Maintenance of a store: check, optimize, backup, restore, recover, re-encode; all of it concerns the whole store."""

from __future__ import annotations

import os
from collections.abc import Mapping

from dpr_rag.arguments import check_seconds
from dpr_rag.encoder import Encoder
from dpr_rag.errors import StoreError
from dpr_rag.lexical import Analyzer
from dpr_rag.paths import place_of
from dpr_rag.store import background_compaction, checking, compaction, copying, filling, lexicon, recovering, reencoding
from dpr_rag.store.reports import CheckReport, MadeBy, RecoverReport, StoreInfo
from dpr_rag.store.scope import Scoped


class Upkeep(Scoped):
    """The methods of a ``PassageStore`` that maintain it; a restricted view refuses them."""

    def check(self) -> CheckReport:
        """Read and verify everything: every text, vector, checksum and count, and the base segment against them.

        Raises:
            StoreCorrupted: Naming all that is wrong.
        """
        return checking.check(self._whole("check"))

    def optimize(self, index: str | None = None, *, language: str | None = None) -> None:
        """Build a new base segment of all that is stored, with another index if one is named.

        What runs in the background is cancelled. Searches and writes go on meanwhile. The postings of BM25 are
        written anew too, where words were ever asked for; and what is empty of the file, if that is much, goes back to the disk.

        Args:
            index: Another kind of index, or None to keep it.
            language: Another language for BM25, or None to keep it.

        Raises:
            IndexKindError: ``index`` or ``language`` is unknown, or the index cannot be built.
            StoreError: The index or the postings cannot be written; what they were stays.
        """
        engine = self._whole("optimize")
        if language is not None:
            Analyzer(language)  # what is unknown is refused before any work
        compaction.check(engine, index)
        with engine.background.paused():
            compaction.compact(engine, index)
            lexicon.rebuild(engine, language)
        compaction.shrink(engine)

    def wait_for_compaction(self, timeout: float | None = None) -> bool:
        """Wait until what brings up index and postings in the background, if it runs, has ended.

        What ``add`` brought is stored and found without that; both have then caught up with it, or ``info().compaction``
        says why not. Closing a store or ending the process cancels a compaction, which the next ``add`` starts anew.

        Args:
            timeout: Seconds to wait at most, or None for as long as it takes.

        Returns:
            Whether none is running any more.
        """
        engine = self._whole("wait_for_compaction")
        if timeout is not None:
            timeout = check_seconds("timeout", timeout, StoreError)
        return engine.background.wait(timeout)

    def info(self) -> StoreInfo:
        """Settings, counts and sizes of the store, and the state of its index."""
        return checking.info(self._whole("info"))

    def made_by(self) -> MadeBy:
        """What made the vectors: encoder and runs, see :meth:`info`; of a view what made those of its store."""
        return MadeBy.of(checking.info(self._engine))

    def note_filled(self, runs: Mapping[str, str]) -> None:
        """Record which runs made vectors of this store, where they were copied or merged from another one.

        A run that is recorded already keeps the earlier of both times. A store without vectors keeps no record.

        Args:
            runs: Times by run, as ``info().filled`` of the other store.
        """
        filling.note(self._whole("note_filled"), runs)

    def backup(self, path: str | os.PathLike[str]) -> None:
        """Copy the store to a new folder, consistently, while it is in use.

        Raises:
            StoreError: There is something at ``path`` already.
        """
        copying.backup(self._whole("backup"), place_of(path))

    @staticmethod
    def restore(copy: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
        """Replace a store, whatever is left of it, by a copy; where this fails, the store stays as it is.

        The copy is verified first and stays as it is. Copying its files by hand instead would leave the write-ahead log of a
        killed process, which SQLite would play back over them.

        Args:
            copy: What :meth:`backup` made, or another store.
            path: The store to replace, or a path where there is nothing.

        Raises:
            StoreLocked: A process has the store open.
            StoreNotFoundError: There is no store at ``copy``.
            NotAStoreError: There is something else at ``path``.
            StoreCorrupted: The copy is damaged.
        """
        copying.restore(place_of(copy).absolute(), place_of(path).absolute())

    @staticmethod
    def recover(
        path: str | os.PathLike[str], target: str | os.PathLike[str], *, encoder: Encoder | None = None
    ) -> RecoverReport:
        """Copy everything undamaged from a damaged store into a new one, where there is no backup to restore.

        Passages and vectors come out whose checksums hold, in their order, with what adapters keep and the store's settings;
        the index and the postings are built anew. The damaged store is only read, and stays as it is.

        Args:
            path: The damaged store.
            target: A path where there is nothing.
            encoder: The encoder that filled it: passages whose vectors are damaged are encoded anew. Without it they are
                left out. Needed where the store's own record is damaged: then all passages are encoded anew.

        Returns:
            What came out, and the ids of what did not.

        Raises:
            StoreNotFoundError: There is no store at ``path``.
            StoreError: There is something at ``target`` already.
            EncoderMismatchError: It was filled with another encoder.
            StoreCorrupted: Not even its schema can be read, or its own record cannot and there is no encoder.
        """
        return recovering.recover(place_of(path).absolute(), place_of(target).absolute(), encoder)

    def reencode(self, encoder: Encoder, *, batch_size: int = 512, progress: reencoding.Progress | None = None) -> int:
        """Encode all stored passages with another encoder and switch over to it.

        The old vectors serve until the switch, which is one commit. Interrupted, the next call with the same encoder
        goes on where this one stopped.

        Args:
            encoder: The new encoder; this store uses it from the switch on.
            batch_size: Passages per commit.
            progress: Called after each commit with (passages done, passages in all).

        Returns:
            How many passages this call encoded.
        """
        engine = self._whole("reencode")
        done = reencoding.reencode(engine, encoder, batch_size=batch_size, progress=progress)
        background_compaction.catch_up(engine)
        return done
