"""STOP, CONTINUE and RETRY: what an error hook decides is done, the same in all four ways."""

from pathlib import Path
from typing import Any

import pytest
from four_ways import WAYS
from stored_rows import pending, raw_rows, stored_rows

import nbchat
from nbchat.engine.moves import ATTEMPTS
from nbchat.engine.turn import MOST_RETRIES
from nbchat.hooks import CONTINUE, RETRY, STOP
from nbchat.messages import ToolCall
from nbchat.testing import Answer, ReplayServer, said, scripted

PROVIDERS = ("openai", "anthropic")
DOWN = Answer(503, {"retry-after": "0"}, b'{"error": {"type": "x", "message": "down"}}')
REFUSED = Answer(400, {}, b'{"error": {"type": "x", "message": "no"}}')


@pytest.fixture
def store(tmp_path: Path) -> nbchat.Store:
    return nbchat.open_store(tmp_path / "chats.duckdb")


class Flaky:
    """A tool that fails a number of times, and then works."""

    def __init__(self, failures: int, error: Exception) -> None:
        self.failures = failures
        self.error = error

    def tool(self) -> Any:
        def work() -> str:
            """Work, at last."""
            self.failures -= 1
            if self.failures >= 0:
                raise self.error
            return "worked"

        return work


def with_tool(
    store: nbchat.Store, error: Exception, failures: int = 99, **more: Any
) -> nbchat.Chat:
    replies = ["so ", ToolCall("work", {}, "c1")], "done"
    return nbchat.create_chat(
        "function/x", store=store, respond=scripted(replies),
        tools=[Flaky(failures, error).tool()], **more,
    )  # fmt: skip


def executions(chat: nbchat.Chat) -> list[tuple[Any, ...]]:
    rows = raw_rows(chat.store, chat.id, "tool_calls")
    told = ("attempt", "status", "result", "error")
    found = [tuple(row[name] for name in told) for row in rows]
    return sorted(found)


def attempts(chat: nbchat.Chat) -> list[Any]:
    return [row["status_code"] for row in raw_rows(chat.store, chat.id, "requests")]


FAILED = ValueError("it failed")
FATAL = nbchat.ToolError("it failed", fatal=True)
TOLD = {FAILED: "ValueError: it failed", FATAL: "it failed"}


@pytest.mark.parametrize(
    ("error", "decision", "ends"),
    [
        (FAILED, None, False), (FAILED, CONTINUE, False), (FAILED, STOP, True),
        (FATAL, None, True), (FATAL, CONTINUE, False), (FATAL, STOP, True),
        (FAILED, "stop", True), (FATAL, "Continue", False),
    ],
)  # fmt: skip
def test_stop_ends_the_turn_with_a_tools_error_and_continue_tells_the_model(
    error: Exception, decision: Any, ends: bool, store: nbchat.Store
) -> None:
    rows = []
    for way in WAYS.values():
        chat = with_tool(store, error).on_error(lambda error: decision)
        ended = way(chat, "hello")
        assert ended.error is (error if ends else None)
        assert executions(chat) == [(1, "error", None, TOLD[error])]
        last = chat.messages()[-1]
        reason = {"type": type(error).__name__, "message": "it failed"}
        assert (last.status, last.content, last.error) == (
            ("stopped", "so ", reason) if ends else ("complete", "so done", None)
        )
        rows.append(stored_rows(store, chat.id, ttft=False))
    assert rows == [rows[0]] * len(WAYS)
    assert pending(store) == []


def test_retry_runs_a_tool_again_as_a_row_of_its_own(store: nbchat.Store) -> None:
    rows = []
    for way in WAYS.values():
        ended_calls: list[Any] = []
        chat = with_tool(store, FAILED, failures=1).on_error(lambda error: RETRY)
        chat.on_tool_end(ended_calls.append)
        ended = way(chat, "hello")
        assert ended.error is None
        assert executions(chat) == [
            (1, "error", None, "ValueError: it failed"),
            (2, "ok", "worked", None),
        ]
        assert [(event.attempt, event.status) for event in ended_calls] == [(1, "error"), (2, "ok")]
        told = [part.content for part in chat.messages()[-1].parts if part.kind == "tool_result"]
        assert told == ["worked"]
        tools = [(e.kind, e.attempt) for e in ended.events if e.kind.startswith("tool_")]
        assert tools in ([], [("tool_start", 1), ("tool_end", 1), ("tool_start", 2),
                              ("tool_end", 2)])  # fmt: skip
        rows.append(stored_rows(store, chat.id, ttft=False))
    assert rows == [rows[0]] * len(WAYS)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("error", [FAILED, FATAL])
