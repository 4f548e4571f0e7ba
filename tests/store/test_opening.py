"""Opening a store: made when there is none, refused untouched when it is not one."""

import hashlib
import os
import sqlite3
import stat

import duckdb
import pytest

import nbchat
from nbchat.store import schema
from nbchat.store.names import KEYS, VIEWS

CATALOG = """
select table_name, column_name, data_type, is_nullable, comment
from duckdb_columns()
where not internal and schema_name = 'main' and database_name = current_database()
order by all
"""


def catalog(path):
    """Every column of every table and view, as a program sees it that knows no nbchat."""
    with duckdb.connect(str(path), read_only=True) as reader:
        return reader.execute(CATALOG).fetchall()


def change(path, *statements):
    """Change the file behind nbchat's back."""
    with duckdb.connect(str(path)) as owner:
        for statement in statements:
            owner.execute(statement)


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def make_sqlite(path):
    with sqlite3.connect(path) as database:
        database.execute("create table messages (id integer)")
    database.close()


FOREIGN = {
    "sqlite": make_sqlite,
    "text": lambda path: path.write_text("Dear diary,\n" * 500),
    "empty": lambda path: path.write_bytes(b""),
    "messages": lambda path: change(path, "create table messages (id integer, body varchar)"),
    "chats, of another case": lambda path: change(path, 'create table "Chats" (title varchar)'),
    "a view of our table's name": lambda path: change(path, "create view chats as select 1 as id"),
    "a view of our view's name": lambda path: change(path, "create view turns as select 1 as id"),
    "a table of our view's name": lambda path: change(path, "create table turns (id integer)"),
    "a version": lambda path: change(path, "create table nbchat_version (version integer)"),
}


def test_a_store_is_made_for_its_owner_only(path):
    nbchat.open_store(path).close()

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_no_path_means_nbchat_db_else_this_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NBCHAT_DB", str(tmp_path / "named.duckdb"))
    named = nbchat.open_store()
    monkeypatch.delenv("NBCHAT_DB")
    unnamed = nbchat.open_store()

    assert (named.path, unnamed.path) == (
        str(tmp_path / "named.duckdb"),
        str(tmp_path / "nbchat.duckdb"),
    )


def test_one_path_is_one_store_however_it_is_written(path, monkeypatch):
    monkeypatch.chdir(path.parent)

    first = nbchat.open_store(path)

    assert nbchat.open_store(str(path)) is first
    assert nbchat.open_store(path.name) is first
    assert nbchat.open_store(first) is first


def test_in_memory_stores_are_apart():
    first, second = nbchat.open_store(":memory:"), nbchat.open_store(":memory:")
    nbchat.create_chat("function/x", store=first, name="mine")

    assert nbchat.list_chats(store=first)["name"].tolist() == ["mine"]
    assert nbchat.list_chats(store=second)["name"].tolist() == []


def test_a_closed_store_opens_again_when_it_is_used(path):
    with nbchat.open_store(path) as store:
        nbchat.create_chat("function/x", store=store, name="kept")

    assert nbchat.list_chats(store=store)["name"].tolist() == ["kept"]


@pytest.mark.parametrize("name", ["it's.duckdb", "two words.duckdb", "日本 😀.duckdb", "x;y--.db"])
def test_any_file_name_will_do(tmp_path, name):
    chat = nbchat.create_chat("function/x", store=tmp_path / name, respond=lambda request: "hi")
    chat.ask("hello")
    chat.store.close()

    assert chat.store.sql("select count(*) as n from messages")["n"].tolist() == [2]
    assert (tmp_path / name).is_file()


@pytest.mark.parametrize("place", ["", 5, b"x", ["a"]], ids=repr)
def test_what_is_no_path_is_said_so(place):
    with pytest.raises(nbchat.ConfigError, match="is not a path for a store"):
        nbchat.open_store(place)


