"""Tables under other names: same behaviour, beside default ones, and clear refusals."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

import nbchat
from nbchat.errors import ConfigError, NotAStore
from nbchat.store.names import table_names_of

# a step of a question that has several: WITH
STEP = re.compile(r'^(?:with (?:recursive )?)?"(\w+)" as (?:not materialized )?\(', re.MULTILINE)
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
        "agent_sessions", "messages", "nbchat_version", "requests", "talks", "talks_attachments",
        "talks_feedback", "tool_calls",
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
        ({"chat": "_Chosen"}, "nbchat's own SQL uses"),
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


def test_a_column_of_the_same_table_in_another_schema_is_no_column_of_it(tmp_path):
    store = nbchat.open_store(tmp_path / "own.duckdb", schema="logs")
    store.sql("create schema other; create table other.chats (user_id bigint)", write=True)

    with pytest.raises(ConfigError, match="has no column 'user_id'"):
        nbchat.create_chat("function/x", respond=respond, store=store, columns={"user_id": 7})


# what steps and tables of nbchat's own SQL were called, or are, and some of its columns
ALIASES = [
    *"cmrtu", "chosen", "said", "found", "facts", "kept", "suspects", "old", "gone", "lost",
    "id", "_chats",
]  # fmt: skip
KEYS = ["chat", "message", "request", "tool_call", "agent_session"]


@pytest.mark.parametrize("first", range(len(ALIASES)))
def test_tables_may_be_called_what_nbchat_calls_something_else(tmp_path, first):
    use_everything(tmp_path, dict(zip(KEYS, (ALIASES * 2)[first:], strict=False)))


def test_no_table_may_be_called_what_a_step_of_sql_is_called():
    package = Path(nbchat.__file__).parent
    steps = {
        name
        for place in package.glob("**/*.sql")
        for name in STEP.findall(place.read_text(encoding="utf-8"))
    }

    assert len(steps) > 10
    for name in steps:
        with pytest.raises(ConfigError, match="nbchat's own SQL uses"):
            table_names_of({"chat": name})


def use_everything(folder, names):
    """Every public function, on tables of these names; what it gives is as for any names."""
    store = nbchat.open_store(":memory:", table_names=names)
    chat = nbchat.create_chat(
        "function/x", respond=respond, store=store, name="first", metadata={"user_id": 7}
    )
    chat.ask("hello")

    assert nbchat.search("hello", store=store)["turn"].tolist() == [1]
    assert len(nbchat.search("heard", store=store, metadata={"user_id": 7})) == 1
    for by in (None, "model", "status", "agent", "metadata.user_id"):
        assert len(nbchat.stats(by, store=store)) == 1
        assert {"turns", "requests", "tool_calls"} <= set(nbchat.stats(by, store=store).columns)
    assert nbchat.stats("tool", store=store).empty
    assert nbchat.stats(until="2000-01-01", store=store)["turns"].tolist() == [0]
    assert nbchat.list_chats(store=store, metadata={"user_id": 7})["turns"].tolist() == [1]
    assert len(chat.messages(as_frame=True)) == 2
    lines = chat.export(folder / "chat.jsonl", overwrite=True).read_text().splitlines()
    assert len(lines) == 4
    chat.rename("second").update_metadata({"more": 1})
    chat.archive().unarchive()
    assert store.doctor(repair=True)["repaired"].sum() == 0
    assert store.purge(timedelta(), content_only=True)["messages"].tolist() == [2]
    assert store.purge(timedelta())["chats"].tolist() == [1]
    kept = nbchat.create_chat("function/x", respond=respond, store=store, name="third")
    kept.ask("one")
    kept.ask("two")
    store.sql(
        f'update "{names["message"]}" set created_at = created_at - interval 9 day where turn = 1',
        write=True,
    )
    assert store.purge("8d")["messages"].tolist() == [2]
    assert [message.content for message in kept.messages()] == ["two", "heard 3"]
    nbchat.delete_chat("third", store=store)
    assert nbchat.list_chats(store=store).empty


@pytest.mark.parametrize(("column", "says"), [("nobody", "has no column"), ("model", "own")])
def test_a_column_that_cannot_be_filled_is_named_and_no_chat_is_made(tmp_path, column, says):
    store = nbchat.open_store(tmp_path / "own.duckdb")

    with pytest.raises(ConfigError, match=says):
        nbchat.create_chat("function/x", respond=respond, store=store, columns={column: 7})

    assert nbchat.list_chats(store=store).empty
