"""The file under a store goes, comes back, or is another one: what was written is not lost."""

import os
import threading
import traceback

import duckdb
import pytest

import nbchat
from nbchat.store import compact, migrate
from nbchat.store import file as store_file

LEAVES_ITS_LOG = """
    import os, sys, nbchat
    chat = nbchat.load_chat("here", store=sys.argv[1], respond=lambda request: "acknowledged")
    chat.ask("in the log only")
    os.kill(os.getpid(), 9)
"""


@pytest.fixture
def chat(store):
    """A chat with one turn."""
    made = nbchat.create_chat("function/x", store=store, name="here", respond=lambda request: "hi")
    made.ask("hello")
    return made


def said(path):
    return [message.content for message in nbchat.load_chat("here", store=path).messages()]


def test_a_backup_put_in_its_place_under_the_lease_is_what_is_written_to(chat, store, path):
    store.close()
    backup = path.with_name("backup.duckdb")
    backup.write_bytes(path.read_bytes())
    chat.ask("lost with the file that was replaced")
    assert store._file._attached

    backup.replace(path)
    chat.ask("after the backup")

    store.close()
    with duckdb.connect(str(path)) as database:
        rows = database.execute("select content from messages order by seq").fetchall()
    assert [content for (content,) in rows] == ["hello", "hi", "after the backup", "hi"]


def test_a_log_whose_file_is_away_is_kept_until_it_is_back(chat, store, path, start):
    store.close()
    assert start(LEAVES_ITS_LOG, path).wait(timeout=60) == -9
    away = path.with_name("away.duckdb")
    path.rename(away)

    with pytest.raises(nbchat.StoreError, match=r"is gone, and its log .* still there"):
        nbchat.list_chats(store=store)

    away.rename(path)
    assert said(path) == ["hello", "hi", "in the log only", "acknowledged"]


def test_compacting_a_store_that_is_gone_says_so_and_makes_nothing(chat, store, path):
    store.close()
    path.unlink()

    with pytest.raises(nbchat.StoreError, match=r"There is no store"):
        store.compact()

    assert not path.exists()


def test_no_other_program_can_write_between_the_copy_and_the_swap(
    chat, store, path, start, monkeypatch
):
    """What it had written would be in the old file only."""
    swap = compact._swap
    answers = []

    def try_to_write(fresh, place):
        code = """
            import sys, duckdb
            try:
                duckdb.connect(sys.argv[1]).execute("update chats set name = 'theirs'")
            except duckdb.IOException as error:
                print("Could not set lock" in str(error))
        """
        answers.append(start(code, path).communicate(timeout=60))
        swap(fresh, place)

    monkeypatch.setattr(compact, "_swap", try_to_write)

    store.compact()

    assert answers == [("True\n", "")]
    assert said(path) == ["hello", "hi"]


def test_compacting_by_path_makes_no_tables_under_default_names(path):
    names = {"chat": "c", "message": "m", "tool_call": "t", "request": "r", "agent_session": "a"}
    nbchat.open_store(path, table_names=names).close()

    nbchat.compact(store=path)

    with duckdb.connect(str(path)) as database:
        tables = database.execute("select table_name from duckdb_tables()").fetchall()
    assert {name for (name,) in tables} == {
        "nbchat_version", *names.values(), "c_attachments", "c_feedback",
    }  # fmt: skip


def test_a_backup_outlives_a_migration_whose_end_is_not_known(path, monkeypatch):
    import gzip
    from pathlib import Path

    golden = Path(__file__).with_name("golden") / "v1.duckdb.gz"
    path.write_bytes(gzip.decompress(golden.read_bytes()))
    commit = migrate.commit

    def committed_and_then_interrupted(cursor):
        if commit(cursor) and path.with_name("chats.duckdb.v1.bak").exists():
            raise KeyboardInterrupt
        return True

    monkeypatch.setattr(migrate, "commit", committed_and_then_interrupted)
    with pytest.raises(KeyboardInterrupt):
        nbchat.open_store(path)

    assert path.with_name("chats.duckdb.v1.bak").exists()
    monkeypatch.undo()
    assert nbchat.list_chats(store=path)["name"].tolist() == ["golden"]


@pytest.mark.parametrize("use", ["use store.logs", "use memory"])
def test_sql_that_says_use_moves_nobody_elses_rows(chat, store, use):
    nbchat.open_store(store, schema="logs")

    store.sql(use, write=True)
    chat.ask("again")

    assert store.sql("select count(*) as n from main.messages")["n"].tolist() == [4]
    assert store.sql("select count(*) as n from logs.messages")["n"].tolist() == [0]


