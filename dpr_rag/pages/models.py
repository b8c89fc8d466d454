"""The language model behind the chatbot: any that LangChain knows, streaming its words."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from dpr_rag.errors import ChatError, MissingExtraError

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
        try:
            for chunk in self._model.stream(list(messages)):
                if chunk.text:
                    yield str(chunk.text)
        except Exception as error:  # each provider has exceptions of its own, and the talk goes on
            raise ChatError(f"{self._name} did not answer: {_one_line(error)}") from error


def open_model(name: str, base_url: str | None = None) -> LangChainModel:
    """The model that ``provider:model`` names, by LangChain's ``init_chat_model``.

    Args:
        name: Such as ``openai:gpt-5-mini`` or ``ollama:llama3.2``.
        base_url: Where an OpenAI-compatible or local server listens, such as ``http://127.0.0.1:8000/v1``.

    Raises:
        MissingExtraError: LangChain, or the provider's package, is not installed.
        ChatError: There is no such model, or its key is missing.
    """
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
