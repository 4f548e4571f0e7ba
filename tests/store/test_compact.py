"""Real erasure: what was deleted is not in the bytes of the file, and nothing else is lost."""

import secrets

import duckdb
import pytest

import nbchat

CANARY = b"CANARY"
MINE = """
create schema other;
create table other.parts (a integer primary key, b integer generated always as (a * 2));
insert into other.parts (a) values (1), (2);
create view other.doubled as select b from other.parts;
create view outside as from other.doubled;
create macro plus_one(x) as x + 1;
create macro above(x) as table from other.parts where a > x;
create sequence counter;
create type mood as enum ('good', 'bad');
create table moods (mood mood, note varchar default 'none');
create index by_note on moods (note);
comment on table moods is 'mine';
insert into moods values ('good', 'CANARY kept');
"""
READ_MINE = """
select nextval('counter'), plus_one(1), (select count(*) from outside),
  (select count(*) from above(1)), (select mood::varchar from moods),
  (select comment from duckdb_tables() where table_name = 'moods')
"""


@pytest.fixture
def deleted(store):
    """A store whose canary was stored, in every column that has text, and deleted."""
    chat = nbchat.create_chat(
        "function/x", store=store, name="CANARY name", instructions="CANARY instructions",
        metadata={"note": "CANARY note"}, respond=lambda request: "CANARY answer " * 100,
    )  # fmt: skip
    for number in range(30):
        chat.ask(f"CANARY question {number}")
    keep = nbchat.create_chat("function/x", store=store, name="keep", respond=lambda request: "hi")
    keep.ask("hello")
    nbchat.delete_chat(chat.id, store=store)
    return store


def bytes_beside(path):
    return b"".join(file.read_bytes() for file in path.parent.iterdir() if file.is_file())


def test_deleted_text_is_gone_from_the_bytes(deleted, path):
    deleted.close()
    assert CANARY in path.read_bytes()  # DuckDB does not erase

    deleted.compact()

    assert CANARY not in bytes_beside(path)
    assert [message.content for message in nbchat.load_chat("keep", store=path).messages()] == [
        "hello", "hi",
    ]  # fmt: skip


def test_a_compacted_store_goes_on(deleted):
    deleted.compact()
    chat = nbchat.load_chat("keep", store=deleted, respond=lambda request: "again")

    assert chat.ask("more").turn == 2
    assert nbchat.stats(store=deleted)["turns"].tolist() == [2]


def test_the_sizes_are_told(store):
    chat = nbchat.create_chat("function/x", store=store, respond=lambda request: "x")
    for number in range(5):
        chat.ask(f"{number} {secrets.token_hex(300_000)}")
    store.close()
    nbchat.delete_chat(chat.id, store=store)

    sizes = store.compact()

    assert sizes.dtypes.astype(str).to_dict() == {"bytes_before": "Int64", "bytes_after": "Int64"}
    assert sizes["bytes_after"][0] * 2 < sizes["bytes_before"][0]


def test_what_else_is_in_the_file_stays(deleted):
    deleted.sql(MINE, write=True)
    deleted.sql("select nextval('counter')", write=True)

    deleted.compact()

    read = deleted.sql(READ_MINE, write=True).iloc[0].tolist()
    assert read == [2, 2, 2, 1, "good", "mine"]
    with pytest.raises(nbchat.StoreError, match="Constraint"):
        deleted.sql("insert into other.parts (a) values (1)", write=True)


def test_the_new_file_is_as_readable_as_the_old_one(deleted, path):
    path.chmod(0o640)

    deleted.compact()

    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(file.name for file in path.parent.iterdir()) == [
        "chats.duckdb", "chats.duckdb.lock", "chats.duckdb.wait",
    ]  # fmt: skip


def test_what_a_dead_process_left_in_its_log_is_kept(deleted, path, start):
    deleted.close()
    code = """
        import os, sys, duckdb
        duckdb.connect(sys.argv[1]).execute("update chats set name = 'renamed'")
        os._exit(0)
    """
    assert start(code, path).communicate(timeout=60) == ("", "")

    deleted.compact()

    assert nbchat.list_chats(store=deleted)["name"].tolist() == ["renamed"]


def test_another_notebook_goes_on_with_the_compacted_file(deleted, path, start):
    process = start(
        """
        import sys, nbchat
        chat = nbchat.load_chat("keep", store=sys.argv[1], respond=lambda request: "theirs")
        chat.ask("before")
        print("ready", flush=True)
        input()
        chat.ask("after")
        print(len(chat.messages()))
        """,
        path,
    )
    assert process.stdout.readline() == "ready\n"

    deleted.compact()

    assert process.communicate("go\n", timeout=60) == ("6\n", "")
    assert nbchat.stats(store=deleted)["turns"].tolist() == [3]


def test_a_store_that_cannot_be_copied_whole_is_left_as_it_was(deleted, path, monkeypatch):
    deleted.close()
    before = path.read_bytes()
    folder = path.with_name("chats.duckdb.compact")
    folder.mkdir()  # in the way of the new file

    with pytest.raises(nbchat.StoreError):
        deleted.compact()

    assert path.read_bytes() == before
    folder.rmdir()
    deleted.compact()
    assert CANARY not in bytes_beside(path)


def test_a_file_that_another_program_has_open_is_not_swapped(deleted, path, start, monkeypatch):
    deleted.close()
    monkeypatch.setattr(nbchat.store.file, "BUSY_TIMEOUT_S", 0.3)
    process = start(
        """
        import sys, duckdb
        database = duckdb.connect(sys.argv[1])
        print("held", flush=True)
        input()
        """,
        path,
    )
    assert process.stdout.readline() == "held\n"

    with pytest.raises(nbchat.StoreBusy, match=str(process.pid)):
        deleted.compact()

    process.communicate("go\n", timeout=30)
    deleted.compact()


def test_an_in_memory_store_has_nothing_to_compact():
    store = nbchat.open_store(":memory:")
    nbchat.create_chat("function/x", store=store, name="here")

    assert store.compact().iloc[0].tolist() == [0, 0]
    assert nbchat.list_chats(store=store)["name"].tolist() == ["here"]


def test_a_compacted_file_opens_without_nbchat(deleted, path):
    deleted.compact()
    deleted.close()

    with duckdb.connect(str(path), read_only=True) as database:
        assert database.execute("select name from chats").fetchall() == [("keep",)]
