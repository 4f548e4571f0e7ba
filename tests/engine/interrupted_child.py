"""A process that gets a real SIGINT in the middle of a turn, and says what that came to.

python interrupted_child.py STORE WAY STAGE
"""

import asyncio
import json
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

import nbchat
from nbchat.messages import ToolCall

never = threading.Event()


def say(what: Any) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


def wait_here() -> None:
    say("interrupt me")
    never.wait()


def slow() -> str:
    """Wait."""
    wait_here()
    return "never"


def half() -> Iterator[str]:
    yield "half an "
    wait_here()
    yield "answer"


def respond(request: Any) -> Any:
    question = request.messages[-1].content
    if question == "waiting":
        wait_here()
    if question == "streaming":
        return half()
    if question == "tool":
        return ["so ", ToolCall("slow", {}, "c1")]
    return "fine"


def stream(chat: nbchat.Chat, text: str) -> None:
    for _ in chat.ask_stream(text):
        pass


async def aask(chat: nbchat.Chat, text: str) -> None:
    await chat.aask(text)


async def aask_stream(chat: nbchat.Chat, text: str) -> None:
    async for _ in chat.aask_stream(text):
        pass


def run(chat: nbchat.Chat, way: str, text: str) -> None:
    if way == "ask":
        chat.ask(text)
    elif way == "ask_stream":
        stream(chat, text)
    else:
        asyncio.run({"aask": aask, "aask_stream": aask_stream}[way](chat, text))


if __name__ == "__main__":
    path, way, stage = sys.argv[1:]
    chat = nbchat.create_chat("function/x", respond=respond, store=path, tools=[slow])
    try:
        run(chat, way, stage)
    except KeyboardInterrupt:
        say([[message.role, message.status, message.content] for message in chat.messages()])
        run(chat, way, "again")
        say(chat.messages()[-1].content)
