"""Killed with -9 at any moment: what was acknowledged is there, and the chat goes on."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from crashing_child import KINDS, WHENS, double, expected, open_chat, respond, run_turn
from stored_rows import pending, raw_rows

import nbchat
from nbchat.exchange import Request
from nbchat.messages import text_of
from nbchat.testing import Answer, Received, ReplayServer, said

CHILD = Path(__file__).with_name("crashing_child.py")
RANDOM_KILLS = 90
KILLS_PER_CHAT = 15


def child(*arguments: Any) -> "subprocess.Popen[bytes]":
    path = os.pathsep.join(item for item in sys.path if item)
    return subprocess.Popen(
        [sys.executable, str(CHILD), *map(str, arguments)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )


def killed_after(process: "subprocess.Popen[bytes]", delay_s: float) -> list[Any]:
    """What the child had said when it was killed, so long after it was ready."""
    assert process.stdout is not None
    ready = process.stdout.readline()
    time.sleep(delay_s)  # the moment of the kill is what this test varies
    process.kill()
    rest, _ = process.communicate()
    # a line that was not written whole was not said
    return [
        json.loads(line) for line in (ready + rest).splitlines(keepends=True) if line[-1:] == b"\n"
    ]


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
    calls = raw_rows(store, chat_id, "tool_calls")
    requests = raw_rows(store, chat_id, "requests")
    answers = {row["turn"]: row["id"] for row in messages if row["role"] == "assistant"}
    for row in (*calls, *requests):
        assert row["turn"] in turns
        assert answers.get(row["turn"], row["message_id"]) == row["message_id"]
    assert {row["status"] for row in calls} <= {"ok", "stopped"}
    for message in branch:
        rows = [row for row in calls if str(row["message_id"]) == message.id]
        assert [row["tool_call_id"] for row in rows] == [
            call.tool_call_id for call in message.tool_calls
        ]


def assert_acknowledged(store: nbchat.Store, chat_id: str, said_turns: list[Any]) -> None:
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
        assert (row["status"], row["content"]) == expected(turn["kind"])[:2]


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
    role = "user" if sent["role"] == "user" else "assistant"
    return nbchat.Message("", "", role, content)


def test_killed_at_any_moment_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    seed = random.randrange(10**9)
    print(f"seed {seed}")  # shown when the test fails
    dice = random.Random(seed)
    path = tmp_path / "chats.duckdb"
    store = nbchat.open_store(path)
    acknowledged: dict[str, list[Any]] = {}
    with ReplayServer(*[replay] * 100_000) as server:
        for number in range(RANDOM_KILLS):
            group = number // KILLS_PER_CHAT
            url = server.url if group % 2 else ""
            name = f"chat {group}"
            process = child("turns", path, name, url)
            ready, *turns = killed_after(process, dice.uniform(0, 0.15))
            chat_id = ready["ready"]
            acknowledged.setdefault(chat_id, []).extend(turns)
            assert_acknowledged(store, chat_id, acknowledged[chat_id])
            assert_whole(store, chat_id)
            if number % 3 == 0:
                chat = open_chat(str(path), name, url)
                assert chat.ask("plain").content == expected("plain")[1]
    assert any(acknowledged.values())


# the transactions of one turn: begin; round 1 and its two calls; each call's end; the end
@pytest.mark.parametrize("kind", ["stream tools", "failure"])
@pytest.mark.parametrize("number", range(1, 6))
@pytest.mark.parametrize("when", WHENS)
def test_killed_at_each_step_leaves_what_was_committed(
    tmp_path: Path, number: int, when: str, kind: str
) -> None:
    store = nbchat.open_store(tmp_path / "chats.duckdb")
    process = child("step", store.path, "chat", number, when, kind)
    out, _ = process.communicate(timeout=60)
    assert out == b'"start"\n'
    committed = number if when == "after" else number - 1
    chat = nbchat.load_chat("chat", store=store, respond=respond, tools=[double])
    assert chat is not None
    messages = chat.messages()
    assert_whole(store, chat.id)
    told = [(message.role, message.status) for message in messages]
    calls = [row["status"] for row in raw_rows(store, chat.id, "tool_calls")]
    if committed == 0:
        assert (told, calls) == ([], [])
    elif committed == 1:
        assert (told, calls) == ([("user", "complete")], [])
    elif committed < 5:
        assert told == [("user", "complete"), ("assistant", "interrupted")]
        assert messages[1].content == "let me see "
        assert sorted(calls) == sorted(["ok"] * (committed - 2) + ["stopped"] * (4 - committed))
        assert messages[1].error == {
            "type": "Interrupted", "message": "the process that asked ended",
        }  # fmt: skip
    elif kind == "failure":
        # the failed request has a transaction of its own, the turn's end comes after it
        assert told == [("user", "complete"), ("assistant", "interrupted")]
    else:
        assert told == [("user", "complete"), ("assistant", "complete")]
        assert calls == ["ok", "ok"]
    run_turn(chat, KINDS[2])
    assert (chat.messages()[-1].status, chat.messages()[-1].content) == expected(KINDS[2])[:2]
    assert_whole(store, chat.id)
