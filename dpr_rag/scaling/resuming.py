"""Errors of an engine during a long call: how far the call got, and how to resume it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dpr_rag.errors import NotAcknowledgedError, ServiceTimeoutError, ServiceUnavailableError
from dpr_rag.faces import ByFace, each_face, message_of
from dpr_rag.store import AddReport
from dpr_rag.stores import WholeStore


@contextmanager
def going_on(target: WholeStore, done: AddReport, of: int) -> Iterator[None]:
    """Tell an engine that went away with how far all of a call is, and not this batch alone.

    Args:
        target: Where passages go.
        done: What became of the passages before.
        of: How many there are.

    Raises:
        NotAcknowledgedError: An engine went away.
    """
    try:
        yield
    except (ServiceUnavailableError, ServiceTimeoutError) as error:
        lacking, more = (error.passage_ids, error.acknowledged) if isinstance(error, NotAcknowledgedError) else ((), 0)
        why = error.__cause__ if isinstance(error, NotAcknowledgedError) and error.__cause__ else error
        told = (
            each_face(lambda text: text.rstrip("."), message_of(why))
            + f"; {done.total + more:,} of {of:,} passages are in {target.path} ({done.unchanged:,} were before): "
            + ByFace("call it again", cli="run the same command again")
            + " to go on"
        )
        raise NotAcknowledgedError(told, lacking, done.total + more) from error
