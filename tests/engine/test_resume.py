"""A turn that was broken off goes on: what is whole stays, only what is missing is done."""

import _thread
import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from resuming import assert_sums, calls, function_chat, goes_on, half, held, requests, told
from stored_rows import pending, raw_rows, stored_rows
from turn_scripts import PATHS
from two_rounds import (
    NAMES,
    QUESTION,
    assert_ended,
    marking,
    ran,
    replay,
    reply,
    respond,
)

import nbchat
from nbchat.exchange import Usage
from nbchat.messages import Text, ToolCall
from nbchat.testing import Gate, ReplayServer, said, scripted

ONCE = {f"{QUESTION} {name}": 1 for name in NAMES}


@pytest.fixture
def store(tmp_path: Path) -> nbchat.Store:
    return nbchat.open_store(tmp_path / "chats.duckdb")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "ran.txt"


# Stopped ------------------------------------------------------------------------------------


def by_stop(stream: Any, chat: nbchat.Chat, gate: Gate) -> None:
    gate.wait_reached()
    chat.stop()
    assert [event.kind for event in stream][-1] == "done"


def by_break(stream: Any, chat: nbchat.Chat, gate: Gate) -> None:
    for _ in stream:
        break
    gate.wait_reached()
    stream.close()


def by_interrupt(stream: Any, chat: nbchat.Chat, gate: Gate) -> None:
    gate.wait_reached()
    next(stream)
    threading.Timer(0.05, _thread.interrupt_main).start()
    with pytest.raises(KeyboardInterrupt):
        list(stream)


ENDS: list[Callable[..., None]] = [by_stop, by_break, by_interrupt]


@pytest.mark.parametrize("end", ENDS)
def test_a_reply_that_was_cut_off_is_said_anew(
    store: nbchat.Store, log: Path, end: Callable[..., None]
) -> None:
    gate = Gate()
    chat = function_chat(store, lambda request: half(gate), tools=[marking(log)])
    end(chat.ask_stream(QUESTION), chat, gate)
    gate.open()
    assert told(chat) == [("user", "complete", QUESTION), ("assistant", "stopped", "half ")]
    left = chat.messages()[-1]
    chat._own.respond = respond
    message = chat.resume()
    assert_ended(message)
    assert (message.id, message.seq, message.turn) == (left.id, 2, 1)
    assert chat.messages()[-1] == message
    assert ran(log) == ONCE
    assert requests(chat, "round", "attempt", "error_type") == [
        (1, 1, "Stopped"), (1, 2, None), (2, 1, None), (3, 1, None),
    ]  # fmt: skip
    assert_sums(chat)


@pytest.mark.parametrize("end", ENDS)
def test_calls_with_a_result_never_run_again(store: nbchat.Store, end: Callable[..., None]) -> None:
    gate, runs = Gate(), []

    def quick() -> str:
        """Ends at once."""
        runs.append("quick")
        return "quickly"

    def slow() -> str:
        """Ends when it may."""
        runs.append("slow")
        if runs.count("slow") == 1:
            quick_ended.wait(30)
            held(gate)
        return "slowly"

    quick_ended = threading.Event()
    both = ["so ", ToolCall("quick", {}, "c1"), ToolCall("slow", {}, "c2"), Usage(10, 5)]
    chat = function_chat(store, [both], tools=[quick, slow])
    chat.on_tool_end(lambda event: quick_ended.set())
    end(chat.ask_stream(QUESTION), chat, gate)
    gate.open()
    assert calls(chat, "name", "attempt", "status") == [("quick", 1, "ok"), ("slow", 1, "stopped")]
    goes_on(chat, [["done", Usage(20, 6)]])
    message = chat.resume()
    assert (message.status, message.content) == ("complete", "so done")
    assert runs == ["quick", "slow", "slow"]
    assert calls(chat, "name", "attempt", "status", "result") == [
        ("quick", 1, "ok", "quickly"), ("slow", 1, "stopped", None), ("slow", 2, "ok", "slowly"),
    ]  # fmt: skip
    assert [(p.seq, p.content) for p in message.parts if p.kind == "tool_result"] == [
        (1, "quickly"), (2, "slowly"),
    ]  # fmt: skip
    assert requests(chat, "round", "attempt") == [(1, 1), (2, 1)]
    assert (message.input_tokens, message.output_tokens) == (30, 11)
    assert_sums(chat)


def test_a_turn_that_was_stopped_before_anything_came_goes_on(store: nbchat.Store) -> None:
    gate = Gate()

    def nothing(request: Any) -> Iterator[Any]:
        held(gate)
        yield "never"

    chat = function_chat(store, nothing)
    stream = chat.ask_stream("hello")
    gate.wait_reached()
    stream.close()
    gate.open()
    assert told(chat) == [("user", "complete", "hello")]
    message = goes_on(chat, [["fine", Usage(1, 1)]]).resume()
    assert told(chat) == [("user", "complete", "hello"), ("assistant", "complete", "fine")]
    assert (message.turn, message.seq) == (1, 2)
    assert requests(chat, "turn", "round", "attempt", "error_type") == [
        (1, 1, 1, "Stopped"), (1, 1, 2, None),
    ]  # fmt: skip
    assert_sums(chat)


