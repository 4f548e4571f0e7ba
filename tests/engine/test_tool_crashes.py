"""Killed with -9 at each write of a tool loop: it goes on, and no tool with a result runs twice."""

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from crashes import Child, assert_healthy
from crashing_child import WHENS, loop
from stored_rows import raw_rows
from test_turn_differential import assert_well_formed
from two_rounds import (
    NAMES,
    QUESTION,
    TOKENS,
    answered,
    assert_attributed,
    assert_ended,
    content,
    log_beside,
    open_looping,
    ran,
    replay,
)

import nbchat
from nbchat.testing import ReplayServer

# begin; round 1 and its calls; their two ends; round 2 and its calls; their ends; the end
STEPS = 8


@pytest.fixture(scope="module")
def server() -> Iterator[ReplayServer]:
    with ReplayServer(*[replay] * 10_000) as running:
        yield running


def killed(path: Path, number: int, when: str, way: str, url: str) -> None:
    out = Child("loop", path, "chat", number, when, way, url).end()
    assert out == b'"start"\n'


def loaded(path: Path) -> nbchat.Chat:
    chat = nbchat.load_chat("chat", store=path)
    assert chat is not None
    return chat


def names(question: str = QUESTION) -> set[str]:
    return {f"{question} {name}" for name in NAMES}


def assert_calls(chat: nbchat.Chat, done: set[str], begun: Counter[str]) -> None:
    """Each call has one execution that is ok: the first, or else the one after the kill."""
    rows = raw_rows(chat.store, chat.id, "tool_calls")
    told: dict[str, list[Any]] = {}
    for row in rows:
        told.setdefault(f"{QUESTION} {row['round']}.{row['seq']}", []).append(
            (row["attempt"], row["status"])
        )
    for name in names():
        if name in done or name not in begun:
            assert told[name] == [(1, "ok")]
        else:
            assert told[name] == [(1, "stopped"), (2, "ok")]


@pytest.mark.parametrize("number", range(1, STEPS + 1))
@pytest.mark.parametrize("when", WHENS)
def test_killed_between_any_two_writes_a_turn_goes_on_or_gives_way(
    tmp_path: Path, server: ReplayServer, number: int, when: str
) -> None:
    """By turns plain and of a function, streamed and of a server; the next kill is the other."""
    is_streamed = (number + WHENS.index(when)) % 2 == 0
    way, url = ("ask_stream", server.url) if is_streamed else ("ask", "")
    path = tmp_path / "killed" / "chats.duckdb"
    path.parent.mkdir()
    killed(path, number, when, way, url)
    shutil.copytree(path.parent, tmp_path / "other")
    assert_resumed(path, number if when == "after" else number - 1, way, url)
    provider = "anthropic" if number % 2 else "openai"
    assert_asked_instead(tmp_path / "other" / path.name, server, provider)


def assert_resumed(path: Path, committed: int, way: str, url: str) -> None:
    before = ran(log_beside(path))
    chat = open_looping(path, "chat", url)
    messages = chat.messages()
    told = [(message.role, message.status) for message in messages]
    done = answered(messages[-1]) if messages else set()
    rows = {f"{QUESTION} {row['round']}.{row['seq']}"
            for row in raw_rows(chat.store, chat.id, "tool_calls")}  # fmt: skip
    if committed in (0, STEPS):
        with pytest.raises(nbchat.ConfigError):
            chat.resume()
        assert chat.messages() == messages
        if committed == 0:
            assert told == []
            return
    elif committed == 1:
        assert told == [("user", "complete")]
    else:
        assert told == [("user", "complete"), ("assistant", "interrupted")]
        assert len(done) == {2: 0, 3: 1, 4: 2, 5: 2, 6: 3, 7: 4}[committed]
        assert len(rows) == (2 if committed < 5 else 4)
    if committed < STEPS:
        loop(chat, way.replace("ask", "resume"))
    assert_ended(chat.messages()[-1])
    after = ran(log_beside(path))
    for name in names():
        assert after[name] == before[name] + (name not in done)
    assert_calls(chat, done, Counter(rows))
    assert_attributed(chat)
    requests = raw_rows(chat.store, chat.id, "requests")
    assert [(row["round"], row["attempt"]) for row in requests] == [(1, 1), (2, 1), (3, 1)]
    assert_healthy(chat.store)


def assert_asked_instead(path: Path, server: ReplayServer, provider: str) -> None:
    """Another question takes the turn's place, and no wire is sent a call without an answer."""
    before = ran(log_beside(path))
    chat = open_looping(path, "chat").with_model(f"{provider}/x", base_url=server.url, api_key="k")
    left = chat.messages()
    assert chat.ask("and this?").content == content("and this?")
    sent = server.requests[-1].json["messages"]
    assert_well_formed(sent)
    if left and left[-1].tool_calls:
        open_calls = len(left[-1].tool_calls) - len(answered(left[-1]))
        assert str(sent).count("result unavailable") == open_calls
    assert chat.messages()[: len(left)] == left
    assert ran(log_beside(path)) == before + Counter(names("and this?"))
    assert_attributed(chat)
    assert_healthy(chat.store)


# reopen; the calls that are taken up; the end of the one without a result; round 2; its two; end
@pytest.mark.parametrize("number", range(1, 8))
def test_going_on_may_be_killed_at_any_step_too(tmp_path: Path, number: int) -> None:
    when = WHENS[number % len(WHENS)]
    path = tmp_path / "chats.duckdb"
    killed(path, 3, "after", "ask", "")
    first = answered(loaded(path).messages()[-1])
    assert len(first) == 1
    killed(path, number, when, "resume", "")
    before = ran(log_beside(path))
    chat = open_looping(path, "chat")
    done = answered(chat.messages()[-1])
    assert first <= done
    if (number, when) == (7, "after"):
        assert chat.messages()[-1].status == "complete"
    else:
        assert chat.resume() == chat.messages()[-1]
    assert_ended(chat.messages()[-1])
    after = ran(log_beside(path))
    for name in names():
        assert after[name] == before[name] + (name not in done)
    assert_attributed(chat)
    assert_healthy(chat.store)


def test_killed_again_and_again_a_turn_still_comes_to_its_end(tmp_path: Path) -> None:
    """Each life has time for two more commits than beginning takes."""
    path = tmp_path / "chats.duckdb"
    killed(path, 1, "after", "ask", "")
    for _ in range(20):
        out = Child("loop", path, "chat", 3, "after", "resume", "").end()
        if out != b'"start"\n':
            break
        if loaded(path).messages()[-1].status == "complete":
            break
    chat = open_looping(path, "chat")
    message = chat.messages()[-1]
    assert_ended(message)
    assert set(ran(log_beside(path))) == names()
    assert (message.input_tokens, message.output_tokens) == TOKENS
    assert_attributed(chat)
    assert_healthy(chat.store)
