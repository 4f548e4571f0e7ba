"""Turns at the same time: in one chat they wait for each other, elsewhere they do not."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from four_ways import WAYS
from stored_rows import pending, raw_rows

import nbchat
from nbchat.messages import ToolCall
from nbchat.testing import Gate, ReplayServer, scripted

ECHO = """
import sys
import nbchat
def respond(request):
    question = request.messages[-1].content
    if question == "hold":
        print("held", flush=True)
        sys.stdin.readline()
    return f"{question}!"
path, chat_id, *questions = sys.argv[1:]
chat = nbchat.load_chat(chat_id, store=path, respond=respond)
print("ready", flush=True)
for question in questions:
    assert chat.ask(question).content == f"{question}!"
"""
FORK = """
import os, sys
import nbchat
chat = nbchat.create_chat("function/x", respond=lambda request: "fine", store=sys.argv[1])
assert chat.ask("parent").content == "fine"
child = os.fork()
if child == 0:
    ok = chat.ask("child").content == "fine"
    os._exit(0 if ok else 1)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 0
assert chat.ask("parent again").content == "fine"
print([message.content for message in chat.messages()][::2])
"""


@pytest.fixture
def store(tmp_path: Path) -> nbchat.Store:
    return nbchat.open_store(tmp_path / "chats.duckdb")


def echo(request: Any) -> str:
    return f"{request.messages[-1].content}!"


def process(code: str, *arguments: str) -> "subprocess.Popen[str]":
    path = os.pathsep.join(filter(None, sys.path))
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], text=True, stdout=subprocess.PIPE,
        stdin=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip


def assert_turns(chat: nbchat.Chat, questions: set[str]) -> None:
    """Every question has its own answer right after it, in turns counted without a gap."""
    messages = chat.messages()
    pairs = list(zip(messages[::2], messages[1::2], strict=True))
    assert {user.content for user, _ in pairs} == questions
    for number, (user, answer) in enumerate(pairs, start=1):
        assert answer.content == f"{user.content}!"
        assert (user.turn, answer.turn, answer.parent_id) == (number, number, user.id)
    assert [message.seq for message in messages] == list(range(1, len(messages) + 1))
    assert pending(chat.store) == []


@pytest.mark.parametrize("way", WAYS)
def test_a_second_ask_waits_and_sees_the_first_ones_answer(store: nbchat.Store, way: str) -> None:
    gate, requests = Gate(), []

    def respond(request: Any) -> str:
        requests.append([message.content for message in request.messages])
        if len(requests) == 1:
            gate.reached.set_result(None)
            gate.opened.result(30)
        return echo(request)

    chat = nbchat.create_chat("function/x", respond=respond, store=store)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(chat.ask, "one")
        gate.wait_reached()
        ended = WAYS[way](chat, "not now", wait=False)
        assert isinstance(ended.error, nbchat.ChatBusy)
        second = pool.submit(WAYS[way], chat, "two")
        gate.open()
        assert first.result(30).content == "one!"
        assert second.result(30).message == chat.messages()[-1]
    assert requests == [["one"], ["one", "one!", "two"]]
    assert_turns(chat, {"one", "two"})


def test_a_waiting_ask_that_is_stopped_or_cancelled_stores_nothing(store: nbchat.Store) -> None:
    gate = Gate()

    def respond(request: Any) -> str:
        gate.reached.set_result(None)
        gate.opened.result(30)
        return "fine"

    chat = nbchat.create_chat("function/x", respond=respond, store=store)
    other = nbchat.load_chat(chat.id, store=store, respond=respond)
    assert other is not None

    async def cancelled() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(other.aask("never asked"), 0.05)

    with ThreadPoolExecutor() as pool:
        first = pool.submit(chat.ask, "hello")
        gate.wait_reached()
        asyncio.run(cancelled())
        waiting = other.ask_stream("never asked either")
        other.stop()
        assert list(waiting) == []
        gate.open()
        assert first.result(30).content == "fine"
    assert [message.content for message in chat.messages()] == ["hello", "fine"]


def test_eight_threads_with_chats_of_their_own_share_a_store(store: nbchat.Store) -> None:
    together = threading.Barrier(8, timeout=60)

    def respond(request: Any) -> Any:
        if len(request.messages) == 1:
            together.wait()  # nobody is answered before all eight have asked
        return iter(["", *echo(request)])

    def talk(number: int) -> nbchat.Chat:
        chat = nbchat.create_chat("function/x", respond=respond, store=store)
        for turn, way in enumerate([*WAYS.values()] * 2):
            assert way(chat, f"{number}.{turn}").error is None
        return chat

    with ThreadPoolExecutor(8) as pool:
        chats = list(pool.map(talk, range(8)))
    for number, chat in enumerate(chats):
        assert_turns(chat, {f"{number}.{turn}" for turn in range(8)})
        rows = raw_rows(store, chat.id, "requests")
        assert [row["turn"] for row in rows] == list(range(1, 9))


def test_eight_threads_on_one_chat_take_turns(store: nbchat.Store) -> None:
    chat = nbchat.create_chat("function/x", respond=echo, store=store)
    ways = [*WAYS.values()] * 2
    with ThreadPoolExecutor(8) as pool:
        ended = list(pool.map(lambda n: ways[n](chat, str(n)), range(8)))
    assert [item.message and item.message.content for item in ended] == [f"{n}!" for n in range(8)]
    assert_turns(chat, {str(n) for n in range(8)})


def test_many_async_asks_at_once_each_get_their_own_answer(store: nbchat.Store) -> None:
    async def main() -> list[str]:
        chats = [nbchat.create_chat("openai/x", base_url=server.url, store=store) for _ in "12345"]
        asked = [chat.aask(f"{n}.{turn}") for turn in "ab" for n, chat in enumerate(chats)]
        return [message.content for message in await asyncio.gather(*asked)]

    def answer(received: Any) -> str:
        return f"{received.json['messages'][-1]['content']}!"

    with ReplayServer(*[answer] * 10) as server:
        assert asyncio.run(main()) == [f"{n}.{turn}!" for turn in "ab" for n in range(5)]


def test_sync_calls_work_inside_a_running_loop(store: nbchat.Store) -> None:
    chat = nbchat.create_chat("function/x", respond=echo, store=store)

    async def cell() -> list[Any]:
        answers = [chat.ask("one").content]
        answers.append("".join(event.content or "" for event in chat.ask_stream("two")))
        answers.append((await chat.aask("three")).content)
        return answers

    assert asyncio.run(cell()) == ["one!", "two!", "three!"]


def test_a_tool_cannot_ask_its_own_chat(store: nbchat.Store) -> None:
    chats: list[nbchat.Chat] = []

    def ask() -> str:
        """Ask the same chat."""
        return str(chats[0].ask("inside"))

    def ask_stream() -> str:
        """Ask the same chat."""
        return "".join(event.content or "" for event in chats[0].ask_stream("inside"))

    async def aask() -> str:
        """Ask the same chat."""
        return str(await chats[0].aask("inside"))

    async def aask_stream() -> str:
        """Ask the same chat."""
        return "".join([event.content or "" async for event in chats[0].aask_stream("inside")])

    def through_another() -> str:
        """Ask a chat whose tool asks this one."""
        second = nbchat.create_chat(
            "function/x", respond=scripted([[ToolCall("ask", {})], "done"]), store=store,
            tools=[ask],
        )  # fmt: skip
        second.ask("inside")
        return str(second.messages()[-1].parts[1].content)  # type: ignore[union-attr]

    tools = [ask, ask_stream, aask, aask_stream, through_another]
    calls = [ToolCall(tool.__name__, {}, tool.__name__) for tool in tools]
    chat = nbchat.create_chat(
        "function/x", respond=scripted([calls, "done"]), store=store, tools=tools
    )
    chats.append(chat)
    assert chat.ask("hello").content == "done"
    rows = raw_rows(store, chat.id, "tool_calls")
    for row in rows:
        assert "cannot ask the same chat" in str(row["error"] or row["result"])
    assert [row["status"] for row in rows] == ["error"] * 4 + ["ok"]
    assert len(chat.messages()) == 2


def test_a_tool_can_ask_another_chat(store: nbchat.Store) -> None:
    other = nbchat.create_chat("function/x", respond=echo, store=store)

    def ask(question: str) -> str:
        """Ask another chat."""
        return str(other.ask(question))

    async def aask(question: str) -> str:
        """Ask another chat."""
        return str(await other.aask(question))

    async def wrongly() -> str:
        """Block the loop that all turns run on."""
        return str(other.ask("never"))

    calls = [ToolCall("ask", {"question": "a"}), ToolCall("aask", {"question": "b"}),
             ToolCall("wrongly", {})]  # fmt: skip
    chat = nbchat.create_chat(
        "function/x", respond=scripted([calls, "done"]), store=store, tools=[ask, aask, wrongly]
    )
    chat.ask("hello")
    first, second, third = raw_rows(store, chat.id, "tool_calls")
    assert (first["result"], second["result"]) == ("a!", "b!")
    assert third["status"] == "error"
    assert "await chat.aask" in third["error"]


def test_two_processes_on_one_chat_take_turns(store: nbchat.Store) -> None:
    chat = nbchat.create_chat("function/x", respond=echo, store=store)
    theirs = [f"their {n}" for n in range(10)]
    ours = [f"our {n}" for n in range(10)]
    child = process(ECHO, store.path, chat.id, *theirs)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    for question in ours:
        assert chat.ask(question).content == f"{question}!"
    assert child.wait(60) == 0
    child.communicate()
    assert_turns(chat, {*theirs, *ours})


def test_a_turn_in_another_process_is_waited_for(store: nbchat.Store) -> None:
    chat = nbchat.create_chat("function/x", respond=echo, store=store)
    child = process(ECHO, store.path, chat.id, "hold")
    assert child.stdout is not None
    assert [child.stdout.readline() for _ in range(2)] == ["ready\n", "held\n"]
    for way in WAYS.values():
        ended = way(chat, "not now", wait=False)
        assert isinstance(ended.error, nbchat.ChatBusy)
    assert [message.status for message in chat.messages()] == ["complete", "pending"]
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(chat.ask, "later")
        child.communicate("go\n", timeout=60)
        assert waiting.result(60).content == "later!"
    assert child.returncode == 0
    assert_turns(chat, {"hold", "later"})


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_a_forked_child_can_ask(store: nbchat.Store) -> None:
    child = process(FORK, store.path)
    out, _ = child.communicate(timeout=60)
    assert child.returncode == 0
    assert out == "['parent', 'child', 'parent again']\n"


def test_a_process_that_exits_while_streaming_keeps_what_arrived(store: nbchat.Store) -> None:
    """Leaving Python is not a crash: the turn is stopped, not interrupted."""
    code = """
import sys, threading
import nbchat
never = threading.Event()
def respond(request):
    yield "half an "
    never.wait()
chat = nbchat.create_chat("function/x", respond=respond, store=sys.argv[1])
stream = chat.ask_stream("hello")
next(stream)
"""
    child = process(code, store.path)
    child.communicate(timeout=60)
    assert child.returncode == 0
    rows = store.sql("select status, content from messages order by seq").to_dict("records")
    assert json.loads(json.dumps(rows)) == [
        {"status": "complete", "content": "hello"},
        {"status": "stopped", "content": "half an "},
    ]


def numbers() -> Iterator[str]:
    yield from map(str, range(2000))


def test_a_slow_reader_loses_nothing(store: nbchat.Store) -> None:
    chat = nbchat.create_chat("function/x", respond=lambda request: numbers(), store=store)
    stream = chat.ask_stream("hello")
    first = next(stream)
    assert stream.running.outcome.result(60).status == "complete"
    text = (first.content or "") + "".join(event.content or "" for event in stream)
    assert text == "".join(numbers()) == chat.messages()[-1].content