def test_a_thread_that_waits_too_long_for_another_is_told_so(chat, store, monkeypatch):
    monkeypatch.setattr(store_file, "BUSY_TIMEOUT_S", 0.2)
    holding, done = threading.Event(), threading.Event()

    def hold(cursor):
        holding.set()
        done.wait(30)

    holder = threading.Thread(target=store.transact, args=[hold])
    holder.start()
    assert holding.wait(30)

    with pytest.raises(nbchat.StoreBusy, match=r"another thread of this process for over 0\.2 s"):
        chat.messages()

    done.set()
    holder.join()
    assert len(chat.messages()) == 2


def test_what_was_said_is_never_spilled_beside_the_notebook(store):
    def settings(cursor):
        return cursor.execute(
            "select current_setting('temp_directory'), "
            "current_setting('autoinstall_known_extensions'), "
            "current_setting('autoload_known_extensions')"
        ).fetchall()

    assert store.read(settings) == [("", False, False)]


def test_a_key_is_in_no_variable_that_a_traceback_shows(path):
    key = "a key that nobody should see"

    with pytest.raises(nbchat.StoreError) as refused:
        nbchat.open_store(path, encryption_key=key)

    error = refused.value
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if "nbchat" in frame.f_code.co_filename and "tests" not in frame.f_code.co_filename:
                assert key not in repr(frame.f_locals)
        error = error.__cause__


def test_a_store_that_could_not_be_opened_with_a_key_opens_without(path):
    with pytest.raises(nbchat.StoreError, match="httpfs"):
        nbchat.open_store(path, encryption_key="some key or other")

    nbchat.create_chat("function/x", store=path, name="plain")

    assert nbchat.list_chats(store=path)["name"].tolist() == ["plain"]


def test_a_key_that_would_be_ignored_is_refused(store):
    for place in (":memory:", store):
        with pytest.raises(nbchat.ConfigError, match="encryption_key"):
            nbchat.open_store(place, encryption_key="some key or other")


def test_nothing_but_the_store_is_left_beside_it(chat, store, path):
    store.compact()
    store.close()

    assert {name for name in os.listdir(path.parent) if name.startswith("chats.duckdb")} == {
        "chats.duckdb", "chats.duckdb.lock", "chats.duckdb.wait",
    }  # fmt: skip


def test_a_connection_of_the_users_own_in_this_process_is_told_at_once(chat, store, path):
    store.close()
    own = duckdb.connect(str(path))

    with pytest.raises(nbchat.StoreBusy, match="open in this process by a connection of its own"):
        chat.ask("hello?")

    own.close()
    assert chat.ask("hello again").content == "hi"


def test_a_store_under_other_names_is_not_taken_for_an_empty_one(path):
    names = {"chat": "Assistant Chat", "message": "m", "tool_call": "t", "request": "r"}
    names["agent_session"] = "a"
    with nbchat.open_store(path, table_names=names) as store:
        nbchat.create_chat("function/x", store=store, name="here")
    before = path.read_bytes()

    with pytest.raises(nbchat.NotAStore, match=r"its chats are in 'Assistant Chat'.*table_names"):
        nbchat.list_chats(store=path)

    nbchat.open_store(path, table_names=names).close()
    assert path.read_bytes() == before


def test_a_store_in_another_schema_is_not_taken_for_an_empty_one(path):
    nbchat.open_store(path, schema="logs").close()

    with pytest.raises(nbchat.NotAStore, match=r"in the DuckDB schema 'logs'.*schema='logs'"):
        nbchat.open_store(path)


def test_an_answer_to_a_chat_that_was_deleted_meanwhile_is_not_put_aside(store, path):
    def delete_and_answer(request):
        nbchat.delete_chat("here", store=store)
        return "too late"

    chat = nbchat.create_chat("function/x", store=store, name="here", respond=delete_and_answer)

    with pytest.raises(nbchat.StoreError) as raised:
        chat.ask("hello")

    assert raised.value.unsaved.content == "too late"
    assert not path.with_name("chats.duckdb.spool").exists()


def test_an_answer_to_a_store_that_was_moved_away_meanwhile_is_put_aside(store, path):
    away = path.with_name("away.duckdb")

    def move_and_answer(request):
        store.close()
        path.rename(away)
        return "do not lose me"

    chat = nbchat.create_chat("function/x", store=store, name="here", respond=move_and_answer)
    with pytest.raises(nbchat.StoreError, match="is kept in"):
        chat.ask("hello")
    store.close()

    away.replace(path)

    assert said(path) == ["hello", "do not lose me"]
