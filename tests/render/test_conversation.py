"""A chat's transcript for a notebook: who said what, bounded, in words, and harmless."""

from datetime import UTC, datetime

import pytest
from attacks import ATTACKS
from page import Page
from test_hostile_text import FORBIDDEN, hostile_messages

from nbchat.messages import Message, Text
from nbchat.render.conversation import SIZE, plain_conversation, render_conversation
from nbchat.render.markdown import cleaner

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def chat_of(count: int, text: str = "said") -> list[Message]:
    """Messages in turns, each with its number."""
    return [
        Message(
            str(number),
            "c",
            "assistant" if number % 2 else "user",
            f"{text} {number}.",
            parts=(Text(f"{text} {number}."),),
            created_at=NOW,
        )
        for number in range(count)
    ]


def test_title_and_roles_are_said() -> None:
    text = plain_conversation(chat_of(2), title="Trip")

    assert text == (
        "Trip\n\nUser · 2026-01-02 00:00:00 UTC:\nsaid 0.\n\n"
        "Assistant · 2026-01-02 00:00:00 UTC:\nsaid 1."
    )
    page = Page(render_conversation(chat_of(2), title="Trip"))
    for piece in ("Trip", "User", "said 0.", "Assistant", "said 1."):
        assert piece in page.text


def test_the_outermost_element_keeps_typesetters_away() -> None:
    html = render_conversation(chat_of(1), title="t")

    assert html.startswith('<div class="nbchat-static tex2jax_ignore mathjax_ignore">')
    assert html.count("nbchat-static") == 1


def test_a_long_chat_shows_its_last_messages_and_says_where_the_others_are() -> None:
    said = "300 earlier messages are not shown here but in the store: /x/chats.duckdb"
    for show in (render_conversation, plain_conversation):
        text = Page(show(chat_of(500), title="t", store_path="/x/chats.duckdb")).text

        assert said in text
        assert "said 299." not in text
        assert all(f"said {number}." in text for number in range(300, 500))


def test_a_large_chat_keeps_within_its_bound_and_loses_its_oldest_messages() -> None:
    messages = chat_of(30, "é" * 50_000)

    html = render_conversation(messages, title="t")

    assert len(html.encode()) < SIZE + 10_000
    assert "earlier messages are not shown" in html
    assert "é 29." in html
    assert "é 1." not in html


def test_one_enormous_message_is_cut_and_says_so() -> None:
    (message,) = chat_of(1, "**x** " * 500_000)

    assert "more characters)" in render_conversation([message], title="t")
    assert "more characters)" in plain_conversation([message], title="t")


def test_formulas_are_their_source() -> None:
    message = Message("1", "c", "assistant", parts=(Text("so $x^2$"),))

    page = Page(render_conversation([message], title="t"))

    assert "$x^2$" in page.text
    assert "math" not in page.tags


def test_removed_content_is_said_to_be_removed() -> None:
    message = Message("1", "c", "user", content_removed_at=NOW)

    assert "removed" in plain_conversation([message], title="t")
    assert "removed" in render_conversation([message], title="t")


def test_an_empty_chat_has_its_title() -> None:
    assert plain_conversation([], title="t") == "t"
    assert Page(render_conversation([], title="t")).text == "t"


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_attack_comes_through_a_conversation(attack: str) -> None:
    known = {"title": attack, "store_path": attack}
    messages = hostile_messages(attack)

    assert Page(render_conversation(messages, **known)).faults == []
    assert not FORBIDDEN.search(plain_conversation(messages, **known))
    assert not cleaner().clean("<math><mi>x</mi></math>")
