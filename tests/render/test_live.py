"""A growing answer looks like the finished one, and costs no more than its last block."""

import subprocess
import sys
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from page import Page

from nbchat.events import (
    DoneEvent,
    RetryEvent,
    TextEvent,
    ThinkingEvent,
    ToolEndEvent,
    ToolStartEvent,
    UsageEvent,
)
from nbchat.messages import Message, Text, Thinking, ToolCall, ToolResult
from nbchat.render import live
from nbchat.render.live import GrowingText, LiveAnswer, repaint_due
from nbchat.render.markdown import render_markdown
from nbchat.render.transcript import plain_message, render_message

# Everything that opens, closes or continues a block
OPENERS = ["# ", "##", "-", "--", "---", "- ", "* ", "**", "***", "* * *", "+ ", "1.", "1. ", "2) "]
OPENERS += [
    "> ",
    ">",
    "`",
    "```",
    "```py",
    "~~~",
    "    ",
    "  ",
    " ",
    "\t",
    "===",
    "=",
    "|",
    "|-|-|",
]
INLINE = ["a", "b c", " x", "**b**", "_i_", "~~s~~", "[l](http://e.test)", "![i](http://e.test/i)"]
INLINE += [
    "<b>",
    "&amp;",
    "\\",
    "$5",
    "é",
    "\r",
    "\r\n",
    "\x1b[1m",
    "\x1b]0;",
    "\x07",
    "<http://e.test>",
    "[x]",
    "|a|b|",
]
TEXT = st.lists(st.sampled_from([*OPENERS, *INLINE, *["\n"] * 20])).map("".join)


def grown(pieces: list[str], looks: list[bool]) -> GrowingText:
    """The text fed piece by piece, looked at now and then."""
    text = GrowingText()
    for piece, look in zip(pieces, looks, strict=True):
        text.feed(piece)
        if look:
            text.html()
    return text


@settings(deadline=None)
@given(TEXT, st.data())
@example("para\n#hashtag\n", None)
@example("a\n\npara\n***bold***\n", None)
@example("a\n\npara\n| x | y |\n|---| no table\n", None)
@example("- a\n\n- b\n\n  c\n\nd\n", None)
@example("a\r\n\r\nb\rc\n\nd", None)
@example("a\n\n```\nx\n\ny\n", None)
def test_cut_anywhere_it_looks_as_if_rendered_whole(text: str, data: st.DataObject | None) -> None:
    cuts = range(len(text)) if data is None else data.draw(st.sets(st.integers(0, len(text))))
    edges = sorted({0, len(text), *cuts})
    pieces = [text[start:end] for start, end in pairwise(edges)]
    looks = [True] * len(pieces)
    if data is not None:
        looks = data.draw(st.lists(st.booleans(), min_size=len(pieces), max_size=len(pieces)))

    assert grown(pieces, looks).html() == render_markdown(text)


@settings(deadline=None)
@given(TEXT)
def test_each_state_on_the_way_is_that_of_the_text_so_far(text: str) -> None:
    growing = GrowingText()

    for end, character in enumerate(text, start=1):
        growing.feed(character)

        assert growing.html() == render_markdown(text[:end])


def test_a_link_defined_before_its_use_is_known_to_later_blocks() -> None:
    text = "[a]: http://e.test\n\none\n\ntwo [a]\n\nthree [a]\n"

    assert grown(list(text), [True] * len(text)).html() == render_markdown(text)


def test_a_link_defined_after_its_use_is_right_in_the_end() -> None:
    text = "see [a]\n\nmore\n\n[a]: http://e.test\n"
    message = Message("m", "c", "assistant", text, parts=(Text(text),))
    answer = LiveAnswer()

    for character in text:
        answer.feed(TextEvent("m", character))
        answer.html()
    answer.feed(DoneEvent("m", message))

    assert Page(answer.html()).links == ["http://e.test"]


