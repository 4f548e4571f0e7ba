"""The middleware that comes with nbchat: redaction, a budget that reads the store, a usage log."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from four_ways import WAYS, ask, ask_stream
from stored_rows import stored_rows

import nbchat
from nbchat.exchange import Request, Usage
from nbchat.messages import Thinking, ToolCall
from nbchat.testing import ReplayServer, scripted


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(tmp_path: Path) -> nbchat.Store:
    return nbchat.open_store(tmp_path / "chats.duckdb")


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def fail() -> None:
    """Never works."""
    raise ValueError("it failed")


ADD = ToolCall("add", {"a": 1, "b": 2}, "c1")
FAIL = ToolCall("fail", {}, "c2")


def chat_of(store: nbchat.Store, *replies: Any, **options: Any) -> nbchat.Chat:
    options.setdefault("tools", [add, fail])
    return nbchat.create_chat("function/x", store=store, respond=scripted(replies), **options)


def assistant(chat: nbchat.Chat) -> nbchat.Message:
    return chat.messages()[-1]


SECRET = "ada.lovelace@example.com"


def leak() -> str:
    """Says too much."""
    return f"mail {SECRET}"


def leaky(request: Request) -> Any:
    if request.messages[-1].role == "user":
        return [Thinking(f"{SECRET}?", "sig"), f"I know {SECRET}. ",
                ToolCall("leak", {}, "c1"), ToolCall("echo", {"to": SECRET}, "c2")]  # fmt: skip
    return f"Done, {SECRET}."


def test_redaction_leaves_nothing_at_rest_in_any_way(store: nbchat.Store, way: str) -> None:
    chat = nbchat.create_chat(
        "function/x", store=store, respond=leaky, tools=[leak], middleware=[nbchat.redact()]
    )

    ended = WAYS[way](chat, f"Ask {SECRET} about it.")

    assert ended.error is None
    shown = ended.message.content if ended.message else ""
    assert SECRET in shown  # what is seen live is the answer itself
    assert [m.content for m in chat.messages()] == [
        "Ask [email] about it.", "I know [email]. Done, [email].",
    ]  # fmt: skip
    store.close()
    for file in Path(store.path).parent.iterdir():
        assert SECRET.encode() not in file.read_bytes()


def test_redaction_is_on_the_wire_too_unless_told_otherwise(store: nbchat.Store) -> None:
    for send, expected in ((True, "[email]"), (False, SECRET)):
        with ReplayServer("fine", "fine") as server:
            chat = nbchat.create_chat("openai/x", base_url=server.url, store=store,
                                      middleware=[nbchat.redact(send=send)])  # fmt: skip
            chat.ask(SECRET)
            chat.ask("and?")
        assert server.requests[0].json["messages"][0]["content"] == expected
        assert server.requests[1].json["messages"][0]["content"] == "[email]"


def test_a_filter_that_fails_lets_nothing_through(store: nbchat.Store) -> None:
    class Broken:
        def on_store(self, text: str) -> str:
            raise ValueError(text)

    chat = chat_of(store, "the answer", middleware=[Broken()])

    chat.ask("the question")

    assert {m.content for m in chat.messages()} == {"[not stored: on_store failed]"}


PAID = Usage(1, 1, cost_usd=Decimal("0.30"))


@pytest.mark.parametrize("per", ["chat", "day", "store"])
def test_a_spent_budget_lets_nothing_more_be_sent(store: nbchat.Store, way: str, per: Any) -> None:
    script = scripted([["one", PAID], ["two", PAID], ["three", PAID]])
    chat = nbchat.create_chat("function/x", store=store, respond=script)
    chat.use(nbchat.budget(usd="0.60", per=per))
    WAYS[way](chat, "one")
    WAYS[way](chat, "two")

    ended = WAYS[way](chat, "three")

    assert isinstance(ended.error, nbchat.BudgetExceeded)
    assert len(script.requests) == 2
    message = assistant(chat)
    assert (message.status, message.error and message.error["type"]) == (
        "stopped", "BudgetExceeded",
    )  # fmt: skip
    chat._middleware.clear()
    assert chat.resume().content == "three"


def test_a_budget_counts_what_others_spent_in_the_store_and_only_there(
    store: nbchat.Store,
) -> None:
    chat_of(store, ["dear", PAID]).ask("hello")
    for per, refused in (("chat", False), ("day", True), ("store", True)):
        chat = chat_of(store, "fine", middleware=[nbchat.budget(usd=0.3, per=per)])  # type: ignore[arg-type]
        assert isinstance(ask(chat, "hello").error, nbchat.BudgetExceeded) == refused


def test_a_budget_may_refuse_what_it_cannot_price(store: nbchat.Store) -> None:
    chat = chat_of(store, "one", "two", middleware=[nbchat.budget(usd=1, unpriced="refuse")])
    chat.ask("hello")

    with pytest.raises(nbchat.BudgetExceeded, match="no known price"):
        chat.ask("hello")


@pytest.mark.parametrize("usd", ["much", -1, float("nan"), True, None])
def test_a_budget_is_an_amount(usd: Any) -> None:
    with pytest.raises(nbchat.NbchatError, match="amount"):
        nbchat.budget(usd=usd)


def test_usage_is_logged_without_a_word_of_what_was_said(
    store: nbchat.Store, caplog: pytest.LogCaptureFixture
) -> None:
    chat = chat_of(store, [ADD, PAID], ["secret", PAID], middleware=[nbchat.log_usage()])
    with caplog.at_level("INFO", "nbchat.usage"):
        chat.ask("secret")

    lines = [record.getMessage() for record in caplog.records if record.name == "nbchat.usage"]
    assert len(lines) == 2
    assert "function/x: 1 tokens in, 1 out, cost $0.3" in lines[0]
    assert "secret" not in " ".join(lines)


@pytest.mark.parametrize("given", [object(), 5, "x"])
def test_what_has_no_hook_is_no_middleware(store: nbchat.Store, given: Any) -> None:
    with pytest.raises(nbchat.NbchatError, match="no middleware"):
        chat_of(store).use(given)


def test_ask_and_stream_leave_the_same_rows_with_hooks_and_middleware(
    store: nbchat.Store,
) -> None:
    rows = []
    for asked in (ask, ask_stream):
        chat = chat_of(store, ["so ", ADD, FAIL], "done", middleware=[nbchat.redact()])
        chat.on_error(lambda error: nbchat.RETRY).on_tool_end(lambda call: None)
        asked(chat, f"mail {SECRET}")
        rows.append(stored_rows(store, chat.id, ttft=False))
    assert rows[0] == rows[1]
