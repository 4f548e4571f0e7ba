"""How the calls of a turn run: for how long, how many at once, how often, and what ends them."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from four_ways import STREAMED, WAYS
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


def quick() -> str:
    """Be quick."""
    return "quick"


# Timeouts -----------------------------------------------------------------------------------


def late(seconds: float) -> str:
    return f"TimeoutError: slow did not end within {seconds} s, and was left."


def test_a_tool_that_takes_too_long_is_left_behind_and_changes_nothing_later(
    way: str, store: nbchat.Store
) -> None:
    release, ended, contexts = threading.Event(), threading.Event(), []

    def slow(context: ToolContext) -> str:
        """Take long."""
        contexts.append(context)
        assert release.wait(WAIT_S)
        context.progress("still here")
        ended.set()
        return "late"

    tools = [nbchat.tool(slow, timeout=0.05), quick]
    chat = chat_of(store, [call("slow"), call("quick", "c2")], "done", "fine", tools=tools)
    asked = WAYS[way](chat, "hello")
    assert results(asked.message) == [late(0.05), "quick"]
    assert asked.message is not None
    assert (asked.message.status, asked.message.content) == ("complete", "done")
    assert [event for event in asked.events if event.kind == "tool_progress"] == []
    before = raw_rows(store, chat.id, "tool_calls")
    assert [(row["status"], row["error"]) for row in before] == [
        ("error", late(0.05)), ("ok", None),
    ]  # fmt: skip
    assert before[0]["duration_ms"] > 0
    assert contexts[0].cancelled
    release.set()
    assert ended.wait(WAIT_S)
    assert chat.ask("go on").content == "fine"
    assert raw_rows(store, chat.id, "tool_calls") == before


def test_an_async_tool_that_takes_too_long_is_cancelled(way: str, store: nbchat.Store) -> None:
    cancelled = []

    async def slow() -> None:
        """Take long."""
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(1)
            raise

    chat = chat_of(store, [call("slow")], "done", tools=[nbchat.tool(slow, timeout=0.05)])
    assert results(WAYS[way](chat, "hello").message) == [late(0.05)]
    assert cancelled == [1]


def test_a_timeout_of_the_tools_own_is_told_as_its_error(store: nbchat.Store) -> None:
    def slow() -> None:
        """Give up."""
        raise TimeoutError("the database did not answer")

    chat = chat_of(store, [call("slow")], "done", tools=[nbchat.tool(slow, timeout=WAIT_S)])
    assert results(chat.ask("hello")) == ["TimeoutError: the database did not answer"]


# How many at once ---------------------------------------------------------------------------


def test_no_more_calls_run_at_once_than_may_and_their_order_is_kept(
    way: str, store: nbchat.Store
) -> None:
    pair, lock, running, most = threading.Barrier(2, timeout=WAIT_S), threading.Lock(), [0], [0]

    def work(number: int) -> int:
        """Work with one other."""
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        pair.wait()
        with lock:
            running[0] -= 1
        return number

    calls = [call("work", number=number) for number in range(6)]
    chat = chat_of(store, calls, "done", tools=[work], tool_concurrency=2)
    ended = WAYS[way](chat, "hello")
    assert results(ended.message) == [str(number) for number in range(6)]
    assert most == [2]
    assert columns(chat, "seq", "result") == [(n + 1, str(n)) for n in range(6)]


def test_rows_and_results_are_in_order_though_the_calls_end_in_reverse(
    way: str, store: nbchat.Store
) -> None:
    ended = [threading.Event() for _ in range(5)]
    ended[4].set()
    order: list[int] = []

    async def work(number: int) -> int:
        """End after the next."""
        await asyncio.to_thread(ended[number + 1].wait, WAIT_S)
        return number

    chat = chat_of(store, [call("work", number=n) for n in range(4)], "done", tools=[work])

    def tell(end: Any) -> None:
        order.append(end.arguments["number"])
        ended[end.arguments["number"]].set()

    chat.on_tool_end(tell)
    message = WAYS[way](chat, "hello").message
    assert order == [3, 2, 1, 0]
    assert results(message) == ["0", "1", "2", "3"]
    assert columns(chat, "seq", "result") == [(1, "0"), (2, "1"), (3, "2"), (4, "3")]


def test_one_at_a_time_is_in_order(store: nbchat.Store) -> None:
    order: list[int] = []

    def work(number: int) -> None:
        """Work."""
        order.append(number)

    calls = [call("work", number=number) for number in range(8)]
    chat = chat_of(store, calls, "done", tools=[work], tool_concurrency=1)
    chat.ask("hello")
    assert order == list(range(8))


def test_a_limit_of_calls_at_once_is_stored(store: nbchat.Store) -> None:
    chat = chat_of(store, tool_concurrency=1)
    loaded = nbchat.load_chat(chat.id, store=store)
    assert loaded is not None
    assert loaded._settings.tool_concurrency == 1
    for wrong in (0, -1, True, "2", 1.5):
        with pytest.raises(nbchat.NbchatError, match="is not a number above 0"):
            chat_of(store, tool_concurrency=wrong)


# How many rounds ----------------------------------------------------------------------------


@pytest.mark.parametrize("most", [0, 1, 3])
@pytest.mark.parametrize("of_ask", [False, True])
def test_exactly_so_many_rounds_of_tools_run(
    way: str, most: int, of_ask: bool, store: nbchat.Store
) -> None:
    ran: list[int] = []

    def look() -> None:
        """Look."""
        ran.append(1)

    rounds = [[call("look"), call("look", "c2")]] * (most + 1)
    limits = ({"max_tool_rounds": 7}, {"max_tool_rounds": most})
    chat = chat_of(store, *rounds, tools=[look], **limits[not of_ask])
    ended = WAYS[way](chat, "hello", **(limits[1] if of_ask else {}))
    assert isinstance(ended.error, nbchat.ToolRoundsExceeded)
    assert f"after {most} rounds" in str(ended.error)
    assert len(ran) == 2 * most
    assert columns(chat, "round", "seq", "status") == [
        (number, seq, "ok") for number in range(1, most + 1) for seq in (1, 2)
    ]
    assert len(raw_rows(store, chat.id, "requests")) == most + 1
    assert chat.messages()[-1].status == "stopped"
    assert pending(store, chat.id) == []


def test_a_turn_that_needs_all_its_rounds_is_complete(way: str, store: nbchat.Store) -> None:
    chat = chat_of(store, *[[call("quick")]] * 3, "done", tools=[quick], max_tool_rounds=3)
    ended = WAYS[way](chat, "hello")
    assert ended.message is not None
    assert (ended.message.status, ended.message.content) == ("complete", "done")


# Which tools a model has to call ------------------------------------------------------------


CHOICES = {
    ("openai", "required"): ["required", "auto", "required"],
    ("openai", "quick"): [
        {"type": "function", "function": {"name": "quick"}}, "auto",
        {"type": "function", "function": {"name": "quick"}},
    ],
    ("openai", "none"): ["none"] * 3,
    ("openai", "auto"): ["auto"] * 3,
    ("anthropic", "required"): [{"type": "any"}, {"type": "auto"}, {"type": "any"}],
    ("anthropic", "quick"): [
        {"type": "tool", "name": "quick"}, {"type": "auto"}, {"type": "tool", "name": "quick"},
    ],
    ("anthropic", "none"): [{"type": "none"}] * 3,
    ("anthropic", "auto"): [{"type": "auto"}] * 3,
}  # fmt: skip


@pytest.mark.parametrize(("provider", "choice"), CHOICES)
def test_a_choice_that_forces_a_tool_holds_until_one_was_called(
    provider: str, choice: str, store: nbchat.Store
) -> None:
    with ReplayServer(said(call("quick")), "done", "fine") as server:
        chat = nbchat.create_chat(
            f"{provider}/x", base_url=server.url, store=store, tools=[quick], tool_choice=choice
        )
        chat.ask("hello")
        chat.ask("again")
        sent = [request.json["tool_choice"] for request in server.requests]
    assert sent == CHOICES[provider, choice]


# What ends them -----------------------------------------------------------------------------


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration,
                                   asyncio.CancelledError, BaseException])  # fmt: skip
@pytest.mark.parametrize("kind", ["sync", "async", "generator"])
def test_an_exit_that_a_tool_raises_is_an_error_like_any_other(
    kind: str, error: type[BaseException], store: nbchat.Store
) -> None:
    def sync() -> None:
        """Leave."""
        raise error

    async def leave() -> None:
        """Leave."""
        raise error

    def generator() -> Iterator[int]:
        """Leave."""
        yield 1
        raise error

    tools: dict[str, Callable[[], Any]] = {"sync": sync, "async": leave, "generator": generator}
    tool = tools[kind]
    calls = [call(tool.__name__), call("quick", "c2")]
    chat = chat_of(store, calls, "done", tools=[tool, quick])
    message = chat.ask("hello")
    assert (message.status, message.content) == ("complete", "done")
    said_of_it, other = results(message)
    assert other == "quick"
    assert error.__name__ in said_of_it or "StopIteration" in said_of_it
    assert columns(chat, "status") == [("error",), ("ok",)]


def finish() -> None:
    """Give the answer."""
    raise nbchat.Halt("the answer")


def explode() -> None:
    """End everything."""
    raise nbchat.ToolError("exploded", fatal=True)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_halt_among_parallel_calls_is_the_answer_when_all_have_ended(
    way: str, place: int, store: nbchat.Store
) -> None:
    ended = threading.Event()

    def work() -> str:
        """Work on after the halt."""
        assert ended.wait(WAIT_S)
        return "worked"

    calls = [call("work"), call("work")]
    calls.insert(place, call("finish"))
    chat = chat_of(store, calls, tools=[work, finish])
    chat.on_tool_end(lambda end: ended.set())
    asked = WAYS[way](chat, "hello")
    assert asked.message is not None
    assert (asked.message.status, asked.message.content) == ("complete", "the answer")
    told = ["worked", "worked"]
    told.insert(place, "the answer")
    assert columns(chat, "status", "result") == [("ok", text) for text in told]
    assert len(raw_rows(store, chat.id, "requests")) == 1


@pytest.mark.parametrize("place", [0, 1])
def test_a_fatal_error_among_parallel_calls_ends_the_turn_when_all_have_ended(
    way: str, place: int, store: nbchat.Store
) -> None:
    calls = [call("quick")]
    calls.insert(place, call("explode"))
    chat = chat_of(store, calls, tools=[quick, explode])
    ended = WAYS[way](chat, "hello")
    assert isinstance(ended.error, nbchat.ToolError)
    assert sorted(columns(chat, "status", "result", "error")) == [
        ("error", None, "exploded"), ("ok", "quick", None),
    ]  # fmt: skip
    message = chat.messages()[-1]
    assert message.status == "stopped"
    assert message.error == {"type": "ToolError", "message": "exploded"}


@pytest.mark.parametrize(("first", "second"), [("finish", "explode"), ("explode", "finish")])
def test_of_a_halt_and_a_fatal_error_the_first_call_wins(
    first: str, second: str, store: nbchat.Store
) -> None:
    chat = chat_of(store, [call(first), call(second)], tools=[finish, explode])
    ended = WAYS["ask"](chat, "hello")
    assert (ended.error is None) == (first == "finish")
    assert sorted(columns(chat, "status")) == [("error",), ("ok",)]
    assert pending(store, chat.id) == []


@pytest.mark.parametrize("way", STREAMED)
def test_a_call_that_waits_for_later_beside_a_halt_is_closed(way: str, store: nbchat.Store) -> None:
    tools = [finish, nbchat.tool(quick, policy="confirm")]
    chat = chat_of(store, [call("quick"), call("finish")], tools=tools, confirm="later")
    ended = WAYS[way](chat, "hello")
    assert ended.message is not None
    assert (ended.message.status, ended.message.content) == ("complete", "the answer")
    assert columns(chat, "status") == [("stopped",), ("ok",)]
    assert chat.approvals() == []
