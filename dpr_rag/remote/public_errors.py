"""Error messages for clients of a service: what was wrong with the request, and nothing about the server's files or models."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from dpr_rag import errors
from dpr_rag.errors import DprRagError
from dpr_rag.faces import each_face, message_of
from dpr_rag.remote.wire import STATUS, kind_of

_log = logging.getLogger(__name__)
LOGGED = "the service's log says more"
_PUBLIC_MESSAGES: Mapping[type[DprRagError], str] = {
    errors.EncoderMismatchError: "the store has no encoder here, or another one filled it since; give vectors, or ask by words",
    errors.StoreReadOnlyError: "this service only reads; start it with: dpr-rag serve --writable",
    errors.StoreLocked: "another writer holds the store; ask again in a moment",
    errors.StoreReplacedError: f"the store was replaced or moved while it was open; {LOGGED}",
    errors.StoreClosedError: f"the store is closed; {LOGGED}",
    errors.StoreCorrupted: f"the store is damaged; {LOGGED}",
}
"""Messages in place of those that name files, folders, processes or models of the server."""


def public_message(error: DprRagError, places: Mapping[str, str]) -> str:
    """The message of an error, with the words of each face, without paths and internals of the server; those go to the log.

    Args:
        error: The error.
        places: Folders of stores, and the names to show in their place.
    """
    kind = kind_of(error)
    message = _PUBLIC_MESSAGES.get(kind)
    if STATUS[kind] >= 500 and not isinstance(error, errors.ServiceError):
        _log.error("%s: %s", type(error).__name__, error)
        message = message or f"the store cannot be used; {LOGGED}"
    if message is not None:
        return message

    def shown(message: str) -> str:
        for place in sorted(places, key=len, reverse=True):
            message = message.replace(place, places[place])
        return message

    return each_face(shown, message_of(error))
