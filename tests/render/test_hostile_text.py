"""Nothing hostile comes through, whatever mouth it comes from."""

import re

import pytest
from attacks import ATTACKS, PIXEL
from hypothesis import given, settings
from hypothesis import strategies as st
from page import Page

from nbchat.events import (
    RetryEvent,
    TextEvent,
    ThinkingEvent,
    ToolEndEvent,
    ToolStartEvent,
)
from nbchat.messages import Image, Message, Text, Thinking, ToolCall, ToolResult
from nbchat.render.card import plain_card, render_card
from nbchat.render.live import LiveAnswer
from nbchat.render.markdown import cleaner, render_markdown
from nbchat.render.transcript import plain_message, render_footer, render_message

ANYTHING = st.text(st.characters(exclude_categories=()))  # lone surrogates too
FORBIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def hostile_messages(text: str) -> list[Message]:
    """Messages that carry the text in every place there is."""
    call = ToolCall(text, {text: text, "list": [text, {"x": text}]}, text, round=1)
    parts = (
        Thinking(text),
        Text(text),
        call,
        ToolCall("raw", text, "2"),
        ToolResult(text, text, text, is_table=True, images=(Image("d", text, text),)),
        ToolResult(text, "2", text, is_error=True, seq=2),
        Text(text, round=2),
    )
    error = {"type": text, "message": text, "partial": text}
    return [
        Message("1", "c", "assistant", text, parts=parts, status=text, error=error, model=text),
        Message("2", "c", "assistant", text, status="stopped", error=error),
        Message("3", "c", "user", text, parts=(Text(text),), status="failed", error=error),
    ]


def hostile_answer(text: str) -> LiveAnswer:
    """An answer on its way whose every event carries the text."""
    answer = LiveAnswer()
    answer.feed(ThinkingEvent("1", text))
    answer.feed(TextEvent("1", text))
    answer.feed(ToolStartEvent("1", text, {text: text}, text))
    answer.feed(ToolStartEvent("1", text, text, "2"))
    answer.feed(ToolEndEvent("1", text, text, text, text, None, None))
    answer.feed(ToolEndEvent("1", "unknown", text, text, None, text, 1.0))
    answer.feed(RetryEvent("1", 1, 0.5, text))
    return answer


def card_of(text: str) -> dict[str, object]:
    """What a card is made from, with the text as every name."""
    return {
        "name": text,
        "model": text,
        "turns": 1,
        "input_tokens": None,
        "output_tokens": None,
        "cost_usd": None,
        "cost_complete": False,
        "store_path": text,
    }


def pages_of(text: str) -> list[str]:
    """Every HTML that is ever made from the text."""
    messages = [render_message(message, footer=True) for message in hostile_messages(text)]
    card = render_card(**card_of(text))
    return [*messages, hostile_answer(text).html(), card, render_markdown(text)]


def texts_of(text: str) -> list[str]:
    """Every plain text that is ever made from the text."""
    messages = [plain_message(message, footer=True) for message in hostile_messages(text)]
    card = plain_card(**card_of(text))
    return [*messages, hostile_answer(text).plain(), card, render_footer(model=text)]


def test_there_are_enough_attacks() -> None:
    assert len(set(ATTACKS)) >= 120


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_in_a_page_runs_loads_or_leads_elsewhere(attack: str) -> None:
    faults = [fault for html in pages_of(attack) for fault in Page(html).faults]

    assert faults == []


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_in_a_text_drives_the_terminal(attack: str) -> None:
    found = [FORBIDDEN.findall(text) for text in texts_of(attack)]

    assert found == [[]] * len(found)


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_sanitizer_alone_holds_when_html_slips_through(attack: str) -> None:
    for html in (attack, f"<p>{attack}</p>", f"<span style='{attack}'>", f"<a href='{attack}'>"):
        found = Page(cleaner().clean(html.encode("utf-8", "replace").decode()))
        faults = [
            fault
            for fault in found.faults
            # a link that lost its address, and invisible characters, are the outer fences' part
            if not fault.startswith(("<a> with", "control characters"))
        ]

        assert faults == []


