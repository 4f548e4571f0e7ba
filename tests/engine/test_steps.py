"""step() makes one move: a reply or a round of tools; what it leaves, anybody can take up."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from resuming import assert_sums, calls, function_chat, goes_on, requests, told
from stored_rows import pending, raw_rows, stored_rows
from test_turn_differential import assert_well_formed
from turn_scripts import PATHS, TOOLS
from two_rounds import NAMES, QUESTION, assert_ended, content, marking, ran, replay, respond

import nbchat
from nbchat.exchange import Usage
from nbchat.messages import Thinking, ToolCall
from nbchat.testing import ReplayServer, said, scripted

ONCE = {f"{QUESTION} {name}": 1 for name in NAMES}
PAUSED = {"type": "Paused", "message": "step() made one move; step() or resume() goes on"}
# how many of its rounds, calls and requests there are after each move of a turn
MOVES = [(1, 0, 1), (1, 2, 1), (2, 2, 2), (2, 4, 2), (3, 4, 3)]


@pytest.fixture
def store(tmp_path: Path) -> nbchat.Store:
    return nbchat.open_store(tmp_path / "chats.duckdb")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "ran.txt"


def stepped(chat: nbchat.Chat, text: str) -> nbchat.Message:
    """The turn's message once its steps have brought it to its end."""
    message = chat.step(text)
    while message.error == PAUSED:
        message = chat.step()
    return message


def test_each_step_makes_one_move_and_stores_it(store: nbchat.Store, log: Path) -> None:
    chat = function_chat(store, respond, tools=[marking(log)])
    for number, (rounds, ended, sent) in enumerate(MOVES, start=1):
        message = chat.step(QUESTION) if number == 1 else chat.step()
        assert chat.messages()[-1] == message
        assert pending(store) == []
        assert message.parts[-1].round == rounds
        assert calls(chat, "attempt", "status") == [(1, "ok")] * ended
        assert sum(ran(log).values()) == ended
        assert requests(chat, "round", "attempt") == [(n, 1) for n in range(1, sent + 1)]
        assert_sums(chat)
        paused = ("complete", None) if number == len(MOVES) else ("stopped", PAUSED)
        assert (message.status, message.error) == paused
    assert_ended(message)
    assert ran(log) == ONCE
    with pytest.raises(nbchat.ConfigError):
        chat.step()


@pytest.mark.parametrize("steps", range(1, 5))
def test_after_any_step_resume_goes_to_the_end(store: nbchat.Store, log: Path, steps: int) -> None:
    chat = function_chat(store, respond, tools=[marking(log)])
    chat.step(QUESTION)
    for _ in range(steps - 1):
        chat.step()
    assert_ended(chat.resume())
    assert ran(log) == ONCE
    assert calls(chat, "attempt", "status") == [(1, "ok")] * 4
    assert requests(chat, "round", "attempt") == [(1, 1), (2, 1), (3, 1)]
    assert_sums(chat)


@pytest.mark.parametrize("provider", PATHS)
@pytest.mark.parametrize("steps", range(1, 5))
def test_after_any_step_another_question_takes_the_turns_place(
    store: nbchat.Store, log: Path, steps: int, provider: str
) -> None:
    with ReplayServer(*[replay] * 9) as server:
        chat = nbchat.create_chat(
            f"{provider}/x", base_url=server.url, api_key="k", store=store, tools=[marking(log)]
        )
        chat.step(QUESTION)
        for _ in range(steps - 1):
            chat.step()
        left, before = chat.messages(), ran(log)
        way: Callable[[str], nbchat.Message] = chat.ask if steps % 2 else chat.step
        message = way("and this?")
        assert chat.messages() == [*left, chat.messages()[-2], message]
        if steps % 2:
            assert message.content == content("and this?")
        sent = server.requests[-1].json["messages"]
        assert_well_formed(sent)
        assert str(sent).count("result unavailable") == (2 if steps in (1, 3) else 0)
    ours = {name: times for name, times in ran(log).items() if name.startswith(QUESTION)}
    assert ours == before
    assert all(row["attempt"] == 1 for row in raw_rows(store, chat.id, "tool_calls"))
    assert pending(store) == []


