"""Hooks watch a turn: each in its order, once for each thing, after that thing is stored."""

import asyncio
import functools
import threading
from pathlib import Path
from typing import Any

import pytest
from four_ways import WAYS, Ended
from stored_rows import pending, raw_rows

import nbchat
from nbchat.hooks import HOOKS
from nbchat.messages import ToolCall
from nbchat.testing import scripted

PATIENCE_S = 30.0


@pytest.fixture
def store(tmp_path: Path) -> nbchat.Store:
    return nbchat.open_store(tmp_path / "chats.duckdb")


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def fail() -> None:
    """Never works."""
    raise ValueError("it failed")


def eventful(store: nbchat.Store, **more: Any) -> nbchat.Chat:
    """A chat whose turn has a retry, three calls at once of which one works, and two rounds."""
    replies = [
        nbchat.RateLimited("slow down", status=429, retry_after_s=0.0),
        ["let me see ", ToolCall("add", {"a": 1, "b": 2}, "c1"), ToolCall("nobody", {}, "c2"),
         ToolCall("fail", {}, "c3")],
        "done",
    ]  # fmt: skip
    return nbchat.create_chat(
        "function/x", store=store, respond=scripted(replies), tools=[add, fail], **more
    )


def plain(store: nbchat.Store, *replies: Any, **more: Any) -> nbchat.Chat:
    return nbchat.create_chat("function/x", store=store, respond=scripted(replies), **more)


def hook(chat: nbchat.Chat, kind: str, function: Any) -> nbchat.Chat:
    hooked: nbchat.Chat = getattr(chat, f"on_{kind}")(function)
    return hooked


class Watcher:
    """Hooks of every kind that note what they are told, and what the store says of it then."""

    def __init__(self, chat: nbchat.Chat) -> None:
        self.chat = chat
        self.seen: list[tuple[Any, ...]] = []
        for kind in HOOKS:
            hook(chat, kind, getattr(self, kind))

    def rows(self, table: str) -> list[dict[str, Any]]:
        return raw_rows(self.chat.store, self.chat.id, table)

    def call(self, event: Any) -> dict[str, Any]:
        [row] = [row for row in self.rows("tool_calls") if str(row["id"]) == event.call_id]
        return row

    def request(self, request: Any) -> None:
        statuses = [row["status"] for row in self.rows("messages")]
        self.seen.append(("request", len(request.messages), statuses, len(self.rows("requests"))))

    def response(self, reply: Any, row: Any) -> None:
        stored = [str(row["id"]) for row in self.rows("requests")]
        self.seen.append(("response", reply.text, row.round, row.attempt, row.id in stored))

    def error(self, error: Exception, about: Any) -> None:
        if isinstance(error, nbchat.ProviderError):
            last = self.rows("requests")[-1]
            stored = (last["round"], last["attempt"], last["error_type"])
            self.seen.append(("error", str(error), len(about.messages), stored))
        else:
            stored = self.call(about)["status"]
            self.seen.append(("error", str(error), about.tool_call_id, stored))

    def tool_start(self, event: Any) -> None:
        self.seen.append(("tool_start", event.tool_call_id, self.call(event)["status"]))

    def tool_end(self, event: Any, text: str) -> None:
        row = self.call(event)
        assert text == (event.result if event.status == "ok" else event.error)
        assert (row["status"], row["result"], row["error"]) == (
            event.status, event.result, event.error,
        )  # fmt: skip
        self.seen.append(("tool_end", event.tool_call_id, event.status, text[:25]))

    def message(self, message: Any) -> None:
        last = self.rows("messages")[-1]
        assert str(last["id"]) == message.id
        self.seen.append(("message", message.content, last["status"], last["content"]))


@pytest.mark.parametrize("way", WAYS)
def test_each_hook_is_told_once_in_order_and_after_it_is_stored(
    way: str, store: nbchat.Store
) -> None:
    watcher = Watcher(eventful(store))
    assert WAYS[way](watcher.chat, "hello").error is None
    begun = ["complete", "pending"]
    seen = watcher.seen
    assert seen[:5] == [
        ("request", 1, begun, 0),
        ("error", "slow down", 1, (1, 1, "RateLimited")),
        ("request", 1, begun, 1),
        ("response", "let me see ", 1, 2, True),
        ("tool_end", "c2", "unknown_tool", "No tool is named 'nobody'"),
    ]
    # the two calls run at once: each of them has its own order
    assert [entry for entry in seen[5:10] if entry[1] == "c1"] == [
        ("tool_start", "c1", "pending"),
        ("tool_end", "c1", "ok", "3"),
    ]
    assert [entry for entry in seen[5:10] if entry[1] != "c1"] == [
        ("tool_start", "c3", "pending"),
        ("error", "it failed", "c3", "pending"),
        ("tool_end", "c3", "error", "ValueError: it failed"),
    ]
    assert seen[10:] == [
        ("request", 2, begun, 2),
        ("response", "done", 2, 1, True),
        ("message", "let me see done", "complete", "let me see done"),
    ]