@pytest.mark.parametrize("attack", ATTACKS)
def test_every_link_names_its_host_in_the_text(attack: str) -> None:
    page = Page(render_markdown(attack))

    for link in page.links:
        host = re.sub(r"^(https?://|mailto:)", "", link)
        assert re.split(r"[/?#]", host)[0] in page.text


@settings(deadline=None)
@given(ANYTHING)
def test_any_string_at_all_gives_a_harmless_page_and_text(text: str) -> None:
    assert [fault for html in pages_of(text) for fault in Page(html).faults] == []
    assert [FORBIDDEN.findall(plain) for plain in texts_of(text)] == [[]] * len(texts_of(text))


@settings(deadline=None)
@given(st.lists(st.sampled_from([*ATTACKS, "\n", "\n\n", "[", "](", ")", "`", "> ", "- "])))
def test_attacks_in_combination_do_no_more(pieces: list[str]) -> None:
    assert Page(render_markdown("".join(pieces))).faults == []


@pytest.mark.parametrize(
    "text",
    [
        "https://paypal.com@evil.test",
        "//evil.test",
        "/lab/api",
        "javascript:alert(1)",
        PIXEL,
        "https:evil.test",
    ],
)
def test_a_refused_address_is_no_link(text: str) -> None:
    assert Page(render_markdown(f"[x]({text})")).links == []
    assert Page(cleaner().clean(f'<a href="{text}">x</a>')).links == [""]


def test_a_link_that_pretends_says_where_it_leads() -> None:
    page = Page(render_markdown("[https://paypal.com](https://evil.test/login)"))

    assert page.text.strip() == "https://paypal.com (evil.test)"


def test_a_picture_that_pretends_to_be_an_address_is_not_believed() -> None:
    page = Page(render_markdown(f"[![evil.test]({PIXEL})](https://evil.test)"))

    assert page.text.strip() == "(evil.test)"


def test_an_international_name_is_shown_as_the_resolver_sees_it() -> None:
    page = Page(render_markdown("<https://pаypal.com>"))

    assert "(xn--pypal-4ve.com)" in page.text


def test_an_outside_image_is_a_link_and_loads_nothing() -> None:
    page = Page(render_markdown("![chart](https://evil.test/p.png?q=secret)"))

    assert page.text.strip() == "chart [image: evil.test]"
    assert page.links == ["https://evil.test/p.png?q=secret"]
    assert "img" not in page.tags


def test_an_outside_image_inside_a_link_leaves_the_link_whole() -> None:
    page = Page(render_markdown("[![x](https://evil.test/p.png)](https://example.org)"))

    assert page.text.strip() == "x [image: evil.test] (example.org)"
    assert page.links == ["https://example.org"]


def test_an_embedded_image_is_shown() -> None:
    assert Page(render_markdown(f"![dot]({PIXEL})")).tags == ["p", "img"]


def test_math_is_kept_from_the_typesetter() -> None:
    message = Message("1", "c", "assistant", "\\(\\href{javascript:alert(1)}{x}\\)")

    classes = re.match(r'<div class="([^"]*)">', render_message(message))

    assert classes is not None
    assert {"tex2jax_ignore", "mathjax_ignore"} <= set(classes[1].split())


def test_a_terminal_sequence_goes_whole_and_the_words_around_it_stay() -> None:
    text = "\x1b[1;31mred\x1b[0m \x1b]8;;https://evil.test\x1b\\click\x1b]8;;\x1b\\ a\r\nb\rc\td"

    assert plain_message(Message("1", "c", "assistant", text)) == "red click a\nb\nc\td"


def test_a_terminal_sequence_that_never_ends_takes_no_line_with_it() -> None:
    message = Message("1", "c", "assistant", "\x1b]0;title\nkept\x07")

    assert plain_message(message) == "]0;title\nkept"
