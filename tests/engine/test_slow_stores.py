"""However slow a store is and whoever else asks: each row is in its order and in its turn."""

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from crashes import Child, assert_healthy
from four_ways import WAYS
from resuming import goes_on, half
from stored_rows import raw_rows, stored_rows
from two_rounds import (
    NAMES,
    QUESTION,
    assert_attributed,
    assert_ended,
    content,
    log_beside,
    marking,
    open_looping,
    ran,
    respond,
)

import nbchat
from nbchat.messages import ToolResult
from nbchat.testing import Gate

MOST_S = 0.02


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chats.duckdb"


@pytest.fixture
def dice() -> random.Random:
    seed = random.randrange(10**9)
    print(f"seed {seed}")  # shown when the test fails
    return random.Random(seed)


def slow_down(store: nbchat.Store, dice: random.Random) -> None:
    """Have every transaction wait before its work and after it, elsewhere each time."""
    transact = store.transact

    def slowly(work: Callable[[Any], Any], **how: Any) -> Any:
        threading.Event().wait(dice.uniform(0, MOST_S))
        given = transact(work, **how)
        threading.Event().wait(dice.uniform(0, MOST_S))
        return given

    store.transact = slowly  # type: ignore[method-assign]  # a disk that is far away


@pytest.mark.parametrize("way", WAYS)
def test_a_row_is_there_before_what_comes_after_it(
    path: Path, dice: random.Random, way: str
) -> None:
    store = nbchat.open_store(path)
    mark, seen = marking(log_beside(path)), []

    def looking(name: str) -> Any:
        """The row of a call is there, and pending, when its body begins."""
        rows = raw_rows_now(store, chat.id, "tool_calls")
        [row] = [row for row in rows if name in row["arguments"]]
        seen.append((name, row["status"]))
        return mark(name)

    def answering(request: Any) -> Iterator[Any]:
        """All that was said and all results are stored when the next request is made."""
        last = request.messages[-1]
        [stored] = raw_rows_now(store, chat.id, "messages")[-1:]
        told = [part.content for part in last.parts if isinstance(part, ToolResult)]
        assert all(f'"{text}"' in stored["parts"] for text in told)
        rows = raw_rows_now(store, chat.id, "tool_calls")
        assert [(row["status"], row["result"]) for row in rows] == [("ok", text) for text in told]
        assert len(raw_rows_now(store, chat.id, "requests")) == len(told) // 2
        yield from respond(request)

    looking.__name__ = "mark"
    chat = nbchat.create_chat("function/x", respond=answering, store=store, tools=[looking])
    undisturbed = nbchat.create_chat("function/x", respond=respond, store=store, tools=[mark])
    undisturbed.ask(QUESTION)
    slow_down(store, dice)
    ended = WAYS[way](chat, QUESTION)
    assert ended.error is None
    assert_ended(chat.messages()[-1])
    assert sorted(seen) == [(f"{QUESTION} {name}", "pending") for name in NAMES]
    assert stored_rows(store, chat.id, ttft=False) == stored_rows(store, undisturbed.id, ttft=False)
    assert_attributed(chat)


def raw_rows_now(store: nbchat.Store, chat_id: str, table: str) -> list[dict[str, Any]]:
    """As `raw_rows`, without the store's delays."""
    slowly = store.__dict__.pop("transact", None)
    try:
        return raw_rows(store, chat_id, table)
    finally:
        if slowly is not None:
            store.transact = slowly  # type: ignore[method-assign]


def answers(chat: nbchat.Chat) -> dict[str, str]:
    """What was answered to each question; each has its own right after it."""
    messages = chat.messages()
    pairs = list(zip(messages[::2], messages[1::2], strict=True))
    for number, (user, answer) in enumerate(pairs, start=1):
        assert (user.role, answer.role, answer.parent_id) == ("user", "assistant", user.id)
        assert (user.turn, answer.turn) == (number, number)
        assert_ended(answer, user.content)
    return {user.content: answer.content for user, answer in pairs}


