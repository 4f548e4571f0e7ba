"""The middleware that comes with nbchat: redaction, a budget, and a log of what was used."""

import json
import logging
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from four_ways import WAYS
from stored_rows import pending, raw_rows, stored_rows

import nbchat
from nbchat.exchange import Usage
from nbchat.messages import Thinking, ToolCall
from nbchat.testing import ReplayServer, said, scripted

PROVIDERS = ("openai", "anthropic")
KEY = "ghp_" + "a8Kd93jfLs02mNcv7XqPzR41tYbHw6uEoGi5"
MAIL = "jane.doe@example.com"


@pytest.fixture
def store(tmp_path: Path) -> nbchat.Store:
    return nbchat.open_store(tmp_path / "chats.duckdb")


# Redaction ---------------------------------------------------------------------------------


def look_up(mail: str) -> str:
    """Look somebody up."""
    return f"{mail} has the key {KEY}"


def lose(mail: str) -> None:
    """Lose somebody."""
    raise ValueError(f"lost {mail}")


def replies() -> list[Any]:
    calls = [ToolCall("look_up", {"mail": MAIL}, "c1"), ToolCall("lose", {"mail": MAIL}, "c2")]
    first = said(Thinking(f"it is {MAIL}", "sig-1"), f"I ask {MAIL}. ", *calls)
    return [first, said(f"It is {KEY}."), said("bye")]


def secret_free(store: nbchat.Store) -> bool:
    """Whether neither secret is in any byte of the closed store or beside it."""
    store.close()
    place = Path(store.path)
    left = b"".join(
        file.read_bytes() for file in place.parent.glob(f"{place.name}*") if file.is_file()
    )
    assert b"function" in left or b"openai" in left or b"anthropic" in left
    return KEY.encode() not in left and MAIL.encode() not in left


@pytest.mark.parametrize("provider", PROVIDERS)
def test_redaction_masks_what_is_sent_and_stored_and_nothing_that_is_seen_live(
    provider: str, store: nbchat.Store
) -> None:
    rows = []
    for way in WAYS.values():
        with ReplayServer(*replies()) as server:
            chat = nbchat.create_chat(
                f"{provider}/x", base_url=server.url, store=store, tools=[look_up, lose],
                middleware=[nbchat.redact()], instructions=f"Ask {MAIL}.",
            )  # fmt: skip
            ended = way(chat, f"Who is {MAIL}? My key: {KEY}")
            assert ended.message is not None
            assert ended.message.content == f"I ask {MAIL}. It is {KEY}."
            if ended.events:
                assert ended.text == ended.message.content
            chat.with_instructions("Be kind.", replace=True)
            chat.ask("and now?")
        for received in server.requests:
            assert KEY.encode() not in received.body
            assert MAIL.encode() not in received.body
        assert b"Who is [email]? My key: [api key]" in server.requests[0].body
        assert b"lost [email]" in server.requests[1].body
        assert b"sig-1" not in server.requests[1].body
        rows.append(stored_rows(store, chat.id, ttft=False))
    assert rows == [rows[0]] * len(WAYS)
    calls = rows[0]["tool_calls"]
    assert [(call["arguments"], call["result"], call["error"]) for call in calls] == [
        ({"mail": "[email]"}, "[email] has the key [api key]", None),
        ({"mail": "[email]"}, None, "ValueError: lost [email]"),
    ]
    assert rows[0]["messages"][1]["content"] == "I ask [email]. It is [api key]."


def test_no_byte_of_the_file_holds_what_was_masked(store: nbchat.Store) -> None:
    for way in WAYS.values():
        chat = nbchat.create_chat(
            "function/x", store=store, tools=[look_up, lose], middleware=[nbchat.redact()],
            respond=scripted(replies()),
        )  # fmt: skip
        way(chat, f"Who is {MAIL}? My key: {KEY}")
        assert pending(store) == []
    assert secret_free(store)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_redacted_history_is_the_same_bytes_live_and_reloaded(
    provider: str, store: nbchat.Store
) -> None:
    sent = []
    for reload in (False, True):
        with ReplayServer(*replies()) as server:
            chat: Any = nbchat.create_chat(
                f"{provider}/x", base_url=server.url, store=store, tools=[look_up, lose],
                middleware=[nbchat.redact()],
            )  # fmt: skip
            chat.ask(f"Who is {MAIL}?")
            if reload:
                chat = nbchat.load_chat(chat.id, store=store, tools=[look_up, lose])
            chat.ask("and now?")
        sent.append(server.requests[2].body)
    assert sent[0] == sent[1]


