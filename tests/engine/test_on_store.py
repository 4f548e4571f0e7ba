"""What on_store leaves of a text is all that any file ever holds of it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import on_store_child
import pytest
from four_ways import WAYS
from stored_rows import pending, raw_rows, stored_rows
from test_turn_store_trouble import Trouble, full_disk

import nbchat
from nbchat.exchange import Usage
from nbchat.hooks import WITHHELD
from nbchat.messages import Thinking, ToolCall
from nbchat.testing import ReplayServer, said, scripted

PROVIDERS = ("openai", "anthropic")
WORD = "tiramisu"
KEY = "ghp_" + "a8Kd93jfLs02mNcv7XqPzR41tYbHw6uEoGi5"


@pytest.fixture
def store(tmp_path: Path) -> nbchat.Store:
    return nbchat.open_store(tmp_path / "chats.duckdb")


class Veil:
    """Hides one word, wherever it would be stored."""

    def on_store(self, text: str) -> str | None:
        return text.replace(WORD, "[dish]") if WORD in text else None


class Broken:
    """A filter that fails on that word."""

    def on_store(self, text: str) -> str:
        if WORD in text:
            raise RuntimeError("cannot judge it")
        return text


def order(dish: str) -> str:
    """Order a dish."""
    return f"one {dish}"


def refuse(dish: str) -> None:
    """Refuse a dish."""
    raise ValueError(f"no {dish}")


def bytes_at(place: Path) -> bytes:
    """All that is in the store's file and in what lies beside it."""
    files = [f for f in place.parent.rglob("*") if f.is_file() and f.name.startswith(place.name)]
    files += [f for f in place.parent.rglob(f"{place.name}.spool/*")]
    return b"".join(file.read_bytes() for file in files)


def telling() -> Any:
    """A reply that says the word in every way there is."""
    calls = [ToolCall("order", {"dish": WORD}, "c1"), ToolCall("refuse", {"dish": WORD}, "c2"),
             ToolCall("order", {"meal": WORD}, "c3")]  # fmt: skip
    return said(Thinking(f"they want {WORD}", "sig"), f"So {WORD}: ", *calls, usage=Usage(5, 5))


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("veil", [Veil, Broken])
def test_no_column_ever_holds_what_on_store_took_out(
    veil: Any, provider: str, store: nbchat.Store
) -> None:
    rows = []
    for way in WAYS.values():
        with ReplayServer(telling(), said(f"{WORD} it is")) as server:
            chat = nbchat.create_chat(
                f"{provider}/x", base_url=server.url, store=store, tools=[order, refuse],
                middleware=[veil()],
            )  # fmt: skip
            ended = way(chat, f"I want {WORD}")
        assert ended.error is None
        assert ended.message is not None
        assert ended.message.content == f"So {WORD}: {WORD} it is"
        assert WORD in server.requests[0].body.decode()
        rows.append(stored_rows(store, chat.id, ttft=False))
    assert rows == [rows[0]] * len(WAYS)
    assert WORD not in str(rows[0])
    user, assistant = rows[0]["messages"]
    calls = rows[0]["tool_calls"]
    if veil is Veil:
        assert (user["content"], assistant["content"]) == (
            "I want [dish]", "So [dish]: [dish] it is",
        )  # fmt: skip
        assert assistant["thinking_text"] == "they want [dish]"
        assert [call["arguments"] for call in calls] == [
            {"dish": "[dish]"}, {"dish": "[dish]"}, {"meal": "[dish]"},
        ]  # fmt: skip
        assert [call["result"] for call in calls] == ["one [dish]", None, None]
        assert calls[1]["error"] == "ValueError: no [dish]"
        assert {call["thought"] for call in calls} == {"they want [dish]"}
    else:
        assert user["content"] == WITHHELD
        assert [call["result"] for call in calls] == [WITHHELD, None, None]
    store.close()
    assert WORD.encode() not in bytes_at(Path(store.path))