def test_a_folder_that_is_missing_is_not_made(tmp_path):
    with pytest.raises(nbchat.StoreError, match=r"The folder of .* does not exist"):
        nbchat.open_store(tmp_path / "typo" / "chats.duckdb")

    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("make", FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_file_is_refused_untouched(path, make):
    make(path)
    before = digest(path)

    with pytest.raises(nbchat.NotAStore, match="not touched"):
        nbchat.open_store(path)

    assert digest(path) == before
    assert not path.with_name(path.name + ".wal").exists()


def test_a_database_with_tables_of_its_own_takes_ours_beside_them(path):
    change(path, "create table orders (id integer)", "insert into orders values (1)")

    with nbchat.open_store(path) as store:
        assert store.sql("select count(*) as n from orders, chats")["n"].tolist() == [0]
        assert store.sql("from orders")["id"].tolist() == [1]


def test_a_newer_store_is_refused_untouched(path):
    nbchat.open_store(path).close()
    change(path, f"update nbchat_version set version = {schema.VERSION + 1}")
    before = digest(path)

    with pytest.raises(nbchat.StoreTooNew, match=r"Upgrade nbchat.* not touched"):
        nbchat.open_store(path)

    assert digest(path) == before


def test_a_store_that_is_upgraded_while_it_is_open_is_refused_from_then_on(path):
    store = nbchat.open_store(path)
    chat = nbchat.create_chat("function/x", store=store, respond=lambda request: "hi")
    store.close()
    change(path, f"update nbchat_version set version = {schema.VERSION + 1}")
    before = digest(path)

    with pytest.raises(nbchat.StoreTooNew):
        chat.ask("hello")

    assert digest(path) == before


def test_a_file_that_was_replaced_by_a_foreign_one_is_refused_untouched(path):
    store = nbchat.open_store(path)
    store.close()
    path.unlink()
    FOREIGN["messages"](path)
    before = digest(path)

    with pytest.raises(nbchat.NotAStore):
        nbchat.list_chats(store=store)

    assert digest(path) == before


@pytest.mark.parametrize("table", KEYS.values())
def test_a_missing_table_is_named(path, table):
    nbchat.open_store(path).close()
    change(path, f'drop table "{table}" cascade')

    with pytest.raises(nbchat.NotAStore, match=f"without its table '{table}'"):
        nbchat.open_store(path)


@pytest.mark.parametrize("held", [True, False], ids=["in the lease", "after it"])
def test_a_store_deleted_while_open_begins_anew(path, held):
    store = nbchat.open_store(path)
    nbchat.create_chat("function/x", store=store, name="before")
    if not held:
        store.close()

    path.unlink()
    nbchat.create_chat("function/x", store=store, name="after")
    store.close()

    assert nbchat.list_chats(store=store)["name"].tolist() == ["after"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_schema_sql_may_run_again(path):
    nbchat.open_store(path).close()
    first = catalog(path)

    change(path, schema.schema_sql(), schema.schema_sql())
    again = catalog(path)
    change(path, "update nbchat_version set schema_hash = 'of an older file'")
    nbchat.open_store(path).close()

    assert again == first
    assert catalog(path) == first


def test_schema_sql_is_the_whole_database_without_nbchat(path, tmp_path):
    plain = tmp_path / "plain.duckdb"
    change(plain, schema.schema_sql())
    nbchat.open_store(path).close()

    assert catalog(plain) == catalog(path)
    assert nbchat.list_chats(store=plain).empty


def test_every_column_and_every_view_is_explained(path):
    nbchat.open_store(path).close()

    with duckdb.connect(str(path), read_only=True) as reader:
        silent = reader.execute(
            """
            select table_name || '.' || column_name from duckdb_columns()
            where comment is null and table_name in (select table_name from duckdb_tables())
            union all
            select table_name from duckdb_tables() where comment is null
            union all
            select view_name from duckdb_views() where not internal and comment is null
            """
        ).fetchall()
        views = reader.execute("select view_name from duckdb_views() where not internal").fetchall()

    assert silent == []
    assert {name for (name,) in views} == set(VIEWS)


def test_the_file_holds_no_index_no_foreign_key_and_no_sequence(path):
    nbchat.open_store(path).close()

    with duckdb.connect(str(path), read_only=True) as reader:
        kinds = reader.execute(
            "select distinct constraint_type from duckdb_constraints()"
        ).fetchall()
        others = reader.execute(
            "select (select count(*) from duckdb_indexes()), count(*) from duckdb_sequences()"
        ).fetchone()

    assert {kind for (kind,) in kinds} == {"PRIMARY KEY", "NOT NULL", "CHECK"}
    assert others == (0, 0)