@pytest.mark.parametrize(("send", "keep"), [(False, True), (True, False), (False, False)])
def test_redaction_can_leave_out_either_side(send: bool, keep: bool, store: nbchat.Store) -> None:
    with ReplayServer("fine") as server:
        chat = nbchat.create_chat(
            "openai/x", base_url=server.url, store=store,
            middleware=[nbchat.redact(send=send, store=keep)],
        )  # fmt: skip
        chat.ask(f"I am {MAIL}")
    assert (MAIL in json.dumps(server.requests[0].json)) is not send
    assert chat.messages()[0].content == ("I am [email]" if keep else f"I am {MAIL}")


def test_redaction_by_kind_and_by_rules_of_ones_own(store: nbchat.Store) -> None:
    own = nbchat.redact(personal=False, rules=[("ticket", r"T-\d+")])
    chat = nbchat.create_chat("function/x", store=store, respond=scripted(["ok"]), middleware=[own])
    chat.ask(f"{MAIL} {KEY} T-12")
    assert chat.messages()[0].content == f"{MAIL} [api key] [ticket]"


# A budget ------------------------------------------------------------------------------------


def costing(usd: str, text: str = "ok") -> Any:
    return [text, Usage(10, 10, cost_usd=Decimal(usd))]


def chat_with(store: nbchat.Store, *answers: Any, **more: Any) -> Any:
    """A chat and its script, which knows how often it was asked."""
    script = scripted(answers)
    return nbchat.create_chat("function/x", store=store, respond=script, **more), script


@pytest.mark.parametrize("way", WAYS)
def test_a_request_beyond_the_budget_is_not_sent_and_the_turn_says_why(
    way: str, store: nbchat.Store
) -> None:
    guard = nbchat.budget(usd="0.30")
    chat, script = chat_with(
        store, costing("0.1"), costing("0.19"), costing("0.01"), costing("9"), middleware=[guard]
    )
    for _ in range(3):  # 0.29 is below the limit, 0.30 is the limit
        assert WAYS[way](chat, "go on").error is None
    ended = WAYS[way](chat, "once more")
    assert isinstance(ended.error, nbchat.BudgetExceeded)
    assert str(ended.error).startswith("The budget of $0.30 for this chat is spent: $0.3 so far.")
    assert len(script.requests) == 3 == len(raw_rows(store, chat.id, "requests"))
    last = chat.messages()[-1]
    assert (last.status, last.content) == ("stopped", "")
    assert last.error == {"type": "BudgetExceeded", "message": str(ended.error)}
    assert pending(store) == []


@pytest.mark.parametrize("way", WAYS)
def test_a_turn_stops_between_rounds_and_resumes_under_a_larger_budget(
    way: str, store: nbchat.Store
) -> None:
    def now() -> str:
        """Tell the time."""
        return "noon"

    guard = nbchat.budget(usd=1)
    chat, script = chat_with(
        store, ["so ", ToolCall("now"), Usage(1, 1, cost_usd=Decimal(2))], costing("1", "noon"),
        tools=[now], middleware=[guard],
    )  # fmt: skip
    ended = WAYS[way](chat, "when?")
    assert isinstance(ended.error, nbchat.BudgetExceeded)
    assert (len(script.requests), chat.messages()[-1].content) == (1, "so ")
    with pytest.raises(nbchat.BudgetExceeded):
        chat.resume()
    guard.usd = Decimal(5)
    message = chat.resume()
    assert (message.status, message.content, message.error) == ("complete", "so noon", None)
    assert len(script.requests) == 2
    assert [row["status"] for row in raw_rows(store, chat.id, "tool_calls")] == ["ok"]


def test_a_budget_is_of_the_chat_or_of_the_store(store: nbchat.Store) -> None:
    chat_with(store, costing("3"))[0].ask("spend")
    own, _ = chat_with(store, costing("1"), middleware=[nbchat.budget(usd=2)])
    assert own.ask("hello").content == "ok"
    whole, script = chat_with(store, "never", middleware=[nbchat.budget(usd=2, per="store")])
    with pytest.raises(nbchat.BudgetExceeded, match=r"for this store is spent: \$4 so far"):
        whole.ask("hello")
    assert script.requests == []


def test_a_budget_of_the_day_forgets_what_was_spent_before_it(store: nbchat.Store) -> None:
    chat, _ = chat_with(store, costing("3"), "more", middleware=[nbchat.budget(usd=2, per="day")])
    chat.ask("spend")
    with pytest.raises(nbchat.BudgetExceeded, match=r"for today \(UTC\) is spent"):
        chat.ask("more")
    store.transact(
        lambda cursor: cursor.execute(
            'update "requests" set "started_at" = "started_at" - interval 1 day'
        )
    )
    assert chat.ask("more").content == "more"


SPEND = """
import sys, nbchat
from decimal import Decimal
from nbchat.exchange import Usage
from nbchat.testing import scripted
answer = ["ok", Usage(1, 1, cost_usd=Decimal(7))]
nbchat.create_chat("function/x", store=sys.argv[1], respond=scripted([answer])).ask("spend")
"""


