"""Random turns, stopped at any event and resumed: they end as the one that nothing stopped."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stored_rows import pending, raw_rows
from turn_scripts import MAX_TOOL_ROUNDS, TOOLS, Round, turns

import nbchat
from nbchat.messages import Message, ToolCall, ToolResult

FEW = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
SAME = ("status", "content", "parts", "thinking_text", "finish_reason", "turn", "seq", "error")


class Moments:
    """Stops a chat at the Nth moment: a request, an item of a reply, a call's start or end.

    Each is told on a thread that the turn waits for, so the stop comes before what follows.
    """

    def __init__(self) -> None:
        self.left: int | None = None
        self.stop: Callable[[], None] = lambda: None

    def come(self, *told: Any) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                self.stop()


class Stage:
    """A store, and chats whose model and tools do the same however often they are asked."""

    def __init__(self, place: Path) -> None:
        self.store = nbchat.open_store(place / "chats.duckdb")

    def chat(self, script: list[Round]) -> tuple[nbchat.Chat, Moments]:
        moments = Moments()

        def respond(request: Any) -> Iterator[Any]:
            """Plays the round that is due, by what was sent alone."""
            last = request.messages[-1]
            spoken = script[0 if last.role == "user" else last.parts[-1].round]
            for item in (*spoken.parts, spoken.usage):
                moments.come()
                yield item

        chat = nbchat.create_chat(
            "function/x", respond=respond, store=self.store, tools=TOOLS,
            max_tool_rounds=MAX_TOOL_ROUNDS,
        )  # fmt: skip
        for kind in ("request", "response", "tool_start", "tool_end"):
            getattr(chat, f"on_{kind}")(moments.come)
        moments.stop = chat.stop
        return chat, moments


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def raised_by(run: Callable[[], Any]) -> type[BaseException] | None:
    try:
        run()
    except nbchat.ToolRoundsExceeded as error:
        return type(error)
    return None


def goes_on_after_it(script: list[Round]) -> bool:
    """Whether no tool is fatal: one that was stopped beside such a call goes on after it."""
    calls = (part for spoken in script for part in spoken.parts if isinstance(part, ToolCall))
    return all(call.name != "explode" for call in calls)


def finished(message: Message) -> bool:
    return message.status == "complete" or bool(message.error)


def results(message: Message) -> dict[Any, str]:
    parts = (part for part in message.parts if isinstance(part, ToolResult))
    return {(part.round, part.seq): part.content for part in parts}


@FEW
@given(
    script=turns().filter(goes_on_after_it),
    stops=st.lists(st.integers(1, 12), min_size=1, max_size=4),
)
def test_a_turn_that_is_stopped_at_any_moment_and_resumed_ends_as_if_it_was_not(
    stage: Stage, script: list[Round], stops: list[int]
) -> None:
    undisturbed, _ = stage.chat(script)
    error = raised_by(lambda: undisturbed.ask("hello"))
    expected = undisturbed.messages()[-1]

    chat, moments = stage.chat(script)
    moments.left = stops[0]
    raised = raised_by(lambda: chat.ask("hello"))
    kept: dict[Any, str] = {}
    for stop in (*stops[1:], None):
        message = chat.messages()[-1]
        assert pending(stage.store, chat.id) == []
        if message.role == "assistant":
            assert kept.items() <= results(message).items()
            kept = results(message)
            if finished(message):
                break
        moments.left = stop
        raised = raised_by(chat.resume)
    message = chat.messages()[-1]
    assert [getattr(message, name) for name in SAME] == [getattr(expected, name) for name in SAME]
    assert raised is error
    assert_rows(chat, message)


def assert_rows(chat: nbchat.Chat, message: Message) -> None:
    """One execution with a result per result, the last one; sums and owners are right."""
    calls = raw_rows(chat.store, chat.id, "tool_calls")
    requests = raw_rows(chat.store, chat.id, "requests")
    assert {str(row["message_id"]) for row in (*calls, *requests)} == {message.id}
    places: dict[Any, list[Any]] = {}
    for row in sorted(calls, key=lambda row: row["attempt"]):
        places.setdefault((row["round"], row["seq"]), []).append(row)
    assert set(places) == set(results(message))
    for place, rows in places.items():
        assert [row["attempt"] for row in rows] == list(range(1, len(rows) + 1))
        assert {row["status"] for row in rows[:-1]} <= {"stopped"}
        assert (rows[-1]["result"] or rows[-1]["error"] or "") == results(message)[place]
    for name in ("input_tokens", "output_tokens"):
        known = [row[name] for row in requests if row[name] is not None]
        assert getattr(message, name) == (sum(known) if known else None)
    numbers = [(row["round"], row["attempt"]) for row in requests]
    assert len(set(numbers)) == len(numbers)
    assert len({row["round"] for row in requests}) == max(row["round"] for row in requests)
