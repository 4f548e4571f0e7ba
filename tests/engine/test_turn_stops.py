"""Stopping, whatever the means: the text so far is kept, the connection is closed at once."""

import _thread
import asyncio
import gc
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stored_rows import pending, raw_rows

import nbchat
from nbchat.messages import ToolCall
from nbchat.testing import Answer, Gate, ReplayServer, answer_to, said, scripted

PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}


@pytest.fixture
def store(tmp_path: Path) -> nbchat.Store:
    return nbchat.open_store(tmp_path / "chats.duckdb")


@pytest.fixture(params=PATHS)
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def half_an_answer(provider: str, gate: Gate) -> Answer:
    """A stream that says "half an " and then waits at the gate."""
    pieces = list(answer_to(PATHS[provider], said("half an answer"), stream=True, piece=8).body)
    at = next(n for n, piece in enumerate(pieces) if b"half an " in piece)
    return Answer(body=[*pieces[: at + 1], gate, *pieces[at + 1 :]])


def read_to_the_gate(stream: Any, gate: Gate) -> None:
    event = next(stream)
    assert (event.kind, event.content) == ("text", "half an ")
    gate.wait_reached()


def assert_kept(chat: nbchat.Chat, server: ReplayServer) -> None:
    """The partial text is stored as stopped, and the server saw its client leave."""
    assert server.requests[0].hung_up.wait(10)
    assert pending(chat.store) == []
    user, partial = chat.messages()
    assert (user.status, user.error) == ("complete", None)
    assert (partial.status, partial.content, partial.error) == ("stopped", "half an ", None)
    [row] = raw_rows(chat.store, chat.id, "requests")
    assert (row["status_code"], row["error_type"]) == (200, "Stopped")
    assert int(chat.stats()["failed_requests"][0]) == 0


