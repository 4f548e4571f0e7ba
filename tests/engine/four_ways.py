"""The four ways to ask, each run to its end: what came, and what was raised."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nbchat import Chat, Message
from nbchat.events import Event


@dataclass
class Ended:
    """How one ask ended."""

    message: Message | None = None
    error: BaseException | None = None
    events: list[Event] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(event.content or "" for event in self.events)


def ask(chat: Chat, text: str, **options: Any) -> Ended:
    try:
        return Ended(message=chat.ask(text, **options))
    except Exception as error:
        return Ended(error=error)


def ask_stream(chat: Chat, text: str, **options: Any) -> Ended:
    ended = Ended()
    try:
        for event in chat.ask_stream(text, **options):
            ended.events.append(event)
        ended.message = ended.events[-1].message
    except Exception as error:
        ended.error = error
    return ended


def aask(chat: Chat, text: str, **options: Any) -> Ended:
    async def run() -> Message:
        return await chat.aask(text, **options)

    try:
        return Ended(message=asyncio.run(run()))
    except Exception as error:
        return Ended(error=error)


def aask_stream(chat: Chat, text: str, **options: Any) -> Ended:
    ended = Ended()

    async def run() -> None:
        async for event in chat.aask_stream(text, **options):
            ended.events.append(event)
        ended.message = ended.events[-1].message

    try:
        asyncio.run(run())
    except Exception as error:
        ended.error = error
    return ended


WAYS: dict[str, Callable[..., Ended]] = {
    "ask": ask,
    "ask_stream": ask_stream,
    "aask": aask,
    "aask_stream": aask_stream,
}
STREAMED = ("ask_stream", "aask_stream")
