"""Writes a store with a row of every kind, to be kept as the golden file of a release.

    python tests/store/golden/make.py OUT.duckdb && gzip -9 OUT.duckdb

Run it with the nbchat of that release, once; the file then stays as it is.
"""

import contextlib
import sys

import nbchat
from nbchat.exchange import Usage
from nbchat.messages import Thinking, ToolCall
from nbchat.testing import scripted

CUSTOM = {
    "chat": "Assistant Chat",
    "message": "assistant_message",
    "tool_call": 'tool "call"',
    "request": "select",
    "agent_session": "assistant_agent",
}


def double(number: int) -> int:
    """Double a number."""
    return 2 * number


def fill(store: nbchat.Store) -> None:
    """A chat with every outcome of a turn, and a session of an agent."""
    script = [
        ["Umbrellas: 雨傘 ☂", Usage(100, 20, 30, 10, 5)],
        [Thinking("hm", "signed"), "Let me see. ", ToolCall("double", {"number": 21}, "c1")],
        ["It is 42.", Usage(7, 3)],
        nbchat.BadRequest("no", status=400),
        [ToolCall("nope"), ToolCall("double", {"number": "x"}, "c2")],
        iter(["one ", "two ", "three"]),
    ]
    chat = nbchat.create_chat(
        "function/golden", store=store, name="golden", instructions="Be brief.", tools=[double],
        metadata={"user_id": 7, "tags": ["a", "b"]}, temperature=0.5, respond=scripted(script),
    )  # fmt: skip
    chat.ask("What did we sell?")
    chat.ask("Double 21.")
    with contextlib.suppress(nbchat.BadRequest):
        chat.ask("This fails.")
    for event in chat.ask_stream("Count."):
        if event.content == "two ":
            break
    store.sql(
        f'insert into "{store.names.of("agent_sessions")}" '
        f"select uuidv7(), 'Golden', id, '{{\"user_id\": 7}}', created_at, updated_at "
        f'from "{store.names.of("chats")}"',
        write=True,
    )


def main(path: str) -> None:
    """Fill default and custom tables of one file, and add a column of the user's own."""
    plain = nbchat.open_store(path)
    plain.sql("alter table chats add column customer varchar", write=True)
    fill(plain)
    plain.sql("update chats set customer = 'ada'", write=True)
    fill(nbchat.open_store(path, table_names=CUSTOM))


if __name__ == "__main__":
    main(sys.argv[1])
