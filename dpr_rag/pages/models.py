"""The language model behind the chatbot: any that LangChain knows, streaming its words."""

from __future__ import annotations

import os
import re
from codecs import getincrementaldecoder
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from dpr_rag.arguments import is_blank
from dpr_rag.errors import ChatError, MissingExtraError

_ADDRESS = re.compile(r"https?://[^/\s]", re.IGNORECASE)
_THINKS, _THOUGHT = "<think>", "</think>"
_PYTHON = re.compile(r"\b[a-z_]+=|\b\w+\([^)]*[=…]|\w\(\)")


class ChatModel(Protocol):
    """What the chatbot asks of a language model."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    def stream(self, messages: Sequence[tuple[str, str]]) -> Iterator[str]:
        """The reply to messages, in pieces; each message is a role (``system``, ``human``, ``ai``) and its text.

        Raises:
            ChatError: It did not answer.
        """
        ...


class LangChainModel:
    """A chat model of LangChain.

    Args:
        model: A ``BaseChatModel``.
        name: What people call it.
    """

    def __init__(self, model: Any, name: str) -> None:
        self._model, self._name = model, name

    @property
    def name(self) -> str:
        """What people call it."""
        return self._name

    def stream(self, messages: Sequence[tuple[str, str]]) -> Iterator[str]:
        """The reply in pieces, see :class:`ChatModel`."""
        failed = "did not answer"
        try:
            pieces = (str(chunk.text) for chunk in self._model.stream(list(messages)) if chunk.text)
            for piece in _without_thoughts(_in_characters(pieces)):
                failed = "broke off"
                yield piece
        except Exception as error:  # each provider has exceptions of its own, and the talk goes on
            raise ChatError(f"{self._name} {failed}: {_one_line(error)}") from error


def open_model(name: str, base_url: str | None = None) -> LangChainModel:
    """The model that ``provider:model`` names, by LangChain's ``init_chat_model``.

    Args:
        name: Such as ``openai:gpt-5-mini`` or ``ollama:llama3.2``.
        base_url: Where an OpenAI-compatible or local server listens, such as ``http://127.0.0.1:8000/v1``.

    Raises:
        MissingExtraError: LangChain, or the provider's package, is not installed.
        ChatError: There is no such model, its key is missing, or the address is none.
    """
    if is_blank(name):
        raise ChatError(f"the model {name!r} has no name; give one, such as openai:gpt-5-mini")
    if base_url is not None and not _ADDRESS.match(base_url):
        raise ChatError(f"{base_url!r:.200} is no address of a model; write it as http://127.0.0.1:11434/v1")
    try:
        from langchain.chat_models import init_chat_model
    except ImportError as error:
        raise MissingExtraError("models by name need LangChain; install it with: pip install langchain") from error
    try:
        return LangChainModel(init_chat_model(name, **_options(name, base_url)), name)
    except ImportError as error:
        raise MissingExtraError(f"the model {name!r} needs another package: {_one_line(error)}") from error
    except Exception as error:  # each provider has exceptions of its own
        raise ChatError(f"the model {name!r} cannot be used: {_one_line(error)}") from error


def _in_characters(pieces: Iterable[str]) -> Iterator[str]:
    """A text in pieces that no character is cut by, as emoji are where a server parts them; what stays half is U+FFFD."""
    decoder = getincrementaldecoder("utf-16-le")("replace")
    for piece in pieces:
        if whole := decoder.decode(piece.encode("utf-16-le", "surrogatepass")):
            yield whole
    if half := decoder.decode(b"", final=True):
        yield half


def _without_thoughts(pieces: Iterable[str]) -> Iterator[str]:
    """A reply without what the model thought before it, which some servers send ahead of it between ``<think>`` tags."""
    begun, coming = "", iter(pieces)
    for piece in coming:
        begun = (begun + piece).lstrip()
        if begun.startswith(_THINKS) and _THOUGHT in begun:
            begun = begun.partition(_THOUGHT)[2].lstrip()
        if begun and not begun.startswith(_THINKS) and not _THINKS.startswith(begun):
            break
    if begun and not begun.startswith(_THINKS):
        yield begun
    yield from coming


def _options(name: str, base_url: str | None) -> dict[str, Any]:
    if base_url is None:
        return {}
    # servers on one's own machine take any key, but OpenAI's client does not start without one
    keyless = name.startswith("openai:") and not os.environ.get("OPENAI_API_KEY")
    return {"base_url": base_url, **({"api_key": "none"} if keyless else {})}


def _one_line(error: Exception) -> str:
    """What went wrong; of what a server of OpenAI's kind refuses, its own words instead of the object that holds them.

    What a provider's library advises in Python behind a semicolon is left out: who reads a page cannot do it.
    """
    body, status = getattr(error, "body", None), getattr(error, "status_code", None)
    message = body.get("message") if isinstance(body, Mapping) else None
    told = f"{message} (status {status})" if isinstance(message, str) and status else str(error)
    first, *others = " ".join(told.split()).split("; ")
    return "; ".join([first, *(one for one in others if not _PYTHON.search(one))])[:300] or type(error).__name__
