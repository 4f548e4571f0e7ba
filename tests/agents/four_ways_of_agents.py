"""The four ways to ask an agent's session, each run to its end."""

import asyncio
from typing import Any

from nbchat import AgentSession, Message


def ask(session: AgentSession, text: str, **options: Any) -> Message:
    return session.ask(text, **options)


def ask_stream(session: AgentSession, text: str, **options: Any) -> Message:
    return list(session.ask_stream(text, **options))[-1].message


def aask(session: AgentSession, text: str, **options: Any) -> Message:
    async def run() -> Message:
        return await session.aask(text, **options)

    return asyncio.run(run())


def aask_stream(session: AgentSession, text: str, **options: Any) -> Message:
    async def run() -> Message:
        return [event async for event in session.aask_stream(text, **options)][-1].message

    return asyncio.run(run())


WAYS = {"ask": ask, "ask_stream": ask_stream, "aask": aask, "aask_stream": aask_stream}
