"""The panel's blocks: live ones become the stored message's, and only `html` is HTML."""

import json
from itertools import pairwise

import pytest
from attacks import ATTACKS
from hypothesis import given, settings
from hypothesis import strategies as st
from page import Page
from test_hostile_text import hostile_answer, hostile_messages
from test_live import TEXT

from nbchat.events import (
    ApprovalEvent,
    DoneEvent,
    RetryEvent,
    TextEvent,
    ThinkingEvent,
    ToolEndEvent,
    ToolProgressEvent,
    ToolStartEvent,
)
from nbchat.messages import Message, Text, ToolCall, ToolResult
from nbchat.render.blocks import approval_nonce, changed_from, growth, message_blocks
from nbchat.render.live import LiveAnswer
from nbchat.render.plain import CONTROLS

MATH = ["$", "$$", "$$\n", "\\(", "\\)", "\\[\n", "\\]", "x^2", "\\frac{a}{b}"]
PIECES = st.lists(st.sampled_from([*MATH, "\n", "\n\n", "a", "- ", "> ", "`"])).map("".join)


@settings(deadline=None)
@given(st.one_of(TEXT, PIECES), st.data())
def test_cut_anywhere_live_blocks_are_the_stored_message_s(text: str, data: st.DataObject) -> None:
    edges = sorted({0, len(text), *data.draw(st.sets(st.integers(0, len(text))))})
    answer = LiveAnswer(math=True)

    for start, end in pairwise(edges):
        answer.feed(TextEvent("m", text[start:end]))
        answer.blocks()

    message = Message("m", "c", "assistant", text, parts=(Text(text),))
    assert answer.blocks() == message_blocks(message)


@settings(deadline=None)
@given(st.one_of(TEXT, PIECES, st.text()), st.sampled_from([TextEvent, ThinkingEvent]), st.data())
def test_what_a_block_grew_by_makes_the_page_s_blocks_the_kernel_s(
    text: str, kind: type, data: st.DataObject
) -> None:
    edges = sorted({0, len(text), *data.draw(st.sets(st.integers(0, len(text))))})
    answer = LiveAnswer(math=True)
    here: list[dict[str, object]] = []
    key = "html" if kind is TextEvent else "text"

    for start, end in pairwise(edges):
        answer.feed(kind("m", text[start:end]))
        blocks = answer.blocks()
        first = changed_from(here, blocks)
        grown = growth(here, blocks, first)
        if grown is not None:
            # as JavaScript counts
            units = str(here[-1][key]).encode("utf-16-le", "surrogatepass")
            kept = units[: 2 * grown["keep"]].decode("utf-16-le", "surrogatepass")
            here[-1:] = [here[-1] | {key: kept + grown["rest"]}, *grown.get("more", [])]
        elif first is not None:
            here[first:] = blocks[first:]

        assert here == blocks


def test_each_top_level_block_of_the_text_is_a_block() -> None:
    message = Message("m", "c", "assistant", parts=(Text("# a\n\nb *c*\n\n- d\n- e\n\n---"),))

    assert [Page(block["html"]).tags for block in message_blocks(message)] == [
        ["h1"],
        ["p", "em"],
        ["ul", "li", "li"],
        ["hr"],
    ]


def test_thinking_is_open_only_while_it_comes() -> None:
    answer = LiveAnswer()
    answer.feed(ThinkingEvent("m", "hm"))
    during = answer.blocks()
    answer.feed(TextEvent("m", "so"))

    assert during == [{"kind": "think", "text": "hm", "open": True, "label": "Thinking…"}]
    assert answer.blocks()[0] == {"kind": "think", "text": "hm", "open": False, "label": "Thought"}


def test_an_ended_answer_leaves_no_thinking_open_and_says_why() -> None:
    answer = LiveAnswer()
    answer.feed(ThinkingEvent("m", "hm"))
    answer.end("stopped")

    assert [block.get("open") for block in answer.blocks()] == [False, None]
    assert answer.blocks()[-1] == {"kind": "note", "text": "stopped"}


