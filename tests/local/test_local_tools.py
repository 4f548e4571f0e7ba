"""The embedded model calls tools, for real: llama.cpp with SmolLM2 writes every call.

Asserts structure, never wording or which of several tools was chosen freely. Skipped, and
said so, only where the `local` extra is not installed.
"""

import json
from collections.abc import Callable
from enum import Enum
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

import nbchat
from nbchat.local import engine, weights

MODEL = weights.DEFAULT_MODEL
MOST_TOKENS = 250  # every argument of these tools has an end, free answers may have none
FEW_TOKENS = 60
CUT_TOKENS = 28  # enough to begin a call of `pack`, too few to end one

Ask = Callable[..., nbchat.Message]


class Size(Enum):
    SMALL = "small"
    LARGE = "large"


class Box(BaseModel):
    lid: bool
    height: int = Field(ge=1, le=9)


@pytest.fixture(scope="module")
def model():
    """The pulled model's full name; its engine is ended after the last of these tests."""
    if find_spec("xllamacpp") is None:
        pytest.skip("xllamacpp is not importable: install the `local` extra")
    weights.pull(MODEL)
    yield f"local/{MODEL}"
    engine.ENGINES.close()


@pytest.fixture
def store(tmp_path):
    """The path of a fresh store."""
    return tmp_path / "chats.duckdb"


def plain(chat: nbchat.Chat, text: str, **options: Any) -> nbchat.Message:
    return chat.ask(text, **options)


def streamed(chat: nbchat.Chat, text: str, **options: Any) -> nbchat.Message:
    events = list(chat.ask_stream(text, **options))
    shown = "".join(event.content for event in events if event.kind == "text")
    assert shown == events[-1].message.content
    return events[-1].message


def calls_in(store: Path) -> list[dict[str, Any]]:
    """The rows of all calls, in order."""
    rows = nbchat.sql(
        "select name, arguments, status, result, error from tool_calls order by turn, round, seq",
        store=store,
    ).to_dict("records")
    return [row | {"arguments": json.loads(row["arguments"])} for row in rows]


def pack(count: int, item: Literal["apple", "pear"], size: Size, box: Box) -> str:
    """Pack fruit."""
    assert (type(count), type(size), type(box)) == (int, Size, Box)
    raise nbchat.Halt(f"{count} {item}")


def stock(item: Literal["apple", "pear"]) -> int:
    """How many of an item are in stock."""
    return len(item)


def clock() -> str:
    """What time it is."""
    raise nbchat.Halt("noon")


@pytest.mark.parametrize("ask", [plain, streamed])
def test_a_required_call_has_arguments_that_its_tool_takes(model, store, ask):
    chat = nbchat.create_chat(model, store=store, tools=[pack], max_tokens=MOST_TOKENS)

    answer = ask(chat, "Pack two apples.", tool_choice="required", temperature=0)

    [row] = calls_in(store)
    arguments = row["arguments"]
    assert (row["name"], row["status"]) == ("pack", "ok")
    assert arguments.keys() == {"count", "item", "size", "box"}
    assert answer.status == "complete"
    assert answer.content == f"{arguments['count']} {arguments['item']}"


def test_a_named_tool_is_called_among_several(model, store):
    chat = nbchat.create_chat(model, store=store, tools=[stock, clock], max_tokens=MOST_TOKENS)

    answer = streamed(chat, "How many pears are there?", tool_choice="clock")

    assert [(row["name"], row["arguments"], row["status"]) for row in calls_in(store)] == [
        ("clock", {}, "ok")
    ]
    assert (answer.status, answer.content) == ("complete", "noon")


def test_a_call_and_its_result_are_read_by_the_model_in_the_next_round(model, store):
    chat = nbchat.create_chat(
        model, store=store, tools=[stock, clock], max_tokens=FEW_TOKENS, max_tool_rounds=1
    )

    asked = ended(chat, "How many apples are in stock?", tool_choice="stock")

    [row] = calls_in(store)
    assert (row["name"], row["status"], row["result"]) == (
        "stock",
        "ok",
        str(stock(**row["arguments"])),
    )
    requests = nbchat.sql(
        "select status_code, input_tokens from requests order by round", store=store
    )
    assert list(requests["status_code"]) == [200, 200]
    assert requests["input_tokens"].is_monotonic_increasing
    assert asked


def test_a_free_choice_ends_in_an_answer_or_after_calls(model, store):
    chat = nbchat.create_chat(
        model, store=store, tools=[stock, clock], max_tokens=FEW_TOKENS, max_tool_rounds=1
    )

    how = ended(chat, "How many apples are in stock?", tool_choice="auto")

    names = {row["name"] for row in calls_in(store)}
    assert names <= {"stock", "clock"}
    assert how == "answered" or names
    assert '"tool"' not in nbchat.load_chat(chat.id, store=store).messages()[-1].content


def ended(chat: nbchat.Chat, text: str, **options: Any) -> str:
    """How the turn ended, of the ways in which it may."""
    try:
        message = chat.ask(text, **options)
    except nbchat.ToolRoundsExceeded:
        return "exceeded"
    assert message.status == "complete"
    return "answered"


def test_a_call_that_is_cut_is_refused_and_does_not_end_the_chat(model, store):
    chat = nbchat.create_chat(
        model, store=store, tools=[pack], max_tokens=CUT_TOKENS, max_tool_rounds=1
    )

    ended(chat, "Pack two apples.", tool_choice="pack", temperature=0)

    assert [row["status"] for row in calls_in(store)] == ["invalid"]
    assert chat.ask("Hello.", tool_choice="none").status == "complete"
    assert len(calls_in(store)) == 1