def assert_goes_on(chat: nbchat.Chat, server: ReplayServer) -> None:
    """The next turn sends the partial answer along."""
    server.add("fine")
    assert chat.ask("go on").content == "fine"
    sent = server.requests[-1].json["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "user"]
    assert "half an " in str(sent[1]["content"])


def by_break(stream: Any, gate: Gate, chat: nbchat.Chat) -> None:
    for event in stream:
        assert event.content == "half an "
        gate.wait_reached()
        break
    stream.close()


def by_close(stream: Any, gate: Gate, chat: nbchat.Chat) -> None:
    read_to_the_gate(stream, gate)
    stream.close()
    stream.close()
    assert list(stream) == []


def by_leaving_with(stream: Any, gate: Gate, chat: nbchat.Chat) -> None:
    with stream:
        read_to_the_gate(stream, gate)


def by_an_error_in_the_loop(stream: Any, gate: Gate, chat: nbchat.Chat) -> None:
    with pytest.raises(ZeroDivisionError), stream:  # noqa: PT012
        for _ in stream:
            gate.wait_reached()
            _ = 1 / 0


def by_stop(stream: Any, gate: Gate, chat: nbchat.Chat) -> None:
    read_to_the_gate(stream, gate)
    thread = threading.Thread(target=chat.stop)
    thread.start()
    [done] = stream
    thread.join()
    assert (done.kind, done.message) == ("done", chat.messages()[-1])


def by_keyboard_interrupt(stream: Any, gate: Gate, chat: nbchat.Chat) -> None:
    read_to_the_gate(stream, gate)
    threading.Timer(0.05, _thread.interrupt_main).start()
    with pytest.raises(KeyboardInterrupt):
        list(stream)


@pytest.mark.parametrize(
    "end", [by_break, by_close, by_leaving_with, by_an_error_in_the_loop, by_stop,
            by_keyboard_interrupt],
)  # fmt: skip
def test_a_stream_left_early_keeps_its_text(
    provider: str, store: nbchat.Store, end: Callable[..., None]
) -> None:
    gate = Gate()
    with ReplayServer(half_an_answer(provider, gate)) as server:
        chat = nbchat.create_chat(f"{provider}/x", base_url=server.url, store=store)
        end(chat.ask_stream("hello"), gate, chat)
        assert_kept(chat, server)
        assert_goes_on(chat, server)


def test_a_loop_that_breaks_needs_no_close(provider: str, store: nbchat.Store) -> None:
    gate = Gate()
    with ReplayServer(half_an_answer(provider, gate)) as server:
        chat = nbchat.create_chat(f"{provider}/x", base_url=server.url, store=store)
        for _ in chat.ask_stream("hello"):
            gate.wait_reached()
            break
        assert_kept(chat, server)


def test_an_error_in_the_loop_needs_no_close(provider: str, store: nbchat.Store) -> None:
    gate = Gate()
    with ReplayServer(half_an_answer(provider, gate)) as server:
        chat = nbchat.create_chat(f"{provider}/x", base_url=server.url, store=store)
        with pytest.raises(ZeroDivisionError):  # noqa: PT012
            for _ in chat.ask_stream("hello"):
                gate.wait_reached()
                _ = 1 / 0
        assert_kept(chat, server)


def test_a_dropped_stream_is_closed(provider: str, store: nbchat.Store) -> None:
    gate = Gate()
    with ReplayServer(half_an_answer(provider, gate)) as server:
        chat = nbchat.create_chat(f"{provider}/x", base_url=server.url, store=store)
        stream = chat.ask_stream("hello")
        read_to_the_gate(stream, gate)
        del stream
        gc.collect()
        assert_kept(chat, server)


def test_a_stream_abandoned_in_a_variable_is_closed_by_the_next_ask(
    provider: str, store: nbchat.Store
) -> None:
    gate = Gate()
    with ReplayServer(half_an_answer(provider, gate), "fine") as server:
        chat = nbchat.create_chat(f"{provider}/x", base_url=server.url, store=store)
        stream = chat.ask_stream("hello")
        read_to_the_gate(stream, gate)
        assert chat.ask("another").content == "fine"
        assert server.requests[0].hung_up.wait(10)
        assert list(stream) == []
        told = [(message.status, message.content) for message in chat.messages()]
    assert told == [
        ("complete", "hello"), ("stopped", "half an "), ("complete", "another"),
        ("complete", "fine"),
    ]  # fmt: skip


def test_asking_inside_the_loop_of_a_stream_ends_that_loop(store: nbchat.Store) -> None:
    chat = nbchat.create_chat(
        "function/x", respond=scripted([iter(["one ", "two "]), "fine"]), store=store
    )
    events = []
    for event in chat.ask_stream("hello"):
        events.append(event.content)
        assert chat.ask("inside").content == "fine"
    assert events == ["one "]
    assert [message.content for message in chat.messages()][-2:] == ["inside", "fine"]
    assert pending(store) == []


async def a_break(chat: nbchat.Chat, gate: Gate) -> None:
    async for event in chat.aask_stream("hello"):
        assert event.content == "half an "
        await asyncio.to_thread(gate.wait_reached)
        break


async def a_close(chat: nbchat.Chat, gate: Gate) -> None:
    async with chat.aask_stream("hello") as stream:
        assert (await anext(stream)).content == "half an "
        await asyncio.to_thread(gate.wait_reached)
    assert [event async for event in stream] == []
    assert chat.messages()[-1].status == "stopped"


async def a_cancel(chat: nbchat.Chat, gate: Gate) -> None:
    came = asyncio.Event()

    async def follow() -> None:
        async for _ in chat.aask_stream("hello"):
            came.set()

    task = asyncio.create_task(follow())
    await came.wait()
    await asyncio.to_thread(gate.wait_reached)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert chat.messages()[-1].status == "stopped"


async def a_stop(chat: nbchat.Chat, gate: Gate) -> None:
    events = []
    async for event in chat.aask_stream("hello"):
        events.append(event)
        if event.kind == "text":
            await asyncio.to_thread(gate.wait_reached)
            chat.stop()
    assert [event.kind for event in events] == ["text", "done"]
    assert events[-1].message == chat.messages()[-1]


async def a_timeout(chat: nbchat.Chat, gate: Gate) -> None:
    with pytest.raises(TimeoutError):  # noqa: PT012
        async with asyncio.timeout(None) as limit:
            async for _ in chat.aask_stream("hello"):
                limit.reschedule(0)


@pytest.mark.parametrize("end", [a_break, a_close, a_cancel, a_stop, a_timeout])
def test_an_async_stream_left_early_keeps_its_text(
    provider: str, store: nbchat.Store, end: Callable[..., Any]
) -> None:
    gate = Gate()
    with ReplayServer(half_an_answer(provider, gate)) as server:
        chat = nbchat.create_chat(f"{provider}/x", base_url=server.url, store=store)
        asyncio.run(end(chat, gate))
        assert server.requests[0].hung_up.wait(10)
        assert_goes_on(chat, server)
        assert [m.status for m in chat.messages()][:2] == ["complete", "stopped"]
        assert pending(store) == []


def test_a_cancellation_is_never_lost_beside_an_event(store: nbchat.Store) -> None:
    """An event and the cancellation may reach the waiting task in one step of its loop."""

    async def once(chat: nbchat.Chat) -> bool:
        async def follow() -> None:
            async for _ in chat.aask_stream("hello"):
                pass

        gate, told, shown = Gate(), threading.Event(), threading.Event()

        def respond(request: Any) -> Any:
            yield "one "
            gate.reached.set_result(None)
            told.wait(10)
            yield "two "
            shown.set()
            gate.opened.result(10)
            yield "three"

        chat._own.respond = respond
        task = asyncio.create_task(follow())
        await asyncio.to_thread(gate.wait_reached)
        told.set()
        # this loop stands still while the event is put; it finds both at once
        assert shown.wait(10)
        task.cancel()
        gate.open()
        try:
            await task
        except asyncio.CancelledError:
            return True
        return False

    async def main() -> list[bool]:
        chat = nbchat.create_chat("function/x", respond=lambda request: "", store=store)
        return [await once(chat) for _ in range(20)]

    assert all(asyncio.run(main()))


def test_stopping_a_plain_request_closes_its_connection(provider: str, store: nbchat.Store) -> None:
    gate = Gate()
    with ReplayServer(Answer(hold=gate)) as server:
        chat = nbchat.create_chat(f"{provider}/x", base_url=server.url, store=store)
        stopper = threading.Thread(target=lambda: (gate.wait_reached(), chat.stop()))
        stopper.start()
        message = chat.ask("hello")
        stopper.join()
        assert server.requests[0].hung_up.wait(10)
        assert (message.status, message.content) == ("stopped", "")
        assert [(m.role, m.status) for m in chat.messages()] == [("user", "complete")]


def test_cancelling_a_plain_request_closes_its_connection(
    provider: str, store: nbchat.Store
) -> None:
    async def main(chat: nbchat.Chat, gate: Gate) -> None:
        task = asyncio.create_task(chat.aask("hello"))
        await asyncio.to_thread(gate.wait_reached)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [(m.role, m.status) for m in chat.messages()] == [("user", "complete")]

    gate = Gate()
    with ReplayServer(Answer(hold=gate)) as server:
        chat = nbchat.create_chat(f"{provider}/x", base_url=server.url, store=store)
        asyncio.run(main(chat, gate))
        assert server.requests[0].hung_up.wait(10)


def test_stop_with_nothing_running_does_nothing(store: nbchat.Store) -> None:
    chat = nbchat.create_chat("function/x", respond=scripted(["one", "two"]), store=store)
    chat.stop()
    assert chat.ask("hello").content == "one"
    chat.stop()
    assert chat.ask("hello").content == "two"


def test_a_tool_left_running_by_stop_changes_nothing_later(store: nbchat.Store) -> None:
    gate, returned = Gate(), threading.Event()

    def slow() -> str:
        """Wait."""
        gate.reached.set_result(None)
        gate.opened.result(10)
        returned.set()
        return "late"

    chat = nbchat.create_chat(
        "function/x",
        respond=scripted([["so ", ToolCall("slow", {}, "c1")], "next"]),
        store=store,
        tools=[slow],
    )
    stream = chat.ask_stream("hello")
    next(stream)
    gate.wait_reached()
    stream.close()
    before = raw_rows(store, chat.id, "tool_calls"), raw_rows(store, chat.id, "messages")
    gate.open()
    assert returned.wait(10)
    assert chat.ask("next").content == "next"
    after = raw_rows(store, chat.id, "tool_calls"), raw_rows(store, chat.id, "messages")[:2]
    assert after == before
    assert before[0][0]["status"] == "stopped"


def test_a_tool_call_that_was_stopped_is_answered_neutrally_ever_after(
    provider: str, store: nbchat.Store
) -> None:
    gate = Gate()

    def slow() -> str:
        """Wait."""
        gate.reached.set_result(None)
        gate.opened.result(10)
        return "late"

    with ReplayServer(said("so ", ToolCall("slow", {}, "c1")), "fine") as server:
        chat = nbchat.create_chat(f"{provider}/x", base_url=server.url, store=store, tools=[slow])
        with chat.ask_stream("hello") as stream:
            next(stream)
            gate.wait_reached()
        gate.open()
        loaded = nbchat.load_chat(chat.id, store=store, tools=[slow])
        assert loaded is not None
        assert loaded.ask("go on").content == "fine"
        sent = server.requests[-1].json["messages"]
    assert [message["role"] for message in sent] == [
        "user", "assistant", "tool" if provider == "openai" else "user", "user",
    ]  # fmt: skip
    assert "result unavailable" in str(sent[2])
    assert "late" not in str(sent)
