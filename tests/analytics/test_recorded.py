"""What a chat does not record is NA in every sum, never 0, and makes a whole cost incomplete."""

from decimal import Decimal

import pandas as pd
import pytest
from seeded import add
from test_usage import KEYS, NUMBERS, TOKENS, dtypes, plain

import nbchat
from nbchat.exchange import Usage
from nbchat.messages import ToolCall

USED = Usage(100, 20, 30, 10, 5, Decimal("0.5"))
OF_REQUESTS = ["requests", "failed_requests", *TOKENS, "cost_usd", "duration_ms"]
KEPT = {
    "all": {},
    "no requests": {"requests": False},
    "no tool calls": {"tool_calls": False},
    "neither": {"requests": False, "tool_calls": False},
}


@pytest.fixture
def store():
    with nbchat.open_store(":memory:") as opened:
        yield opened


@pytest.fixture(scope="module")
def told():
    """For each choice a store whose one chat made it, and had one turn."""
    stores = {kept: nbchat.open_store(":memory:") for kept in KEPT}
    for kept, opened in stores.items():
        chat_of(opened, kept).ask("hi")
    yield stores
    for opened in stores.values():
        opened.close()


def chat_of(store, kept, model="function/x"):
    return nbchat.create_chat(
        model, store=store, tools=[add], persist=KEPT[kept], metadata={"user_id": kept},
        respond=lambda request: answer(request.messages[-1]),
    )  # fmt: skip


def answer(last):
    """One tool call first, then the end."""
    return [ToolCall("add", {"a": 1, "b": 2}), USED] if last.role == "user" else ["3", USED]


def assert_recorded(row, kept):
    """One turn's row says what is kept, and nothing of the rest."""
    assert row["turns"] == 1
    if "requests" in KEPT[kept]:
        assert row[OF_REQUESTS].isna().all()
        assert not row["cost_complete"]
    else:
        assert row[["requests", "failed_requests", *TOKENS]].tolist() == [2, 0, 200, 40, 60, 20, 10]
        assert (row["cost_usd"], row["cost_complete"]) == (1.0, True)
        assert row["duration_ms"] > 0
    assert row["tool_calls"] is pd.NA if "tool_calls" in KEPT[kept] else row["tool_calls"] == 1


@pytest.mark.parametrize("kept", KEPT)
def test_a_chat_says_what_it_records_under_every_key(told, kept):
    chat = nbchat.load_chat(nbchat.list_chats(store=told[kept])["id"][0], store=told[kept])

    for by in (None, "model", "turn", "day", "status"):
        frame = chat.stats(by)
        key = {by: KEYS[by]} if by else {}
        assert dtypes(frame) == [*key.items(), *NUMBERS.items()]
        assert len(frame) == 1
        assert_recorded(frame.astype(object).iloc[0], kept)


@pytest.mark.parametrize("kept", KEPT)
@pytest.mark.parametrize("by", [None, *KEYS])
def test_a_store_of_such_chats_says_so_under_every_key(told, kept, by):
    frame = nbchat.stats(by, store=told[kept])

    assert dtypes(frame) == [*({by: KEYS[by]} if by else {}).items(), *NUMBERS.items()]
    assert len(frame) == 1
    assert_recorded(frame.astype(object).iloc[0], kept)


@pytest.mark.parametrize("by", ["chat", "metadata.user_id", "model"])
def test_groups_of_one_store_know_what_each_records(store, by):
    chats = [chat_of(store, kept, f"function/{at}") for at, kept in enumerate(KEPT)]
    for chat in chats:
        chat.ask("hi")
    keys = {"chat": [c.id for c in chats], "model": [c.model for c in chats]}

    frame = nbchat.stats(by, store=store).astype(object).set_index(by)

    assert len(frame) == 4
    for key, kept in zip(keys.get(by, KEPT), KEPT, strict=True):
        assert_recorded(frame.loc[key], kept)


