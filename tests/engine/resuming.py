"""Chats whose turns are broken off, and their rows in short."""

from collections.abc import Iterator
from typing import Any

from stored_rows import raw_rows

import nbchat
from nbchat.testing import Gate, scripted


def function_chat(store: nbchat.Store, replies: Any, **more: Any) -> nbchat.Chat:
    function = replies if callable(replies) else scripted(replies)
    return nbchat.create_chat("function/x", respond=function, store=store, **more)


def goes_on(chat: nbchat.Chat, replies: list[Any]) -> nbchat.Chat:
    """The chat with another script."""
    chat._own.respond = scripted(replies)
    return chat


def held(gate: Gate) -> None:
    gate.reached.set_result(None)
    gate.opened.result(30)


def half(gate: Gate) -> Iterator[Any]:
    """Says half of the first round and holds."""
    yield "half "
    held(gate)


def told(chat: nbchat.Chat) -> list[Any]:
    return [(m.role, m.status, m.content) for m in chat.messages()]


def requests(chat: nbchat.Chat, *names: str) -> list[Any]:
    rows = raw_rows(chat.store, chat.id, "requests")
    return [tuple(row[name] for name in names) for row in rows]


def calls(chat: nbchat.Chat, *names: str) -> list[Any]:
    rows = sorted(
        raw_rows(chat.store, chat.id, "tool_calls"),
        key=lambda row: (row["turn"], row["round"], row["seq"], row["attempt"]),
    )
    return [tuple(row[name] for name in names) for row in rows]


def assert_sums(chat: nbchat.Chat) -> None:
    """The message's tokens are those of its requests, and all rows are its own."""
    message = chat.messages()[-1]
    rows = raw_rows(chat.store, chat.id, "requests")
    assert {str(row["message_id"]) for row in rows} == {message.id}
    for name in ("input_tokens", "output_tokens"):
        known = [row[name] for row in rows if row[name] is not None]
        assert getattr(message, name) == (sum(known) if known else None)