def test_what_was_there_stays_when_going_on_is_stopped_before_anything_came(
    store: nbchat.Store,
) -> None:
    gates = Gate(), Gate()
    chat = function_chat(store, lambda request: half(gates[0]))
    stream = chat.ask_stream("hello")
    next(stream)
    stream.close()

    def nothing(request: Any) -> Iterator[Any]:
        held(gates[1])
        yield "never"

    chat._own.respond = nothing
    stream = chat.resume_stream()
    gates[1].wait_reached()
    stream.close()
    [gate.open() for gate in gates]
    assert told(chat) == [("user", "complete", "hello"), ("assistant", "stopped", "half ")]
    assert chat.messages()[-1].parts == (Text("half "),)
    assert goes_on(chat, ["whole"]).resume().content == "whole"


# By somebody else ---------------------------------------------------------------------------


def stopped_after_one_call(store: nbchat.Store, server: ReplayServer, log: Path) -> nbchat.Chat:
    """A turn of openai's that was stopped with one result of two."""
    chat = nbchat.create_chat("openai/x", base_url=server.url, store=store, tool_concurrency=1,
                              instructions="Be brief.")  # fmt: skip
    mark, runs = marking(log), []

    def first_only(name: str) -> Any:
        runs.append(name)
        result = mark(name)
        if len(runs) == 2:
            chat.stop()
            threading.Event().wait(0.2)  # a thread cannot be ended; the turn is by now
        return result

    first_only.__name__, first_only.__doc__ = "mark", mark.__doc__
    chat.with_tool(first_only)
    assert chat.ask(QUESTION).status == "stopped"
    assert calls(chat, "attempt", "status") == [(1, "ok"), (1, "stopped")]
    return chat


@pytest.mark.parametrize("provider", PATHS)
def test_another_chat_object_model_and_provider_can_go_on(
    store: nbchat.Store, log: Path, provider: str
) -> None:
    with ReplayServer(*[replay] * 9) as server:
        chat = stopped_after_one_call(store, server, log)
        other = nbchat.load_chat(chat.id, store=store, tools=[marking(log)])
        assert other is not None
        other.with_model(f"{provider}/y", base_url=server.url, api_key="k")
        message = other.resume()
        assert_ended(message)
        assert (message.model, message.provider) == (f"{provider}/y", provider)
    assert requests(chat, "round", "model") == [
        (1, "openai/x"), (2, f"{provider}/y"), (3, f"{provider}/y"),
    ]  # fmt: skip
    assert sorted(ran(log).values()) == [1, 1, 1, 2]
    assert_sums(chat)


# Nothing to go on with ----------------------------------------------------------------------


def stored(chat: nbchat.Chat) -> dict[str, Any]:
    return {t: raw_rows(chat.store, chat.id, t) for t in ("messages", "requests", "tool_calls")}


def resume_all_ways(chat: nbchat.Chat) -> None:
    """Every way to go on says why it cannot, and changes no row."""
    before = stored(chat)
    ways: list[Callable[[], Any]] = [
        chat.resume, lambda: list(chat.resume_stream()), lambda: asyncio.run(chat.aresume()),
        chat.step,
    ]  # fmt: skip
    for way in ways:
        with pytest.raises(nbchat.ConfigError):
            way()
        assert stored(chat) == before


def test_a_complete_a_failed_and_an_empty_chat_have_nothing_to_resume(store: nbchat.Store) -> None:
    def finish() -> None:
        """The end."""
        raise nbchat.Halt("so")

    refused = nbchat.BadRequest("no", status=400)
    replies = ["fine", refused, ["half", ToolCall("finish", {}, "c1")], "on"]
    chat = function_chat(store, replies, tools=[finish])
    resume_all_ways(chat)
    chat.ask("one")
    resume_all_ways(chat)
    with pytest.raises(nbchat.BadRequest):
        chat.ask("two")
    resume_all_ways(chat)
    assert chat.ask("three").content == "so"
    resume_all_ways(chat)
    assert chat.ask("four").content == "on"


def test_an_answer_cut_at_max_tokens_is_complete(store: nbchat.Store) -> None:
    with ReplayServer(said("too lo", finish_reason="length")) as server:
        chat = nbchat.create_chat("openai/x", base_url=server.url, store=store)
        assert chat.ask("hello").finish_reason == "length"
        resume_all_ways(chat)


# At the same time ---------------------------------------------------------------------------


