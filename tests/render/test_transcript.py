"""What a stored message, a footer and a card look like."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from page import Page

from nbchat.messages import Message, Part, Text, Thinking, ToolCall, ToolResult
from nbchat.render.card import plain_card, render_card
from nbchat.render.transcript import plain_message, render_footer, render_message

CARD = {
    "name": "orders",
    "model": "anthropic/claude-x",
    "turns": 3,
    "input_tokens": 1623,
    "output_tokens": 212,
    "cost_usd": Decimal("0.0123"),
    "cost_complete": True,
    "store_path": None,
}


def answer(*parts: Part, content: str = "", status: str = "complete", **more: object) -> Message:
    return Message("m", "c", "assistant", content, parts=parts, status=status, **more)


def seen(message: Message) -> str:
    return Page(render_message(message)).text


def test_thinking_tools_and_text_come_in_the_order_they_happened() -> None:
    message = answer(
        Thinking("hmm"),
        Text("Let me look. "),
        ToolCall("weather", {"city": "Oslo", "days": 2}, "t1"),
        ToolResult("rain", "t1", "weather"),
        Text("It **rains**.", round=2),
        content="Let me look. It **rains**.",
    )

    assert render_message(message) == (
        '<div class="nbchat-static tex2jax_ignore mathjax_ignore">'
        '<details class="nbchat-thinking"><summary>Thinking</summary>'
        '<div style="white-space: pre-wrap">hmm</div></details>'
        '<div class="nbchat-text"><p>Let me look.</p>\n</div>'
        '<details class="nbchat-tool"><summary>'
        "<code>weather(city=&quot;Oslo&quot;, days=2)</code> ok</summary>"
        "<pre>rain</pre></details>"
        '<div class="nbchat-text"><p>It <strong>rains</strong>.</p>\n</div></div>'
    )
    assert plain_message(message) == (
        'Let me look. \n[tool] weather(city="Oslo", days=2) -> rain\nIt **rains**.'
    )


def test_an_empty_message_is_an_empty_frame() -> None:
    message = answer()

    assert render_message(message) == (
        '<div class="nbchat-static tex2jax_ignore mathjax_ignore"></div>'
    )
    assert plain_message(message) == ""


def test_what_the_user_typed_is_shown_as_typed() -> None:
    message = Message("m", "c", "user", "**not bold**\n  $5", parts=(Text("**not bold**\n  $5"),))

    assert seen(message) == "**not bold**\n  $5"
    assert "strong" not in Page(render_message(message)).tags


def test_a_value_that_no_part_holds_is_shown_last() -> None:
    message = answer(ToolCall("finish"), ToolResult("ok"), content="the value")

    assert plain_message(message) == "[tool] finish() -> ok\nthe value"


def test_parallel_calls_with_the_same_id_keep_their_own_results() -> None:
    message = answer(
        ToolCall("f", {"x": 1}, "same"),
        ToolCall("f", {"x": 2}, "same"),
        ToolResult("two", "same", "f", seq=2),
        ToolResult("one", "same", "f", seq=1),
        ToolCall("f", {"x": 3}, "same", round=2),
        ToolResult("three", "same", "f", is_error=True, round=2),
    )

    assert plain_message(message).splitlines() == [
        "[tool] f(x=1) -> one",
        "[tool] f(x=2) -> two",
        "[tool] f(x=3) -> failed: three",
    ]


def test_a_call_without_a_result_says_so() -> None:
    message = answer(ToolCall("f", "{broken"), status="stopped", error={"message": "fatal tool"})

    assert plain_message(message) == "[tool] f({broken) -> no result\n[stopped: fatal tool]"
    assert seen(message) == "f({broken) no resultstopped: fatal tool"


@pytest.mark.parametrize("value", ["y" * 500, "rm  -r   x"])
def test_arguments_that_do_not_fit_the_line_are_there_in_full(value: str) -> None:
    message = answer(ToolCall("f", {"x": value}))

    assert f'x="{value}"' in seen(message)


def test_a_huge_result_is_cut_and_says_by_how_much() -> None:
    message = answer(ToolCall("f"), ToolResult("x" * 30_000))

    assert seen(message).endswith("x… (10,000 more characters)")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("pending", "not finished"),
        ("stopped", "stopped"),
        ("interrupted", "interrupted: the process ended before the answer was whole"),
        ("failed", "failed"),
    ],
)
def test_a_message_that_is_not_whole_says_why(status: str, words: str) -> None:
    message = answer(Text("so far"), content="so far", status=status)

    assert plain_message(message) == f"so far\n[{words}]"
    assert seen(message) == f"so far\n{words}"


def test_a_failed_turn_shows_its_error_and_what_had_arrived() -> None:
    error = {"type": "RateLimited", "message": "slow down", "partial": "Well, *I*"}
    message = Message("m", "c", "user", "hi", status="failed", error=error)

    assert seen(message) == "hifailed: RateLimited: slow downWell, I\n"
    assert plain_message(message) == "hi\n[failed: RateLimited: slow down]\nWell, *I*"


def test_a_redacted_thought_is_named_so() -> None:
    assert seen(answer(Thinking("", data="opaque"))) == "Thinking(redacted)"


def test_a_footer_tells_all_that_is_known() -> None:
    start = datetime(2026, 11, 23, tzinfo=UTC)
    message = answer(
        Text("hi"),
        content="hi",
        model="smollm2",
        input_tokens=1623,
        cached_input_tokens=0,
        output_tokens=212,
        cost_usd=Decimal("0.0081"),
        turn=1,
        created_at=start,
        finished_at=start + timedelta(seconds=2.1),
    )
    line = "smollm2 · 1,623 in (0 cached) / 212 out · $0.0081 · 2.1 s · turn 1"

    assert plain_message(message, footer=True) == f"hi\n{line}"
    assert Page(render_message(message, footer=True)).text == f"hi\n{line}"
    assert line not in seen(message)


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({}, ""),
        ({"input_tokens": 5}, "5 in"),
        ({"output_tokens": 0}, "0 out"),
        ({"cached_input_tokens": 3}, ""),
        ({"model": "m", "turn": 2}, "m · turn 2"),
        ({"cost_usd": Decimal(0)}, "$0.0000"),
        ({"cost_usd": Decimal("0.00001")}, "<$0.0001"),
        ({"cost_usd": 1234.5}, "$1,234.5000"),
        ({"duration_ms": 40.0}, "0.0 s"),
    ],
)
def test_what_is_unknown_is_left_out_of_a_footer(values: dict[str, object], line: str) -> None:
    assert render_footer(**values) == line


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({}, "orders · anthropic/claude-x · 3 turns · 1,835 tokens · $0.0123"),
        ({"name": None, "turns": 1}, "anthropic/claude-x · 1 turn · 1,835 tokens · $0.0123"),
        (
            {"cost_complete": False, "store_path": "chats.duckdb"},
            "orders · anthropic/claude-x · 3 turns · 1,835 tokens · at least $0.0123"
            " · chats.duckdb",
        ),
        (
            {"cost_usd": None, "input_tokens": None, "output_tokens": None},
            "orders · anthropic/claude-x · 3 turns · cost unknown",
        ),
        (
            {"cost_usd": Decimal(0), "cost_complete": False},
            "orders · anthropic/claude-x · 3 turns · 1,835 tokens · cost unknown",
        ),
    ],
)
def test_a_card_is_one_line(change: dict[str, object], line: str) -> None:
    assert plain_card(**{**CARD, **change}) == line
    assert Page(render_card(**{**CARD, **change})).text == line