@pytest.mark.parametrize("way", WAYS)
def test_hooks_of_a_kind_add_up_in_the_order_they_were_given(way: str, store: nbchat.Store) -> None:
    said: list[str] = []

    async def later(message: nbchat.Message) -> None:
        await asyncio.sleep(0)
        said.append("async")

    class Owner:
        def bound(self, message: nbchat.Message) -> None:
            said.append("bound")

        def __call__(self) -> None:
            said.append("called, with nothing")

    class AsyncOwner:
        async def __call__(self, message: nbchat.Message) -> None:
            said.append("async object")

    def named(name: str, message: nbchat.Message) -> None:
        said.append(name)

    async def alater(name: str, message: nbchat.Message) -> None:
        said.append(name)

    messages: list[nbchat.Message] = []
    chat = plain(store, "hi", hooks={"on_message": [later, Owner().bound], "message": Owner()})
    chat.on_message(AsyncOwner()).on_message(functools.partial(named, "partial"))
    chat.on_message(functools.partial(alater, "async partial"))
    chat.on_message(lambda *all_of_it: said.append(f"{len(all_of_it)} argument"))
    chat.on_message(lambda message: later(message)).on_message(messages.append)
    ended = WAYS[way](chat, "hello")
    assert said == [
        "async", "bound", "called, with nothing", "async object", "partial", "async partial",
        "1 argument", "async",
    ]  # fmt: skip
    assert messages == [ended.message]


def test_hooks_take_as_many_of_the_arguments_as_they_name(store: nbchat.Store) -> None:
    told: list[Any] = []
    chat = eventful(store)
    chat.on_response(lambda: told.append("none"))
    chat.on_response(lambda reply: told.append(type(reply).__name__))
    chat.on_response(lambda reply, row: told.append(type(row).__name__))
    chat.on_response(lambda *both: told.append(len(both)))
    chat.ask("hello")
    assert told == ["none", "Reply", "RequestRow", 2] * 2


def test_a_hook_added_by_a_hook_is_first_called_in_the_next_turn(store: nbchat.Store) -> None:
    said: list[str] = []
    chat = plain(store, "one", "two")

    def first(request: Any) -> None:
        chat.on_message(lambda message: said.append(message.content))

    chat.on_request(first)
    chat.ask("hello")
    assert said == []
    chat.ask("again")
    assert said == ["two"]


def test_a_slow_hook_keeps_no_other_chat_waiting(store: nbchat.Store) -> None:
    waits, go = threading.Event(), threading.Event()

    def slow(request: Any) -> None:
        waits.set()
        assert go.wait(PATIENCE_S)

    held = plain(store, "late").on_request(slow)
    with held.ask_stream("hello") as stream:
        assert waits.wait(PATIENCE_S)
        assert plain(store, "soon").ask("hello").content == "soon"
        go.set()
        assert [event.content for event in stream if event.content] == ["late"]


def test_what_cannot_be_called_or_is_no_hook_is_refused(store: nbchat.Store) -> None:
    with pytest.raises(nbchat.ConfigError, match=r"on_message got 'print', which is not a funct"):
        plain(store).on_message("print")  # type: ignore[arg-type]
    with pytest.raises(nbchat.ConfigError, match=r"There is no hook 'on_reply'\. Hooks: on_tool_"):
        plain(store, hooks={"reply": print})


# What a hook raises ------------------------------------------------------------------------


class Oops(Exception):
    """Something of the user's."""


def stops(chat: nbchat.Chat, way: str) -> Ended:
    ended = WAYS[way](chat, "hello")
    assert pending(chat.store) == []
    return ended


