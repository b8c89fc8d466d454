"""Stand-ins for language models, so that every example runs without a network; they write no answers of their own."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import BaseChatModel, FakeListChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult

ANSWER = (
    "(No model was named, so this is a fixed text: the sources below are the answer. Name one with --llm.) See [1]."
)


def chat_model(name: str | None) -> BaseChatModel:
    """The model that ``--llm`` names, such as ``openai:gpt-5-mini``, or LangChain's own fake."""
    if name is None:
        return FakeListChatModel(responses=[ANSWER])
    from langchain.chat_models import init_chat_model

    return init_chat_model(name)


class ToolCaller(BaseChatModel):
    """Calls its first tool with what the user said, then repeats the tool's answer; LangChain's fakes cannot call tools."""

    tool: str = ""
    asks: str = "query"

    @property
    def _llm_type(self) -> str:
        return "tool-caller"

    def bind_tools(self, tools: Any, **kwargs: Any) -> ToolCaller:
        """Remember the first tool, and the argument that takes what the user said."""
        return ToolCaller(tool=tools[0].name, asks=next(iter(tools[0].args)))

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        last = messages[-1]
        if isinstance(last, ToolMessage):
            answer = AIMessage(f"{ANSWER}\n\n{last.text}")
        else:
            question = next(message for message in reversed(messages) if isinstance(message, HumanMessage))
            answer = AIMessage("", tool_calls=[{"name": self.tool, "args": {self.asks: question.text}, "id": "call-1"}])
        return ChatResult(generations=[ChatGeneration(message=answer)])