def test_a_turn_that_runs_is_waited_for_and_then_there_is_nothing_to_resume(
    store: nbchat.Store,
) -> None:
    gate = Gate()
    chat = function_chat(store, lambda request: half(gate))
    other = nbchat.load_chat(chat.id, store=store, respond=scripted([]))
    assert other is not None
    with ThreadPoolExecutor() as pool:
        first = pool.submit(chat.ask, "hello")
        gate.wait_reached()
        with pytest.raises(nbchat.ChatBusy):
            other.resume(wait=False)
        waiting = pool.submit(other.resume)
        gate.open()
        assert first.result(30).content == "half "
        with pytest.raises(nbchat.ConfigError):
            waiting.result(30)
    assert told(chat) == [("user", "complete", "hello"), ("assistant", "complete", "half ")]


def test_cancelling_aresume_stops_the_turn_again(store: nbchat.Store) -> None:
    gates = [Gate(), Gate()]
    replies = iter(gates)
    chat = function_chat(store, lambda request: half(next(replies)))
    stream = chat.ask_stream("hello")
    gates[0].wait_reached()
    stream.close()

    async def cancelled() -> None:
        task = asyncio.create_task(chat.aresume())
        await asyncio.to_thread(gates[1].wait_reached)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    [gate.open() for gate in gates]
    assert told(chat) == [("user", "complete", "hello"), ("assistant", "stopped", "half ")]
    assert pending(store) == []
    assert requests(chat, "attempt", "error_type") == [(1, "Stopped"), (2, "Stopped")]
    assert goes_on(chat, ["whole"]).resume().content == "whole"


def test_resume_stream_tells_only_what_is_still_to_come(store: nbchat.Store, log: Path) -> None:
    stops: list[str] = []

    def hook(event: Any) -> None:
        stops.append(event.name)
        if len(stops) == 2:
            raise ValueError("that is enough")

    chat = function_chat(store, respond, tools=[marking(log)])
    chat.on_tool_end(hook)
    with pytest.raises(ValueError, match="enough"):
        chat.ask(QUESTION)
    events = list(chat.resume_stream())
    kinds = [event.kind for event in events]
    assert kinds[:3] == ["thinking", "text", "usage"]
    assert sorted(kinds[3:7]) == ["tool_end", "tool_end", "tool_start", "tool_start"]
    assert kinds[7:] == ["text", "usage", "done"]
    assert "".join(event.content or "" for event in events) == f"{QUESTION} 2, {QUESTION} done"
    assert_ended(events[-1].message)  # type: ignore[union-attr]
    assert {event.message_id for event in events} == {chat.messages()[-1].id}


# With less in the store ---------------------------------------------------------------------


def stopped_in_round_2(store: nbchat.Store, log: Path, **more: Any) -> nbchat.Chat:
    gate = Gate()

    def holding(request: Any) -> Iterator[Any]:
        last = request.messages[-1]
        if last.role == "user":
            yield from reply(QUESTION, 1)
        else:
            yield from half(gate)

    chat = function_chat(store, holding, tools=[marking(log)], **more)
    stream = chat.ask_stream(QUESTION)
    gate.wait_reached()
    stream.close()
    gate.open()
    chat._own.respond = respond
    return chat


@pytest.mark.parametrize("persist", [{"tool_calls": False}, {"requests": False},
                                     {"tool_calls": False, "requests": False}])  # fmt: skip
def test_without_rows_of_calls_and_requests_a_turn_goes_on_all_the_same(
    store: nbchat.Store, log: Path, persist: dict[str, bool]
) -> None:
    chat = stopped_in_round_2(store, log, persist=persist)
    assert_ended(chat.resume())
    assert ran(log) == ONCE
    assert_ended(chat.messages()[-1])
    assert len(calls(chat)) == (0 if "tool_calls" in persist else 4)
    assert len(requests(chat)) == (0 if "requests" in persist else 4)


def test_what_is_not_stored_goes_on_where_it_is_remembered_and_nowhere_else(
    store: nbchat.Store, log: Path
) -> None:
    chat = stopped_in_round_2(store, log, log_content=False)
    other = nbchat.load_chat(chat.id, store=store, tools=[marking(log)], respond=respond)
    assert other is not None
    resume_all_ways(other)
    assert_ended(chat.resume())
    assert ran(log) == ONCE
    rows = stored_rows(store, chat.id)
    assert QUESTION not in str(rows)
    assert rows["messages"][-1]["status"] == "complete"


def test_a_question_that_is_not_stored_is_not_asked_without_its_words(store: nbchat.Store) -> None:
    gate = Gate()

    def nothing(request: Any) -> Any:
        held(gate)
        return "never"

    chat = function_chat(store, nothing, log_content=False)
    stream = chat.ask_stream("hello")
    gate.wait_reached()
    stream.close()
    gate.open()
    other = nbchat.load_chat(chat.id, store=store, respond=scripted(["what?"]))
    assert other is not None
    resume_all_ways(other)
    assert goes_on(chat, ["fine"]).resume().content == "fine"
