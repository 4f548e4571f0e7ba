"""What a panel takes over from the store must not lead a key, or a turn, astray."""

import pytest
from pages import Page

import nbchat
from nbchat.messages import ToolCall
from nbchat.testing import ReplayServer, scripted
from nbchat.widget.wishes import models_offered

KEY = "made-up-" + "key-of-a-panel-1234"


def test_a_key_does_not_follow_a_model_that_another_object_chose(tmp_path):
    path = tmp_path / "chats.duckdb"
    with ReplayServer() as server:
        chat = nbchat.create_chat("anthropic/a", store=path, api_key=KEY)
        page = Page(chat)
        nbchat.load_chat(chat.id, store=path).with_model("openai/b", base_url=server.url)
        page.until(lambda told: told["op"] == "snap" and told["chat"]["model"] == "openai/b")

        page.ask("Hi")
        page.session.close()

        assert server.requests
        assert KEY not in str([(r.headers, r.json) for r in server.requests])


def add(number: int) -> int:
    """Add one."""
    return number + 1


def risky(number: int) -> int:
    """Do something that needs approval."""
    return -number


@pytest.fixture
def left_waiting(tmp_path):
    """A chat whose turn ended because one of its two calls waits to be approved."""
    calls = [ToolCall("add", {"number": 1}, "a"), ToolCall("risky", {"number": 2}, "r")]
    chat = nbchat.create_chat(
        "function/x", store=tmp_path / "chats.duckdb", respond=scripted([calls, "Done."]),
        tools=[add, risky], tool_policy={"risky": "confirm"},
    )  # fmt: skip
    chat.ask("Go on", confirm="later")
    return chat


def tool_rows(page):
    """The tool rows of the last message, as the page has them."""
    return [block for block in page.messages[-1]["blocks"] if block["kind"] == "tool"]


@pytest.mark.parametrize(("ok", "status"), [(True, "ok"), (False, "denied")])
def test_a_turn_that_goes_on_shows_each_call_once_and_as_it_ended(left_waiting, ok, status):
    page = Page(left_waiting)
    ask = next(b["ask"] for b in page.messages[-1]["blocks"] if b.get("ask"))

    page.say("decide", call=ask["call"], nonce=ask["nonce"], ok=ok, always=False)
    seen = []

    def look(told):
        seen.append([(b["name"], b["status"]) for b in tool_rows(page)])
        return told["op"] == "said" and page.status["state"] == "idle"

    page.until(look)
    page.session.close()

    assert [rows for rows in seen if len({name for name, _ in rows}) < len(rows)] == []
    assert "error" not in {row[1] for rows in seen for row in rows}
    assert seen[-1] == [("add", "ok"), ("risky", status)]


def test_the_head_says_nothing_of_tokens_before_anything_was_asked(tmp_path):
    page = Page(nbchat.create_chat("function/x", store=tmp_path / "c.duckdb", respond=scripted([])))
    page.session.close()

    assert (page.chat["tokens"], page.chat["cost"]) == ("", "")


def test_the_picker_offers_what_was_used_and_what_is_known_of_the_provider(tmp_path):
    store = nbchat.open_store(tmp_path / "chats.duckdb")
    chat = nbchat.create_chat("function/x", store=store, respond=scripted(["One."]))
    chat.ask("Hi")
    assert models_offered(chat, chat.messages()) == ["function/x"]

    known = nbchat.create_chat("anthropic/claude-sonnet-4-5", store=store, api_key="k")
    offered = models_offered(known, chat.messages())

    assert offered[:2] == ["anthropic/claude-sonnet-4-5", "function/x"]
    assert "anthropic/claude-haiku-4-5" in offered
    assert len(offered) == len(set(offered))