@pytest.mark.parametrize("by", [None, "model", "day", "status"])
def test_a_mixed_group_sums_what_is_recorded_and_is_incomplete(store, by):
    for kept in KEPT:
        chat_of(store, kept).ask("hi")

    [row] = nbchat.stats(by, store=store).to_dict("records")

    assert (row["turns"], row["requests"], row["tool_calls"]) == (4, 4, 2)
    assert [row[name] for name in TOKENS] == [400, 80, 120, 40, 20]
    assert (row["cost_usd"], row["cost_complete"]) == (2.0, False)


def test_a_mixed_group_without_a_request_used_nothing_that_is_known(store):
    chat_of(store, "neither").ask("hi")
    chat = chat_of(store, "all")
    chat._respond = lambda request: "never asked"
    store.sql(
        f"insert into messages (id, chat_id, seq, turn, role, status, content, parts, model, "
        f"provider, created_at) values (uuid(), '{chat.id}', 1, 1, 'user', 'complete', 'hi', "
        f"'[]', 'function/x', 'function', current_timestamp::timestamp)",
        write=True,
    )

    [row] = plain(nbchat.stats(store=store))

    assert row == [2, *[0] * 8, 0.0, False, 0.0]


@pytest.mark.parametrize("kept", KEPT)
def test_before_the_first_turn_only_what_is_recorded_is_zero(store, kept):
    chat = chat_of(store, kept)
    sent = None if "requests" in KEPT[kept] else 0
    called = None if "tool_calls" in KEPT[kept] else 0
    nothing = [[0, sent, sent, called, *[sent] * 5, sent, sent == 0, sent]]

    for frame in (
        chat.stats(),
        nbchat.stats(store=store),
        nbchat.stats(since="9000-01-01", store=store),
    ):
        assert dtypes(frame) == list(NUMBERS.items())
        assert plain(frame) == nothing
    assert chat.stats("model").empty


def test_before_the_first_turn_a_mixed_store_used_nothing_that_is_known(store):
    for kept in KEPT:
        chat_of(store, kept)

    assert plain(nbchat.stats(store=store)) == [[0] * 9 + [0.0, False, 0.0]]


def test_calls_on_another_day_than_their_turn_are_not_told_by_their_requests(store):
    chat_of(store, "no tool calls").ask("hi")
    store.sql("update messages set created_at = created_at - interval 2 day", write=True)

    frame = nbchat.stats("day", store=store)

    assert frame["turns"].tolist() == [1, 0]
    assert frame["requests"].tolist() == [0, 2]
    assert frame["tool_calls"].isna().all()


def test_a_chat_without_calls_changes_no_sum_of_another(store):
    chat_of(store, "all").ask("hi")
    store.sql(
        "update requests set started_at = started_at + interval 2 day; "
        "update tool_calls set started_at = started_at + interval 4 day",
        write=True,
    )
    before = plain(nbchat.stats("day", store=store))

    chat_of(store, "no tool calls")

    assert [row[4] for row in before] == [0, 0, 1]
    assert plain(nbchat.stats("day", store=store)) == before


def test_tools_of_a_chat_that_records_no_calls_have_no_rows(store):
    silent, telling = chat_of(store, "no tool calls"), chat_of(store, "no requests")
    silent.ask("hi")
    telling.ask("hi")

    assert silent.stats("tool").empty
    assert telling.stats("tool")["tool_calls"].tolist() == [1]
    assert nbchat.stats("tool", store=store)["turns"].tolist() == [1]


def test_a_chat_that_logs_no_content_counts_all_the_same(store):
    chats = [
        nbchat.create_chat(
            "function/x", store=store, tools=[add], log_content=log_content,
            respond=lambda request: answer(request.messages[-1]),
        )
        for log_content in (True, False)
    ]  # fmt: skip
    for chat in chats:
        chat.ask("hi")

    logged, unlogged = (chat.stats().drop(columns="duration_ms") for chat in chats)

    assert plain(unlogged) == plain(logged)


def test_own_table_names_change_nothing():
    names = {"chat": "requests_of_mine", "request": "tool_calls", "tool_call": "requests"}
    with nbchat.open_store(":memory:", table_names=names) as store:
        chat = chat_of(store, "no requests")

        assert plain(chat.stats())[0][:4] == [0, None, None, 0]
        chat.ask("hi")
        assert_recorded(chat.stats().astype(object).iloc[0], "no requests")