def test_a_call_waits_runs_reports_and_ends_in_one_row() -> None:
    answer = LiveAnswer()
    rows = []
    for event in (
        ApprovalEvent("m", "f", {"x": 1}, "t", "call"),
        ToolStartEvent("m", "f", {"x": 1}, "t", "call"),
        ToolProgressEvent("m", "f", "t", "call", "half"),
        ApprovalEvent("m", "f", {"x": 1}, "t", "call", "really?"),
        ToolEndEvent("m", "f", "t", "ok", "2", None, 12.4, "call"),
    ):
        answer.feed(event)
        (row,) = answer.blocks()
        rows.append(row)

    nonce = approval_nonce("call", {"x": 1})
    assert {row["key"] for row in rows} == {"call"}
    assert [row["status"] for row in rows] == [
        *("needs approval", "running", "running", "needs approval", "ok")
    ]
    assert [row["progress"] for row in rows] == ["", "", "half", "", ""]
    assert [row["ask"] for row in rows] == [
        {"call": "call", "nonce": nonce, "question": "", "always": True},
        None,
        None,
        {"call": "call", "nonce": nonce, "question": "really?", "always": False},
        None,
    ]
    assert (rows[-1]["time"], rows[-1]["html"]) == ("12 ms", "<pre>2</pre>")


def test_a_stored_row_keeps_what_was_known_while_it_ran() -> None:
    call, result = ToolCall("f", {"x": 1}, "t"), ToolResult("no", "t", "f", is_error=True)
    message = Message("m", "c", "assistant", parts=(call, result, call))
    answer = LiveAnswer()
    answer.feed(ToolStartEvent("m", "f", {"x": 1}, "t", "call"))
    answer.feed(ToolEndEvent("m", "f", "t", "denied", None, "no", 3.0, "call"))
    answer.feed(DoneEvent("m", message))

    found = [(row["key"], row["status"], row["time"]) for row in answer.blocks()]

    assert found == [("call", "denied", "3 ms"), ("1.2", "proposed", "")]
    assert [row["status"] for row in message_blocks(message)] == ["error", "proposed"]


def test_a_user_s_words_are_not_markdown() -> None:
    message = Message("m", "c", "user", "*a*", parts=(Text("*a*"),))

    assert message_blocks(message) == [{"kind": "user", "text": "*a*", "chips": []}]


def test_a_retry_is_a_note() -> None:
    answer = LiveAnswer()
    before = answer.blocks()
    answer.feed(RetryEvent("m", 1, 2.0, "overloaded"))

    assert before == []
    assert [block["kind"] for block in answer.blocks()] == ["note"]


def test_arguments_are_complete_and_hide_no_character() -> None:
    arguments = {"path": "a\u202etxt.exe\x1b", "long": "x" * 100_000}
    message = Message("m", "c", "assistant", parts=(ToolCall("f", arguments, "t"),))
    (row,) = message_blocks(message)

    assert json.loads(row["args"]) == arguments
    assert "a\\u202etxt.exe\\u001b" in row["args"]


def test_a_nonce_is_of_one_call_with_its_arguments() -> None:
    same = approval_nonce("a", {"x": 1, "y": 2})

    assert approval_nonce("a", {"y": 2, "x": 1}) == same
    assert same not in (approval_nonce("b", {"x": 1, "y": 2}), approval_nonce("a", {"x": 1}))
    assert len(same) == 16


@pytest.mark.parametrize(
    ("old", "new", "index"),
    [
        ([], [], None),
        ("ab", "ab", None),
        ("ab", "abc", 2),
        ("abc", "ab", 2),
        ("abc", "axc", 1),
        ("", "a", 0),
    ],
)
def test_the_first_changed_block_is_found(old: str, new: str, index: int | None) -> None:
    def blocks(text: str) -> list[dict[str, str]]:
        return [{"kind": "text", "html": letter} for letter in text]

    assert changed_from(blocks(old), blocks(new)) == index


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_attack_comes_through_a_block(attack: str) -> None:
    stored = [block for each in hostile_messages(attack) for block in message_blocks(each)]

    for block in [*stored, *hostile_answer(attack).blocks()]:
        assert Page(block.get("html", "")).faults == []
        shown = {name: value for name, value in block.items() if isinstance(value, str)}
        assert [name for name, value in shown.items() if CONTROLS.search(value)] == []
        json.dumps(block).encode()