def test_a_long_answer_renders_each_block_about_once(monkeypatch: pytest.MonkeyPatch) -> None:
    block = "A paragraph of **some** length, with `code`.\n\n```python\nx = 1\n```\n\n- a\n- b\n\n"
    text = block * (200_000 // len(block))
    pieces = [text[start : start + 40] for start in range(0, len(text), 40)]
    rendered = []

    def counting(text: str, env: dict[str, object]) -> list[str]:
        rendered.append(len(text))
        return []

    monkeypatch.setattr(live, "html_blocks", counting)
    grown(pieces, [True] * len(pieces))

    assert sum(rendered) < 5 * len(text)
    assert max(rendered) < 3 * len(block)


def test_the_last_state_is_the_stored_message() -> None:
    parts = (
        Thinking("hm hm"),
        Text("Look: "),
        ToolCall("f", {"x": 1}, "t"),
        ToolResult("2", "t", "f"),
        Text("done\n\n| a |\n|---|\n| 1 |", round=2),
    )
    text = "Look: done\n\n| a |\n|---|\n| 1 |"
    message = Message("m", "c", "assistant", text, parts=parts, model="p/m", output_tokens=3)
    answer = LiveAnswer(footer=True)
    events = [
        ThinkingEvent("m", "hm "),
        ThinkingEvent("m", "hm"),
        TextEvent("m", "Look: "),
        ToolStartEvent("m", "f", {"x": 1}, "t"),
        ToolEndEvent("m", "f", "t", "ok", "2", None, 1.0),
        TextEvent("m", "done\n\n| a |\n"),
        TextEvent("m", "|---|\n| 1 |"),
        UsageEvent("m", 1, 3, None, None, None),
    ]

    for event in events:
        answer.feed(event)
    before, plain_before = answer.html(), answer.plain()
    answer.feed(DoneEvent("m", message))

    assert before == render_message(message)
    assert plain_before == plain_message(message)
    assert answer.html() == render_message(message, footer=True)
    assert answer.plain() == plain_message(message, footer=True)


def test_it_says_that_it_waits_runs_and_retries() -> None:
    answer = LiveAnswer()

    states = [answer.plain()]
    for event in (
        RetryEvent("m", 1, 2.0, "overloaded"),
        ToolStartEvent("m", "f", {}, "same"),
        ToolStartEvent("m", "f", {}, "same"),
        ToolEndEvent("m", "f", "same", "denied", None, "no", None),
        ToolEndEvent("m", "f", "same", "ok", "yes", None, 1.0),
        ToolEndEvent("m", "g", "t", "unknown_tool", None, "no tool g", None),
    ):
        answer.feed(event)
        states.append(answer.plain())
        assert Page(answer.html()).faults == []

    assert states == [
        "waiting…",
        "attempt 1 failed, next in 2.0 s: overloaded",
        "[tool] f() -> running…",
        "[tool] f() -> running…\n[tool] f() -> running…",
        "[tool] f() -> denied: no\n[tool] f() -> running…",
        "[tool] f() -> denied: no\n[tool] f() -> yes",
        "[tool] f() -> denied: no\n[tool] f() -> yes\n[tool] g() -> unknown_tool: no tool g",
    ]


@pytest.mark.parametrize(
    ("now_s", "last_cost_s", "due"),
    [
        (10.06, 0.0, False),
        (10.07, 0.0, True),
        (10.07, 0.02, True),
        (10.07, 0.021, False),
        (10.14, 0.021, True),
        (10.26, 0.05, False),
        (10.27, 0.05, True),
        (12.5, 1e9, True),
    ],
)
def test_repaints_keep_to_fifteen_a_second_and_slow_down(
    now_s: float, last_cost_s: float, due: bool
) -> None:
    assert repaint_due(now_s, 10.0, last_cost_s) is due


def test_a_card_is_drawn_without_loading_the_markdown_libraries() -> None:
    code = "import sys, nbchat.render.card; print([m for m in LIBRARIES if m in sys.modules])"
    code = code.replace("LIBRARIES", "['markdown_it', 'pygments', 'nh3']")

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "[]"
