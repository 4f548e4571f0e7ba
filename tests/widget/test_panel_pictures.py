"""Tables and pictures in the panel: what tools returned and people sent, also after a reload."""

import base64
import io

import pandas as pd
import pytest
from matplotlib.figure import Figure
from pages import Page
from PIL import Image as Picture

import nbchat
from nbchat.messages import ToolCall
from nbchat.testing import scripted


@pytest.fixture
def store(tmp_path):
    return nbchat.open_store(tmp_path / "chats.duckdb")


def png(colour="red"):
    held = io.BytesIO()
    Picture.new("RGB", (3, 2), colour).save(held, format="PNG")
    return held.getvalue()


def bytes_of(page, digest):
    url = page.until_op("picture", rid=page.say("picture", digest=digest))["url"]
    return base64.b64decode(url.removeprefix("data:image/png;base64,"))


def orders() -> pd.DataFrame:
    """The orders."""
    return pd.DataFrame({"city": ["Oslo", "<b>Rome"], "pairs": [3, 6]})


def chart() -> Figure:
    """The orders, drawn."""
    figure = Figure()
    figure.subplots().plot([3, 6])
    return figure


@pytest.mark.parametrize("seen", ["live", "after a reload", "by a new object"])
def test_a_frame_stays_a_table_and_a_figure_a_picture(store, seen):
    calls = [ToolCall("orders", {}, "c1"), ToolCall("chart", {}, "c2")]
    chat = nbchat.create_chat(
        "function/x", store=store, respond=scripted([calls, "Done."]), tools=[orders, chart]
    )
    page = Page(chat)
    page.ask("Show me")
    if seen == "after a reload":
        page.say("hello")
        page.until_op("snap")
    elif seen == "by a new object":
        page = Page(nbchat.load_chat(chat.id, store=store))

    table, picture, answer = page.messages[-1]["blocks"]

    assert "<td>Oslo</td><td>3</td>" in table["html"]
    assert "&lt;b&gt;Rome" in table["html"]
    [drawn] = picture["pictures"]
    assert bytes_of(page, drawn["digest"]).startswith(b"\x89PNG")
    assert (drawn["width"], drawn["height"]) > (100, 100)
    assert answer == {"kind": "text", "html": "<p>Done.</p>\n"}


def test_a_picture_that_was_sent_is_shown_again_from_the_store(store):
    chat = nbchat.create_chat("function/x", store=store, respond=scripted(["Red."]))
    chat.ask("What colour?", png())

    page = Page(chat)
    [chip] = page.messages[0]["blocks"][0]["chips"]

    assert bytes_of(page, chip["picture"]["digest"]) == png()


def test_a_picture_of_another_chat_is_not_given(store):
    other = nbchat.create_chat("function/x", store=store, respond=scripted(["Red."]))
    other.ask("What colour?", png())
    digest = other.messages()[0].parts[0].digest

    page = Page(nbchat.create_chat("function/x", store=store, respond=scripted([])))

    assert bytes_of(page, digest) == b""