def test_a_budget_counts_what_another_process_spends_meanwhile(store: nbchat.Store) -> None:
    chat, script = chat_with(
        store, "first", "never", middleware=[nbchat.budget(usd=5, per="store")]
    )
    chat.ask("hello")
    subprocess.run([sys.executable, "-c", SPEND, str(store.path)], check=True, timeout=120)
    with pytest.raises(nbchat.BudgetExceeded, match=r"\$7 so far"):
        chat.ask("hello")
    assert len(script.requests) == 1


def test_a_turn_that_failed_after_it_was_answered_counts(store: nbchat.Store) -> None:
    def now() -> str:
        """Tell the time."""
        return "noon"

    guard = nbchat.budget(usd=2.5)
    chat, script = chat_with(
        store, [ToolCall("now"), Usage(1, 1, cost_usd=Decimal(2))],
        nbchat.BadRequest("no", status=400), "never",
        tools=[now], middleware=[guard, nbchat.budget(usd=4, per="store")],
    )  # fmt: skip
    with pytest.raises(nbchat.BadRequest):
        chat.ask("when?")
    guard.usd = Decimal(2)
    with pytest.raises(nbchat.BudgetExceeded, match=r"\$2 so far"):
        chat.ask("when?")
    assert len(script.requests) == 2


def test_requests_without_a_price_count_as_nothing_unless_they_are_refused(
    store: nbchat.Store,
) -> None:
    chat, _ = chat_with(store, "free", "free", middleware=[nbchat.budget(usd=1)])
    chat.ask("hello")
    assert chat.ask("hello").content == "free"
    strict, script = chat_with(
        store, nbchat.BadRequest("no", status=400), "free", "never",
        middleware=[nbchat.budget(usd=1, unpriced="refuse")],
    )  # fmt: skip
    with pytest.raises(nbchat.BadRequest):
        strict.ask("refused, so it cost nothing")
    strict.ask("hello")
    with pytest.raises(nbchat.BudgetExceeded, match="1 requests for this chat have no known"):
        strict.ask("hello")
    assert len(script.requests) == 2


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"usd": "five"}, "usd='five'"), ({"usd": -1}, "usd=-1"), ({"usd": True}, "usd=True"),
        ({"usd": float("nan")}, "usd=nan"), ({"usd": float("inf")}, "usd=inf"),
        ({"usd": None}, "usd=None"), ({"usd": 1, "per": "week"}, "per='week'"),
        ({"usd": 1, "unpriced": "maybe"}, "unpriced='maybe'"),
    ],
)  # fmt: skip
def test_what_is_no_budget_is_refused_at_once(wrong: Any, said: str) -> None:
    with pytest.raises(nbchat.ConfigError, match=said):
        nbchat.budget(**wrong)


# A log of what was used -----------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_each_reply_is_one_line_of_figures_and_no_words(
    way: str, store: nbchat.Store, caplog: pytest.LogCaptureFixture
) -> None:
    def now(city: str) -> str:
        """Tell the time."""
        return "half past noon"

    chat, _ = chat_with(
        store, nbchat.ServerError("down", status=503, retry_after_s=0.0),
        ["let me see", ToolCall("now", {"city": "Rome"}), Usage(11, 7, cost_usd=Decimal("0.25"))],
        "it is noon", tools=[now], middleware=[nbchat.log_usage()],
    )  # fmt: skip
    with caplog.at_level(logging.DEBUG, logger="nbchat.usage"):
        WAYS[way](chat, "what time is it?")
    records = [record for record in caplog.records if record.name == "nbchat.usage"]
    rows = [row for row in raw_rows(store, chat.id, "requests") if row["status_code"] == 200]
    assert [(record.levelno, record.getMessage()) for record in records] == [
        (logging.INFO, f"chat {chat.id}, function/x: {figures}, {row['duration_ms']:.0f} ms")
        for row, figures in zip(
            rows,
            ["11 tokens in, 7 out, cost $0.25", "? tokens in, ? out, cost unknown"],
            strict=True,
        )
    ]


def test_the_log_goes_where_it_is_told_to(
    store: nbchat.Store, caplog: pytest.LogCaptureFixture
) -> None:
    own = logging.getLogger("mine")
    loggers = [nbchat.log_usage(own, level=logging.DEBUG), nbchat.log_usage("theirs")]
    chat, _ = chat_with(store, costing("1"), middleware=loggers)
    with caplog.at_level(logging.DEBUG):
        chat.ask("hello")
    found = {(r.name, r.levelno) for r in caplog.records if r.name in ("mine", "theirs")}
    assert found == {("mine", logging.DEBUG), ("theirs", logging.INFO)}