# what was said and the calls' ends, by the hook that raises
LEFT = {
    "request": ("stopped", "", []),
    "response": ("stopped", "let me see ", ["stopped", "unknown_tool", "stopped"]),
    "tool_start": ("stopped", "let me see ", ["denied", "unknown_tool", "denied"]),
    "tool_end": ("stopped", "let me see ", ["stopped", "unknown_tool", "stopped"]),
    "error": ("stopped", "", []),
    "message": ("complete", "let me see done", ["ok", "unknown_tool", "error"]),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", HOOKS)
def test_what_a_hook_raises_reaches_the_caller_and_is_the_reason(
    kind: str, way: str, store: nbchat.Store
) -> None:
    oops = Oops("no more")

    def raising(*told: Any) -> None:
        raise oops

    ended = stops(hook(eventful(store), kind, raising), way)
    assert ended.error is oops
    assert [event.kind for event in ended.events if event.kind == "done"] == []
    [chat_id] = nbchat.list_chats(store=store)["id"]
    status, content, calls = LEFT[kind]
    user, row = raw_rows(store, chat_id, "messages")
    reason = '{"type": "Oops", "message": "no more"}' if status == "stopped" else None
    assert (row["status"], row["content"], row["error"]) == (status, content, reason)
    assert (user["status"], user["error"]) == ("complete", None)
    assert [row["status"] for row in raw_rows(store, chat_id, "tool_calls")] == calls


@pytest.mark.parametrize("way", WAYS)
def test_a_tool_error_of_a_start_hook_denies_the_call_and_the_turn_goes_on(
    way: str, store: nbchat.Store
) -> None:
    ran: list[int] = []

    def note(number: int) -> str:
        """Note a number."""
        ran.append(number)
        return "noted"

    def guard(event: Any) -> None:
        if event.arguments["number"] == 1:
            raise nbchat.ToolError("Not that one.")

    calls = [ToolCall("note", {"number": 1}, "c1"), ToolCall("note", {"number": 2}, "c2")]
    script = scripted([calls, "done"])
    chat = nbchat.create_chat("function/x", store=store, respond=script, tools=[note])
    ended = stops(chat.on_tool_start(guard), way)
    assert (ended.error, ran, chat.messages()[-1].content) == (None, [2], "done")
    rows = raw_rows(store, chat.id, "tool_calls")
    assert [(row["status"], row["result"], row["error"]) for row in rows] == [
        ("denied", None, "Not that one."),
        ("ok", "noted", None),
    ]
    told = [part for part in script.requests[1].messages[-1].parts if part.kind == "tool_result"]
    assert [(part.content, part.is_error) for part in told] == [
        ("Not that one.", True),
        ("noted", False),
    ]


@pytest.mark.parametrize("way", WAYS)
def test_a_fatal_tool_error_of_a_start_hook_ends_the_turn(way: str, store: nbchat.Store) -> None:
    fatal = nbchat.ToolError("never", fatal=True)

    def guard(event: Any) -> None:
        raise fatal

    chat = plain(store, ToolCall("add", {"a": 1, "b": 2}, "c1"), tools=[add]).on_tool_start(guard)
    assert stops(chat, way).error is fatal
    assert chat.messages()[-1].error == {"type": "ToolError", "message": "never"}
    [row] = raw_rows(store, chat.id, "tool_calls")
    assert (row["status"], row["error"]) == ("denied", "ToolError: never")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", [kind for kind in HOOKS if kind != "message"])
def test_halt_in_a_hook_ends_the_turn_with_its_value(
    kind: str, way: str, store: nbchat.Store
) -> None:
    def halt(*told: Any) -> None:
        raise nbchat.Halt("that is all")

    chat = hook(eventful(store), kind, halt)
    ended = stops(chat, way)
    assert ended.error is None
    last = chat.messages()[-1]
    assert (last.status, last.content, last.error) == ("complete", "that is all", None)
    assert ended.message is not None
    assert ended.message.content == "that is all"


@pytest.mark.parametrize("way", WAYS)
def test_halt_comes_too_late_for_a_message_that_is_stored(way: str, store: nbchat.Store) -> None:
    def halt(*told: Any) -> None:
        raise nbchat.Halt("something else")

    for kind in ("response", "message"):
        chat = hook(plain(store, "the answer"), kind, halt)
        ended = stops(chat, way)
        assert ended.error is None
        assert ended.message == chat.messages()[-1]
        assert chat.messages()[-1].content == "the answer"


@pytest.mark.parametrize("way", WAYS)
def test_the_message_is_told_once_however_the_turn_ended(way: str, store: nbchat.Store) -> None:
    told: list[tuple[str, str]] = []

    def raising(reply: Any) -> None:
        raise Oops("after the end")

    def note(message: nbchat.Message) -> None:
        told.append((message.status, message.content))

    WAYS[way](plain(store, "whole").on_message(note).on_response(raising), "hello")
    WAYS[way](eventful(store).on_message(note).on_tool_start(raising), "hello")
    WAYS[way](eventful(store, max_tool_rounds=0).on_message(note), "hello")
    WAYS[way](plain(store, nbchat.BadRequest("no", status=400)).on_message(note), "hello")
    assert told == [("complete", "whole"), ("stopped", "let me see "), ("stopped", "let me see ")]


def test_an_error_of_the_store_in_a_hook_is_the_hooks_and_nothing_waits_beside_the_file(
    store: nbchat.Store,
) -> None:
    gone = nbchat.StoreBusy("another store is busy")

    def raising(reply: Any) -> None:
        raise gone

    chat = eventful(store).on_response(raising)
    with pytest.raises(nbchat.StoreBusy) as caught:
        chat.ask("hello")
    assert caught.value is gone
    assert not Path(f"{store.path}.spool").exists()
    assert chat.messages()[-1].status == "stopped"


def test_a_stop_that_comes_during_the_last_hook_loses_nothing(store: nbchat.Store) -> None:
    reached = threading.Event()

    async def slow(message: nbchat.Message) -> None:
        reached.set()
        await asyncio.sleep(PATIENCE_S)

    chat = plain(store, "the answer").on_message(slow)
    threading.Thread(target=lambda: reached.wait(PATIENCE_S) and chat.stop()).start()
    message = chat.ask("hello")
    assert (message.content, message.status) == ("the answer", "complete")
    assert chat.messages()[-1] == message