SCRIPT: list[Any] = [
    [Thinking("hm", "sig"), "let me see, ", ToolCall("add", {"a": 1, "b": 2}, "same"),
     ToolCall("add", {"a": "x"}, "same"), ToolCall("nobody", {}, "c3"),
     ToolCall("fail", {}, "c4"), Usage(10, 5)],
    [ToolCall("echo", {"text": "so"}, "c1"), Usage(20, 6)],
    ["done", Usage(30, 7)],
]  # fmt: skip
HALTED = [*SCRIPT[:1], [ToolCall("finish", {"answer": "so"}, "c1"), Usage(1, 1)]]


@pytest.mark.parametrize("script", [SCRIPT, HALTED], ids=["done", "halted"])
@pytest.mark.parametrize("provider", [*PATHS, "function"])
def test_a_turn_made_of_steps_is_the_same_rows_as_one_that_was_asked(
    store: nbchat.Store, provider: str, script: list[Any]
) -> None:
    rows = []
    for way in (nbchat.Chat.ask, stepped):
        replies = [said(*parts, usage=usage) for *parts, usage in script]
        with ReplayServer(*replies) as server:
            options: dict[str, Any] = {"respond": scripted(script)}
            if provider != "function":
                options = {"base_url": server.url, "api_key": "k"}
            chat = nbchat.create_chat(f"{provider}/x", store=store, tools=TOOLS, **options)
            way(chat, "hello")
            bodies = [request.body for request in server.requests]
        rows.append((stored_rows(store, chat.id), bodies))
    assert rows[0] == rows[1]


def test_every_move_may_be_made_by_another_chat_object(store: nbchat.Store, log: Path) -> None:
    message = function_chat(store, respond, name="one", tools=[marking(log)]).step(QUESTION)
    for _ in MOVES[1:]:
        assert message.error == PAUSED
        other = nbchat.load_chat("one", store=store, respond=respond, tools=[marking(log)])
        assert other is not None
        message = other.step()
    assert_ended(message)
    assert ran(log) == ONCE


def test_steps_get_exactly_as_many_rounds_of_tools_as_a_turn_may_have(store: nbchat.Store) -> None:
    def forever(request: Any) -> Any:
        return ToolCall("echo", {"text": "again"}, "c")

    chat = function_chat(store, forever, tools=TOOLS, max_tool_rounds=2)
    for times in (1, 2, 3):
        with pytest.raises(nbchat.ToolRoundsExceeded):  # noqa: PT012
            message = chat.step("hello") if times == 1 else chat.step()
            while message.error == PAUSED:
                message = chat.step()
        assert calls(chat, "round", "status") == [(n, "ok") for n in range(1, 2 * times + 1)]
        assert len(requests(chat)) == 2 * times + 1


def test_a_step_that_fails_keeps_what_the_steps_before_it_made(store: nbchat.Store) -> None:
    refused = nbchat.BadRequest("no", status=400)
    call = ["so ", ToolCall("echo", {"text": "1"}, "c1"), Usage(10, 5)]
    chat = function_chat(store, [refused, call, refused, ["done", Usage(1, 1)]], tools=TOOLS)
    with pytest.raises(nbchat.BadRequest):
        chat.step("hello")
    assert told(chat) == [("user", "failed", "hello")]
    chat.step("hello")
    chat.step()
    with pytest.raises(nbchat.BadRequest):
        chat.step()
    assert told(chat)[1:] == [("user", "complete", "hello"), ("assistant", "stopped", "so ")]
    assert chat.messages()[-1].error == {"type": "BadRequest", "message": "no"}
    message = chat.step()
    assert (message.status, message.content) == ("complete", "so done")
    assert calls(chat, "attempt", "status") == [(1, "ok")]


def test_a_step_waits_for_a_tool_that_ends_the_turn(store: nbchat.Store) -> None:
    chat = function_chat(store, [["so ", ToolCall("explode", {}, "c1")]], tools=TOOLS)
    chat.step("hello")
    with pytest.raises(nbchat.ToolError, match="exploded"):
        chat.step()
    assert calls(chat, "status", "attempt") == [("error", 1)]
    assert goes_on(chat, ["done"]).step().content == "so done"