def test_retries_of_a_tool_have_an_end_and_then_it_is_as_without_them(
    error: Exception, way: str, store: nbchat.Store
) -> None:
    chat = with_tool(store, error).on_error(lambda error: RETRY)
    ended = WAYS[way](chat, "hello")
    assert executions(chat) == [
        (number, "error", None, TOLD[error]) for number in range(1, ATTEMPTS + 1)
    ]
    assert ended.error is (None if error is FAILED else error)
    assert pending(store) == []


@pytest.mark.parametrize("way", WAYS)
def test_the_first_hook_that_decides_has_it_and_all_are_told(way: str, store: nbchat.Store) -> None:
    told: list[str] = []

    def decides(name: str, decision: Any) -> Any:
        def decide(error: Exception) -> Any:
            told.append(name)
            return decision

        return decide

    class Layer:
        def __init__(self, name: str) -> None:
            self.on_error = decides(name, None)

    chat = with_tool(store, FATAL, middleware=[Layer("outer"), Layer("inner")])
    chat.on_error(decides("first", None)).on_error(decides("second", CONTINUE))
    chat.on_error(decides("third", STOP))
    assert WAYS[way](chat, "hello").error is None
    assert told == ["inner", "outer", "first", "second", "third"]


@pytest.mark.parametrize("way", WAYS)
def test_what_is_no_decision_is_the_callers_mistake(way: str, store: nbchat.Store) -> None:
    chat = with_tool(store, FAILED).on_error(lambda error: "maybe")
    ended = WAYS[way](chat, "hello")
    assert isinstance(ended.error, nbchat.ConfigError)
    assert "gave 'maybe'. Give STOP, CONTINUE, RETRY or None." in str(ended.error)
    assert chat.messages()[-1].status == "stopped"
    assert pending(store) == []


# Errors of the provider -----------------------------------------------------------------------


def at(server: ReplayServer, provider: str, store: nbchat.Store) -> nbchat.Chat:
    return nbchat.create_chat(f"{provider}/x", base_url=server.url, store=store)


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("way", WAYS)
def test_stop_gives_up_what_would_have_been_sent_again(
    provider: str, way: str, store: nbchat.Store
) -> None:
    with ReplayServer(DOWN, said("never")) as server:
        chat = at(server, provider, store).on_error(lambda error: STOP)
        ended = WAYS[way](chat, "hello")
    assert isinstance(ended.error, nbchat.ServerError)
    assert (len(server.requests), attempts(chat)) == (1, [503])
    assert [(m.role, m.status) for m in chat.messages()] == [("user", "failed")]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_retry_sends_again_what_would_have_been_given_up(
    provider: str, store: nbchat.Store
) -> None:
    rows = []
    for way in WAYS.values():
        with ReplayServer(REFUSED, said("at last")) as server:
            chat = at(server, provider, store).on_error(lambda error: RETRY)
            ended = way(chat, "hello")
        assert ended.error is None
        assert [event.kind for event in ended.events if event.kind == "retry"] in ([], ["retry"])
        assert attempts(chat) == [400, 200]
        sent = [{**received.json, "stream": None} for received in server.requests]
        assert sent[0] == sent[1]
        rows.append(stored_rows(store, chat.id, ttft=False))
    assert rows == [rows[0]] * len(WAYS)


@pytest.mark.parametrize("way", WAYS)
def test_retries_of_a_request_have_an_end(way: str, store: nbchat.Store) -> None:
    with ReplayServer(*[REFUSED] * 99) as server:
        chat = at(server, "openai", store).on_error(lambda error: RETRY)
        ended = WAYS[way](chat, "hello")
    assert isinstance(ended.error, nbchat.BadRequest)
    assert len(server.requests) == MOST_RETRIES
    assert attempts(chat) == [400] * MOST_RETRIES


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("decision", [None, CONTINUE])
def test_none_and_continue_leave_a_providers_error_as_it_is(
    decision: Any, way: str, store: nbchat.Store
) -> None:
    with ReplayServer(DOWN, REFUSED, said("never")) as server:
        chat = at(server, "openai", store).on_error(lambda error: decision)
        ended = WAYS[way](chat, "hello")
    assert isinstance(ended.error, nbchat.BadRequest)
    assert attempts(chat) == [503, 400]


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_sent_again_once_a_byte_of_the_answer_was_there(
    provider: str, way: str, store: nbchat.Store
) -> None:
    cut = Answer(headers={"content-type": "text/event-stream"}, body=[b"event: ping\n"], cut=True)
    with ReplayServer(cut, said("never")) as server:
        chat = at(server, provider, store).on_error(lambda error: RETRY)
        ended = WAYS[way](chat, "hello")
    assert isinstance(ended.error, nbchat.ProviderError)
    assert (len(server.requests), attempts(chat)) == (1, [200])
