"""An agent of LlamaIndex's with a tool of `dpr-rag mcp`, reached by the official client.

Needs pip install -c constraints.txt '.[mcp]' in a checkout.

make demo                                                    # once: makes demo.dpr
python examples/llama_index_mcp_agent.py "how do I compress bytes with gzip?"
python examples/llama_index_mcp_agent.py "…" --llm openai:gpt-5-mini    # needs llama-index-llms-openai and a key
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, TextBlock, ToolCallBlock
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.core.tools import FunctionTool
from llama_index_rag import language_model
from mcp import Client, StdioServerParameters


def look_up(client: Client) -> FunctionTool:
    """The server's search as a tool of LlamaIndex's."""

    async def search_passages(question: str, k: int = 3) -> str:
        """Passages that answer a question, best first."""
        result = await client.call_tool("search_passages", {"question": question, "k": k})
        return "\n".join(part.text for part in result.content)

    return FunctionTool.from_defaults(async_fn=search_passages)


def scripted(messages: Sequence[ChatMessage], **_: object) -> ChatMessage:
    """A stand-in for a model: calls the tool with what the user said, then repeats the tool's answer."""
    last = messages[-1]
    if last.role == "tool":
        return ChatMessage(role="assistant", blocks=[TextBlock(text=f"(No model was named.) {last.content}")])
    call = ToolCallBlock(tool_call_id="1", tool_name="search_passages", tool_kwargs={"question": last.content})
    return ChatMessage(role="assistant", blocks=[call])


async def answer(question: str, store: str, llm: str | None) -> str:
    """Start the server, ask, and end it; where it runs already, give `Client` its address: http://127.0.0.1:8080/mcp."""
    server = StdioServerParameters(command=sys.executable, args=["-m", "dpr_rag", "mcp", store])
    model = MockFunctionCallingLLM(response_generator=scripted) if llm is None else language_model(llm)
    async with Client(server) as client:
        return str(await FunctionAgent(tools=[look_up(client)], llm=model).run(question))


def main(arguments: Sequence[str] | None = None) -> None:
    """Ask one question."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question")
    parser.add_argument("--store", default="demo.dpr")
    parser.add_argument("--llm", help="provider:model")
    args = parser.parse_args(arguments)
    print(asyncio.run(answer(args.question, args.store, args.llm)))


if __name__ == "__main__":
    main()