def test_two_chats_in_two_threads_never_misattribute_a_row(path: Path, dice: random.Random) -> None:
    chats = [open_looping(path, "chat") for _ in "ab"]
    slow_down(chats[0].store, dice)
    questions = [[f"{letter}{number}?" for number in range(3)] for letter in "ab"]
    together = threading.Barrier(2, timeout=60)

    def take(place: int) -> None:
        together.wait()
        for number, question in enumerate(questions[place]):
            way = list(WAYS.values())[(number + place) % 4]
            assert way(chats[place], question).error is None

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(take, range(2)))
    everything = [*questions[0], *questions[1]]
    assert answers(chats[0]) == {question: content(question) for question in everything}
    assert ran(log_beside(path)) == {f"{q} {name}": 1 for q in everything for name in NAMES}
    assert_attributed(chats[0])


def test_two_processes_on_one_chat_never_misattribute_a_row(path: Path) -> None:
    chat = open_looping(path, "chat")
    theirs = [[f"{letter}{number}?" for number in range(4)] for letter in "ab"]
    ours = [f"our {number}?" for number in range(4)]
    children = [Child("take", path, "chat", ",".join(questions)) for questions in theirs]
    for question in ours:
        assert chat.ask(question).content == content(question)
    assert [child.end() for child in children] == [b'"taken"\n'] * 2
    everything = [*ours, *theirs[0], *theirs[1]]
    assert answers(chat) == {question: content(question) for question in everything}
    assert ran(log_beside(path)) == {f"{q} {name}": 1 for q in everything for name in NAMES}
    assert_attributed(chat)
    assert_healthy(chat.store)


def stopped(path: Path) -> nbchat.Chat:
    """A chat whose turn was stopped in its first reply."""
    gate = Gate()
    chat = open_looping(path, "chat")
    chat._own.respond = lambda request: half(gate)
    stream = chat.ask_stream(QUESTION)
    gate.wait_reached()
    stream.close()
    gate.open()
    chat._own.respond = respond
    return chat


def test_of_many_that_resume_at_once_one_does(path: Path, dice: random.Random) -> None:
    chat = stopped(path)
    child = Child("loop", path, "chat", 99, "after", "resume", "")
    slow_down(chat.store, dice)
    together = threading.Barrier(3, timeout=60)

    def resume(number: int) -> Any:
        other = open_looping(path, "chat")
        together.wait()
        try:
            return other.resume()
        except nbchat.ConfigError as error:
            return error

    with ThreadPoolExecutor(3) as pool:
        ended = list(pool.map(resume, range(3)))
    said = child.end()
    done = [given for given in ended if isinstance(given, nbchat.Message)]
    assert len(done) + (said == b'"start"\n"survived"\n') == 1
    assert_ended(chat.messages()[-1])
    assert ran(log_beside(path)) == {f"{QUESTION} {name}": 1 for name in NAMES}
    assert_attributed(chat)


def test_a_question_asked_while_a_turn_is_resumed_has_a_turn_of_its_own(
    path: Path, dice: random.Random
) -> None:
    chat = stopped(path)
    slow_down(chat.store, dice)
    gate = Gate()

    def holding(request: Any) -> Iterator[Any]:
        yield from respond(request)
        if not gate.reached.done():
            gate.reached.set_result(None)
            gate.opened.result(30)

    chat._own.respond = holding
    other = open_looping(path, "chat")
    with ThreadPoolExecutor(2) as pool:
        resumed = pool.submit(chat.resume)
        gate.wait_reached()
        asked = pool.submit(other.ask, "and this?")
        gate.open()
        assert_ended(resumed.result(60))
        assert_ended(asked.result(60), "and this?")
    assert answers(goes_on(chat, [])) == {
        question: content(question) for question in (QUESTION, "and this?")
    }
    assert_attributed(chat)
