"""An agent of LangChain's with the tools of `dpr-rag mcp`, reached by the official client.

Needs pip install -c constraints.txt '.[mcp]' in a checkout.

make demo                                                  # once: makes demo.dpr
python examples/langchain_mcp_agent.py "how do I compress bytes with gzip?"
python examples/langchain_mcp_agent.py "…" --llm openai:gpt-5-mini    # needs langchain-openai and a key
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from typing import Any

from langchain.agents import create_agent
from langchain_core.tools import StructuredTool
from mcp import Client, StdioServerParameters
from offline import ToolCaller, chat_model


def as_tool(client: Client, tool: Any) -> StructuredTool:
    """A tool of the server as one of LangChain's; the model reads the server's own description and schema."""

    async def call(**arguments: Any) -> str:
        result = await client.call_tool(tool.name, arguments)
        return "\n".join(part.text for part in result.content)

    return StructuredTool(name=tool.name, description=tool.description, args_schema=tool.input_schema, coroutine=call)


async def answer(question: str, store: str, llm: str | None) -> str:
    """Start the server, ask, and end it; where it runs already, give `Client` its address: http://127.0.0.1:8080/mcp."""
    server = StdioServerParameters(command=sys.executable, args=["-m", "dpr_rag", "mcp", store])
    async with Client(server) as client:
        tools = [as_tool(client, tool) for tool in (await client.list_tools()).tools]
        agent = create_agent(ToolCaller() if llm is None else chat_model(llm), tools)
        state = await agent.ainvoke({"messages": [("user", question)]})
    return str(state["messages"][-1].text)


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
