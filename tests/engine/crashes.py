"""Processes made to be killed, and what holds of a store whatever happened to them."""

import json
import multiprocessing
import os
import re
import sys
import time
from collections.abc import Iterable
from functools import cache
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import crashing_child
from crashing_child import expected, respond
from stored_rows import pending, raw_rows

import nbchat
from nbchat.exchange import Request
from nbchat.messages import text_of
from nbchat.store.doctor import INFORMATION
from nbchat.testing import Answer, Received, said

SERVER = multiprocessing.get_context("forkserver")
PRELOADED = ["nbchat.chat", "nbchat.engine.running", "nbchat.store.purge", "pandas"]
# what is beside a store that nobody holds
BESIDE = re.compile(r"|\.lock|\.wait|\.wal|\.spool|\.v\d+(\.\d+)?\.bak")


class Child:
    """A process that does what crashing_child.py says of these arguments.

    It is forked from a server that has imported everything, so that a thousand are cheap.
    """

    def __init__(self, *arguments: Any) -> None:
        heard_here, said_there = SERVER.Pipe(duplex=False)
        ensure_running()
        self._process = SERVER.Process(target=act, args=(said_there, *map(str, arguments)))
        self._process.start()
        said_there.close()
        self.out = os.fdopen(os.dup(heard_here.fileno()), "rb")

    def kill(self) -> None:
        self._process.kill()

    def end(self, timeout_s: float = 60) -> bytes:
        """What it says until it ends."""
        with self.out:
            rest = self.out.read()
        self._process.join(timeout_s)
        return rest

    @property
    def exit_code(self) -> int | None:
        return self._process.exitcode


def act(said: Connection, *arguments: str) -> None:
    """In the child: its standard output is what the parent hears."""
    os.dup2(said.fileno(), 1)
    crashing_child.main(*arguments)


@cache
def ensure_running() -> None:
    """Start the server, with the modules that are imported here."""
    SERVER.set_forkserver_preload([*PRELOADED, __name__])
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(item for item in sys.path if item)
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def killed_after(child: Child, delay_s: float) -> list[Any]:
    """What the child had said when it was killed, so long after it was ready."""
    ready = child.out.readline()
    time.sleep(delay_s)  # the moment of the kill is what such a test varies
    child.kill()
    return heard(ready + child.end())


def heard(out: bytes) -> list[Any]:
    """What was said; a line that was not written whole was not."""
    return [json.loads(line) for line in out.splitlines(keepends=True) if line[-1:] == b"\n"]


def assert_whole(store: nbchat.Store, chat_id: str) -> None:
    """What holds for every chat, whatever happened to its processes."""
    assert pending(store) == []
    messages = raw_rows(store, chat_id, "messages")
    assert [row["seq"] for row in messages] == sorted({row["seq"] for row in messages})
    turns: dict[int, list[str]] = {}
    for row in messages:
        turns.setdefault(row["turn"], []).append(row["role"])
        assert row["owner"] is None
        assert row["finished_at"] is not None
    assert all(roles in (["user"], ["user", "assistant"]) for roles in turns.values())
    loaded = nbchat.load_chat(chat_id, store=store, respond=respond)
    assert loaded is not None
    branch = loaded.messages()
    assert [message.id for message in branch] == [str(row["id"]) for row in messages]
    for message in branch:
        assert message.content == text_of(message.parts)
        assert message.status in ("complete", "failed", "interrupted")
    assert_audited(store, chat_id, branch)


def assert_audited(store: nbchat.Store, chat_id: str, branch: list[nbchat.Message]) -> None:
    """Tool calls and requests belong to turns that are there, in the order of the messages."""
    calls = raw_rows(store, chat_id, "tool_calls")
    requests = raw_rows(store, chat_id, "requests")
    turns = {message.turn for message in branch}
    answers = {message.turn: message.id for message in branch if message.role == "assistant"}
    for row in (*calls, *requests):
        assert row["turn"] in turns
        assert answers.get(row["turn"], str(row["message_id"])) == str(row["message_id"])
    assert {row["status"] for row in calls} <= {"ok", "stopped"}
    for message in branch:
        rows = [row for row in calls if str(row["message_id"]) == message.id]
        if message.content_removed_at is None:
            assert [row["tool_call_id"] for row in rows] == [
                call.tool_call_id for call in message.tool_calls
            ]


def assert_acknowledged(store: nbchat.Store, chat_id: str, said_turns: Iterable[Any]) -> None:
    """Every turn that the child saw end is stored as it ended."""
    messages = {str(row["id"]): row for row in raw_rows(store, chat_id, "messages")}
    for table, place in (("requests", 2), ("tool_calls", 3)):
        counts: dict[int, int] = {}
        for row in raw_rows(store, chat_id, table):
            counts[row["turn"]] = counts.get(row["turn"], 0) + 1
        for turn in said_turns:
            assert counts.get(turn["turn"], 0) == expected(turn["kind"])[place]
    for turn in said_turns:
        row = messages[turn["id"]]
        if row["content_removed_at"] is None:
            assert (row["status"], row["content"]) == expected(turn["kind"])[:2]


def assert_healthy(store: nbchat.Store) -> None:
    """The store's own doctor finds nothing wrong, and removes what a kill left beside the file."""
    found = store.doctor()
    wrong = found[~found["check"].isin(INFORMATION) & found["rows"].ne(0).fillna(True)]
    assert wrong[["check", "rows", "ids"]].to_dict("records") == []
    place = Path(store.path)
    for left in place.parent.glob(f"{place.name}.*"):
        os.utime(left, (0, 0))  # as long after the kill as it takes to be nobody's
    store.doctor(repair=True)
    beside = [left.name.removeprefix(place.name) for left in place.parent.glob(f"{place.name}*")]
    assert [left for left in beside if not BESIDE.fullmatch(left)] == []


def replay(received: Received) -> Any:
    """As the child's own respond function, in the words of the wire."""
    sent = received.json["messages"]
    kind = next(m["content"] for m in reversed(sent) if m["role"] == "user")
    given = respond(
        Request("openai", "x", tuple(as_message(m, kind) for m in sent[-1:]))
        if sent[-1]["role"] == "user"
        else Request("openai", "x", (as_message({"role": "user"}, kind), as_message(sent[-1], "")))
    )
    items = list(given)
    if isinstance(items[-1], Exception):
        return Answer(400, {}, b'{"error": {"message": "no"}}')
    return said(*items)


def as_message(sent: Any, content: str) -> nbchat.Message:
    """A message that says this, by whoever said what was sent."""
    role = "user" if sent["role"] == "user" else "assistant"
    return nbchat.Message("", "", role, content)
