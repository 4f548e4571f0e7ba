"""Tables under other names: same behaviour, beside default ones, and clear refusals."""

import pytest

import nbchat
from nbchat.errors import ConfigError, NotAStore

NAMES = {
    "chat": "Assistant Chat",
    "message": "select",
    "tool_call": 'tool "calls"',
    "request": "REQUEST_log",
    "agent_session": "sessions",
}


def respond(request):
    return f"heard {len(request.messages)}"


def test_every_table_may_have_another_name_even_one_that_needs_quotes(tmp_path):
    store = nbchat.open_store(tmp_path / "named.duckdb", table_names=NAMES)
    chat = nbchat.create_chat("function/x", respond=respond, store=store, name="first")

    chat.ask("one")
    again = nbchat.load_chat("first", store=store, respond=respond)
    answer = again.ask("two")

    assert answer.content == "heard 3"
    assert store.sql('select count(*) as n from "select"')["n"].tolist() == [4]
    assert store.sql('select turn, status from "Assistant Chat_turns"')["turn"].tolist() == [1, 2]
    assert chat.stats()[["turns", "requests"]].iloc[0].tolist() == [2, 2]
    assert chat.stats(by="status")["status"].tolist() == ["complete"]
    assert nbchat.list_chats(store=store)["turns"].tolist() == [2]
    nbchat.delete_chat("first", store=store)
    assert nbchat.list_chats(store=store).empty


def test_two_sets_of_tables_live_in_one_file_and_know_nothing_of_each_other(tmp_path):
    path = tmp_path / "both.duckdb"
    nbchat.create_chat("function/x", respond=respond, store=path).ask("plain")

    named = nbchat.create_chat("function/x", respond=respond, store=path, table_names=NAMES)
    named.ask("named")

    assert nbchat.list_chats(store=path)["turns"].tolist() == [1]
    assert nbchat.list_chats(store=path, table_names=NAMES)["turns"].tolist() == [1]
    assert nbchat.load_chat(named.id, store=path) is None
    assert nbchat.load_chat(named.id, store=path, table_names=NAMES).id == named.id


def test_unmapped_tables_keep_their_names(tmp_path):
    store = nbchat.open_store(tmp_path / "some.duckdb", table_names={"chat": "talks"})

    tables = store.sql("select table_name from duckdb_tables() order by 1")["table_name"]

    assert tables.tolist() == [
        "agent_sessions", "messages", "nbchat_version", "requests", "talks", "tool_calls",
    ]  # fmt: skip


def test_a_table_that_is_missing_beside_others_is_named(tmp_path):
    path = tmp_path / "default.duckdb"
    nbchat.open_store(path)

    with pytest.raises(NotAStore, match="'talks'"):
        nbchat.open_store(path, table_names={"chat": "talks"})


@pytest.mark.parametrize(
    ("mapping", "says"),
    [
        ({"chats": "x"}, "no key 'chats'"),
        ({"chat": ""}, "not a name"),
        ({"chat": "MESSAGES"}, "twice"),
        ({"chat": "a", "message": "A"}, "twice"),
        ({"message": "turns"}, "twice"),
        ({"request": "nbchat_version"}, "twice"),
    ],
)
def test_a_mapping_that_cannot_be_meant_is_refused(tmp_path, mapping, says):
    with pytest.raises(ConfigError, match=says):
        nbchat.open_store(tmp_path / "never.duckdb", table_names=mapping)

    assert not (tmp_path / "never.duckdb").exists()


def test_a_memory_store_takes_other_names_too():
    store = nbchat.open_store(":memory:", table_names=NAMES)
    chat = nbchat.create_chat("function/x", respond=respond, store=store)

    chat.ask("hello")

    assert store.sql('from "select"')["role"].tolist() == ["user", "assistant"]


def test_a_chat_fills_columns_that_the_user_added(tmp_path):
    store = nbchat.open_store(tmp_path / "own.duckdb")
    store.sql("alter table chats add column user_id bigint", write=True)

    nbchat.create_chat("function/x", respond=respond, store=store, columns={"user_id": 7})

    assert store.sql("select user_id from chats")["user_id"].tolist() == [7]


@pytest.mark.parametrize(("column", "says"), [("nobody", "has no column"), ("model", "own")])
def test_a_column_that_cannot_be_filled_is_named_and_no_chat_is_made(tmp_path, column, says):
    store = nbchat.open_store(tmp_path / "own.duckdb")

    with pytest.raises(ConfigError, match=says):
        nbchat.create_chat("function/x", respond=respond, store=store, columns={column: 7})

    assert nbchat.list_chats(store=store).empty