@pytest.mark.parametrize("way", WAYS)
def test_an_error_and_the_text_before_it_are_stored_as_on_store_left_them(
    way: str, store: nbchat.Store
) -> None:
    script = scripted([iter([f"first {WORD}, ", nbchat.BadRequest(f"no {WORD} here", status=400)])])
    chat = nbchat.create_chat("function/x", store=store, respond=script, middleware=[Veil()])
    ended = WAYS[way](chat, "hello")
    assert isinstance(ended.error, nbchat.BadRequest)
    assert (str(ended.error), ended.error.partial) == (f"no {WORD} here", f"first {WORD}, ")
    [user] = chat.messages()
    assert user.error == {
        "type": "BadRequest", "message": "no [dish] here", "partial": "first [dish], ",
    }  # fmt: skip
    [row] = raw_rows(store, chat.id, "requests")
    assert row["error_message"] == "no [dish] here"
    store.close()
    assert WORD.encode() not in bytes_at(Path(store.path))


@pytest.mark.parametrize("way", WAYS)
def test_the_reason_of_a_stop_is_stored_as_on_store_left_it(way: str, store: nbchat.Store) -> None:
    def hook(reply: Any) -> None:
        raise LookupError(f"no {WORD}")

    script = scripted([[f"a {WORD}", ToolCall("order", {"dish": WORD})]])
    chat = nbchat.create_chat("function/x", store=store, respond=script, tools=[order],
                              middleware=[Veil()])  # fmt: skip
    WAYS[way](chat.on_response(hook), "hello")
    last = chat.messages()[-1]
    assert (last.status, last.content) == ("stopped", "a [dish]")
    assert last.error == {"type": "LookupError", "message": "no [dish]"}
    assert pending(store) == []


def test_an_answer_that_waits_beside_the_file_is_as_on_store_left_it(store: nbchat.Store) -> None:
    script = scripted([f"here is {WORD}"])
    chat = nbchat.create_chat("function/x", store=store, respond=script, middleware=[Veil()])
    with Trouble(store, 2, full_disk, lasts=True), pytest.raises(nbchat.StoreError) as caught:
        chat.ask(f"I want {WORD}")
    assert caught.value.unsaved.content == f"here is {WORD}"  # type: ignore[attr-defined]
    waits = [file.read_text() for file in Path(f"{store.path}.spool").iterdir()]
    assert [("here is [dish]" in text, WORD in text) for text in waits] == [(True, False)]


def test_filters_follow_one_another_and_what_is_no_text_is_withheld(store: nbchat.Store) -> None:
    class Food:
        def on_store(self, text: str) -> str:
            return text.replace("[dish]", "[food]")

    class Number:
        def on_store(self, text: str) -> Any:
            return 7 if "seven" in text else None

    script = scripted([f"a {WORD}", "seven"])
    chat = nbchat.create_chat("function/x", store=store, respond=script,
                              middleware=[Veil(), Food(), Number()])  # fmt: skip
    chat.ask("one")
    chat.ask("two")
    assert [m.content for m in chat.messages()] == ["one", "a [food]", "two", WITHHELD]


def test_a_process_killed_while_a_secret_streams_in_leaves_none_of_it(tmp_path: Path) -> None:
    path = tmp_path / "chats.duckdb"
    child = [sys.executable, on_store_child.__file__, str(path), KEY]
    assert subprocess.run(child, check=False, timeout=120).returncode == -9
    left = bytes_at(path)
    assert on_store_child.FIRST.encode() in left
    assert not [KEY[at : at + 8] for at in range(len(KEY) - 8) if KEY[at : at + 8].encode() in left]
    chat = nbchat.load_chat("killed", store=path)
    assert chat is not None
    user, assistant = chat.messages()
    assert (user.content, assistant.status) == ("My key is [api key].", "interrupted")
    assert assistant.content.startswith(
        f"{on_store_child.FIRST}The key is [api key] and so it goes"
    )
