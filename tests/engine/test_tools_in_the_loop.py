"""What a tool returned, said or did is a row, the model's next request and an event, all alike."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pandas as pd
import pytest
from four_ways import STREAMED, WAYS
from pydantic import BaseModel
from stored_rows import pending, raw_rows

import nbchat
from nbchat.messages import ToolCall
from nbchat.testing import ReplayServer, said, scripted
from nbchat.tools import ToolContext

PROVIDERS = ("openai", "anthropic")
WAIT_S = 20


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=PROVIDERS)
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> nbchat.Store:
    return nbchat.open_store(tmp_path_factory.mktemp("store") / "chats.duckdb")


def chat_of(store: nbchat.Store, *replies: Any, **options: Any) -> nbchat.Chat:
    return nbchat.create_chat("function/x", respond=scripted(replies), store=store, **options)


def call(name: str, id_: str = "c1", **arguments: Any) -> ToolCall:
    return ToolCall(name, arguments, id_)


def results(message: nbchat.Message | None) -> list[str]:
    assert message is not None
    return [part.content for part in message.parts if part.kind == "tool_result"]


def columns(chat: nbchat.Chat, *names: str) -> list[Any]:
    rows = raw_rows(chat.store, chat.id, "tool_calls")
    return [tuple(row[name] for name in names) for row in rows]


def sent_results(server: ReplayServer, number: int = -1) -> list[str]:
    """What the request tells of tool results, in the words of its wire."""
    found = []
    for message in server.requests[number].json["messages"]:
        if message["role"] == "tool":
            found.append(message["content"])
        elif isinstance(message["content"], list):
            blocks = [block for block in message["content"] if block["type"] == "tool_result"]
            found += [block.get("content", "") for block in blocks]
    return found


# Results ------------------------------------------------------------------------------------


class Order(BaseModel):
    """An order."""

    number: int
    open: bool = True


FRAME = pd.DataFrame({"n": range(5000), "name": ["né🙂"] * 5000})
VALUES = {
    "text": "né 世界 🙂",
    "empty": "",
    "none": None,
    "number": 1.5,
    "json": {"a": [1, None, "é"], "b": {"c": True}},
    "model": Order(number=7),
    "bytes": b"\x00\xff",
    "control": "a\x00b\x1b[0m\u2028",
    "half a character": "a\ud800b",
    "long": "word " * 20_000,
    "long and wide": "🙂e\u0301" * 9_000,
    "frame": FRAME,
    "frames": {"one": FRAME, "two": [FRAME.head(2)]},
}


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("limit", [None, 500])
def test_what_the_model_sees_is_what_is_stored_and_what_the_event_says(
    kind: str, limit: int | None, provider: str, store: nbchat.Store
) -> None:
    def give() -> Any:
        """Give it."""
        return VALUES[kind]

    with ReplayServer(said(call("give")), "done", "fine") as server:
        chat = nbchat.create_chat(
            f"{provider}/x", base_url=server.url, store=store, tools=[give],
            max_result_chars=limit,
        )  # fmt: skip
        ended = WAYS["ask_stream"](chat, "hello")
        assert ended.error is None
        loaded = nbchat.load_chat(chat.id, store=store, tools=[give])
        assert loaded is not None
        loaded.ask("go on")
        live, reloaded = sent_results(server, 1), sent_results(server, 2)
    [end] = [event for event in ended.events if event.kind == "tool_end"]
    [row] = raw_rows(store, chat.id, "tool_calls")
    assert live == reloaded == [end.result]
    assert (row["status"], row["result"], results(ended.message)) == ("ok", end.result, live)
    assert row["sent_chars"] == len(end.result) <= (limit or nbchat.tools.MAX_CHARS)
    assert end.value is VALUES[kind]


@pytest.mark.parametrize(
    ("of_tool", "of_chat", "sent"), [(None, None, 30_000), (None, 700, 700), (200, 700, 200)]
)
def test_a_long_result_is_cut_and_both_lengths_are_known(
    of_tool: int | None, of_chat: int | None, sent: int, store: nbchat.Store
) -> None:
    tool = nbchat.tool(lambda: "x" * 50_000, name="give", description=".", max_chars=of_tool)
    chat = chat_of(store, [call("give")], "done", tools=[tool], max_result_chars=of_chat)
    [told] = results(chat.ask("hello"))
    [(full_chars, sent_chars, result)] = columns(chat, "full_chars", "sent_chars", "result")
    assert (full_chars, sent_chars, result) == (50_000, len(told), told)
    assert sent - 5 <= len(told) <= sent
    assert "of 50,000 characters left out" in told


def test_a_long_error_is_cut_as_well(store: nbchat.Store) -> None:
    def fail() -> None:
        """Fail."""
        raise ValueError("x" * 50_000)

    chat = chat_of(store, [call("fail")], "done", tools=[fail], max_result_chars=500)
    [told] = results(chat.ask("hello"))
    assert told.startswith("ValueError: xxx")
    assert len(told) <= 500
    assert columns(chat, "status", "error", "full_chars", "sent_chars") == [
        ("error", told, None, None)
    ]


def test_a_key_that_a_tool_gives_back_goes_nowhere(provider: str, store: nbchat.Store) -> None:
    def give() -> str:
        """Give it."""
        return "the key is sk-this-is-the-key"

    with ReplayServer(said(call("give")), "done") as server:
        chat = nbchat.create_chat(
            f"{provider}/x", base_url=server.url, store=store, tools=[give],
            api_key="sk-this-is-the-key",
        )  # fmt: skip
        ended = WAYS["ask_stream"](chat, "hello")
        told = sent_results(server)
    assert told == results(ended.message)
    assert "sk-this-is-the-key" not in str([told, *raw_rows(store, chat.id, "tool_calls")])


# Tools of every kind ------------------------------------------------------------------------


class Add(nbchat.Tool):
    """Add two numbers."""

    def execute(self, a: int, b: int) -> int:
        return a + b


class Adder:
    """Add two numbers."""

    def execute(self, a: int, b: int) -> int:
        return a + b


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def aadd(a: int, b: int) -> int:
    """Add two numbers."""
    await asyncio.sleep(0)
    return a + b


NUMBERS = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}
DICT = {"name": "add", "description": "Add.", "parameters": NUMBERS, "handler": add}
KINDS = {
    "function": add, "async function": aadd, "subclass": Add, "its object": Add(), "class": Adder,
    "object": Adder(), "dict": DICT, "async dict": {**DICT, "handler": aadd},
    "decorated": nbchat.tool(add), "lambda": nbchat.Tool(lambda a, b: a + b, name="add",
                                                         description="Add.", parameters=NUMBERS),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_tool_of_any_kind_runs_through_a_whole_turn(
    kind: str, provider: str, store: nbchat.Store
) -> None:
    name = nbchat.tools.as_tool(KINDS[kind]).name
    with ReplayServer(said(call(name, a=1, b=2), call(name, "c2", a="x", b=1)), "3") as server:
        chat = nbchat.create_chat(
            f"{provider}/x", base_url=server.url, store=store, tools=[KINDS[kind]]
        )
        assert chat.ask("hello").content == "3"
        told = sent_results(server)
    assert told[0] == "3"
    assert told[1].startswith("Invalid arguments: a")
    assert columns(chat, "name", "status", "result") == [
        (name, "ok", "3"), (name, "invalid", None),
    ]  # fmt: skip


def test_what_a_model_calls_wrongly_it_is_told_on_the_wire(
    provider: str, store: nbchat.Store
) -> None:
    calls = [call("ad", a=1, b=2), call("add", "c2", a=1), ToolCall("add", {"a": 1, "c": 2}, "c3")]
    with ReplayServer(said(*calls), "sorry") as server:
        chat = nbchat.create_chat(f"{provider}/x", base_url=server.url, store=store, tools=[add])
        chat.ask("hello")
        told = sent_results(server)
    assert told[0] == "No tool is named 'ad'. Did you mean 'add'? Tools: add."
    assert told[1].startswith("Invalid arguments: b")
    assert "c: not a parameter" in told[2]
    assert columns(chat, "status", "error", "duration_ms") == [
        ("unknown_tool", told[0], None), ("invalid", told[1], None), ("invalid", told[2], None),
    ]  # fmt: skip


# What a tool says on its way ----------------------------------------------------------------


def steps(context: ToolContext) -> Iterator[str]:
    """Go step by step."""
    context.progress("step 0")
    yield "step 1"
    yield "step 2"


def returning() -> Iterator[str]:
    """Go step by step."""
    yield "step 0"
    yield "step 1"
    return "step 2"


async def asteps(context: ToolContext) -> AsyncIterator[str]:
    """Go step by step."""
    context.progress("step 0")
    yield "step 1"
    yield "step 2"


@pytest.mark.parametrize("way", STREAMED)
@pytest.mark.parametrize("tool", [steps, returning, asteps])
def test_progress_is_shown_and_neither_stored_nor_told(
    way: str, tool: Any, store: nbchat.Store
) -> None:
    with ReplayServer(said(call(tool.__name__)), "done") as server:
        chat = nbchat.create_chat("openai/x", base_url=server.url, store=store, tools=[tool])
        ended = WAYS[way](chat, "hello")
        assert sent_results(server) == ["step 2"]
        assert b"step 1" not in server.requests[1].body
    shown = [event.progress for event in ended.events if event.kind == "tool_progress"]
    assert shown == ["step 0", "step 1"] + ["step 2"] * (tool is not returning)
    [row] = raw_rows(store, chat.id, "tool_calls")
    assert row["result"] == "step 2"
    assert {event.call_id for event in ended.events if event.kind == "tool_progress"} == {
        str(row["id"])
    }
    rows = [raw_rows(store, chat.id, table) for table in ("messages", "tool_calls", "requests")]
    assert "step 1" not in str(rows)


def test_a_generator_that_fails_is_an_error_and_not_its_last_step(store: nbchat.Store) -> None:
    def fail() -> Iterator[int]:
        """Fail on the way."""
        yield 1
        raise ValueError("no more")

    chat = chat_of(store, [call("fail")], "done", tools=[fail])
    assert results(chat.ask("hello")) == ["ValueError: no more"]
    assert columns(chat, "status", "result") == [("error", None)]


# The context --------------------------------------------------------------------------------


def test_a_tool_knows_the_call_it_is_in(way: str, store: nbchat.Store) -> None:
    seen: list[Any] = []

    def look(what: str, context: ToolContext) -> str:
        """Look."""
        seen.append(context)
        return "seen"

    chat = chat_of(store, [call("look", what="x"), call("look", "c2", what="x")], "done",
                   tools=[look], tool_concurrency=1)  # fmt: skip
    ended = WAYS[way](chat, "hello", inputs={"user": 7})
    assert ended.message is not None
    rows = raw_rows(store, chat.id, "tool_calls")
    assert [
        (at.chat, at.chat_id, at.message_id, at.call_id, at.tool_call_id, at.inputs, at.repeats)
        for at in seen
    ] == [
        (chat, chat.id, ended.message.id, str(row["id"]), id_, {"user": 7}, repeats)
        for row, id_, repeats in zip(rows, ["c1", "c2"], [0, 1], strict=True)
    ]
    assert "context" not in str(rows[0]["arguments"])


def test_a_tool_learns_that_its_turn_was_stopped(store: nbchat.Store) -> None:
    runs, learned = threading.Event(), threading.Event()

    def look(context: ToolContext) -> None:
        """Look."""
        runs.set()
        assert context.cancel.wait(WAIT_S)
        if context.cancelled:
            learned.set()

    chat = chat_of(store, [call("look")], "never", tools=[look])
    stopper = threading.Thread(target=lambda: (runs.wait(WAIT_S), chat.stop()))
    stopper.start()
    assert chat.ask("hello").status == "stopped"
    stopper.join()
    assert learned.wait(WAIT_S)
    assert columns(chat, "status") == [("stopped",)]
    assert pending(store, chat.id) == []


# The same call again ------------------------------------------------------------------------


def note(times: int) -> str:
    return f"\n\n(The same call gave the same result before. Calls of it in this turn: {times}.)"


def test_from_the_fourth_time_on_the_model_is_told_that_it_goes_round(
    way: str, store: nbchat.Store
) -> None:
    again = [[ToolCall("add", {"b": 2, "a": 1}, "c1")]]
    chat = chat_of(store, [call("add", a=1, b=2)], *again * 3, [call("add", a=2, b=1)], "3",
                   tools=[add])  # fmt: skip
    ended = WAYS[way](chat, "hello")
    told = ["3", "3", "3", f"3{note(4)}", "3"]
    assert results(ended.message) == told
    assert columns(chat, "repeats", "result", "full_chars", "sent_chars") == [
        (repeats, text, 1, len(text)) for repeats, text in zip([0, 1, 2, 3, 0], told, strict=True)
    ]


def test_a_call_that_comes_to_something_new_each_time_is_not_told_so(store: nbchat.Store) -> None:
    times: list[int] = []

    def poll() -> int:
        """Look whether it is done."""
        times.append(1)
        return len(times)

    chat = chat_of(store, *[[call("poll")]] * 4, "done", tools=[poll])
    assert results(chat.ask("hello")) == ["1", "2", "3", "4"]
    assert columns(chat, "repeats") == [(0,), (1,), (2,), (3,)]


def test_a_refused_call_before_one_too_many_is_stored_once(store: nbchat.Store, way: str) -> None:
    replies = [ToolCall("nobody", {}, "c1"), ToolCall("nobody", {}, "c2")]
    chat = nbchat.create_chat(
        "function/x", store=store, respond=scripted(replies), tools=[], max_tool_rounds=1
    )
    ended = WAYS[way](chat, "hello")
    assert isinstance(ended.error, nbchat.ToolRoundsExceeded)
    rows = raw_rows(store, chat.id, "tool_calls")
    assert [(row["round"], row["tool_call_id"], row["status"]) for row in rows] == [
        (1, "c1", "unknown_tool")
    ]
