"""Stores of every released version open, keep every row, and end equal to a fresh one."""

import contextlib
import gzip
import json
import shutil
from pathlib import Path

import duckdb
import pytest
from golden.make import CUSTOM

import nbchat
from nbchat.store import migration_due
from nbchat.store.identity import new_id
from nbchat.store.migrate import FOLDER, steps_after
from nbchat.store.names import KEYS, table_names_of
from nbchat.store.schema import VERSION

GOLDEN = Path(__file__).with_name("golden")
NAMES = {"default names": None, "custom names": CUSTOM}

SHAPE = """
select 'table', table_name, comment, null, null, null from duckdb_tables()
where database_name = current_database()
union all
select 'column', table_name || '.' || column_name, comment, data_type, is_nullable, column_default
from duckdb_columns() where database_name = current_database() and column_name <> 'customer'
union all
select 'view', view_name, comment, sql, null, null from duckdb_views()
where database_name = current_database() and not internal
union all
select 'constraint', table_name, constraint_text, null, null, null from duckdb_constraints()
where database_name = current_database()
order by all
"""
WAL_OF_A_DEAD_PROCESS = """
    import os, sys, duckdb
    database = duckdb.connect(sys.argv[1])
    database.execute("update chats set name = 'renamed before it died'")
    os._exit(0)
"""


@pytest.fixture(params=range(1, VERSION), ids=lambda version: f"v{version}")
def old(request, tmp_path):
    """A store that a released nbchat of that version wrote."""
    path = tmp_path / "old.duckdb"
    with gzip.open(GOLDEN / f"v{request.param}.duckdb.gz") as packed, open(path, "wb") as file:
        shutil.copyfileobj(packed, file)
    return path


@pytest.fixture
def version(request):
    """The schema version of the old store."""
    return request.node.callspec.params["old"]


@contextlib.contextmanager
def bare(path):
    database = duckdb.connect(str(path))
    try:
        yield database
    finally:
        database.close()


def rows_of(path, names):
    """Every row of the old tables, as it reads without what later versions added."""
    tables = {key: table_names_of(names).of(default) for key, default in KEYS.items()}
    found = {}
    with bare(path) as database:
        for key, table in tables.items():
            quoted = table.replace('"', '""')
            cursor = database.execute(f'select * from "{quoted}" order by id')
            columns = [column for column, *_ in cursor.description]
            found[key] = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
    return found


def shape_of(path):
    with bare(path) as database:
        return database.execute(SHAPE).fetchall()


def open_and_close(path, names=None):
    with nbchat.open_store(path, table_names=names):
        pass


def test_every_released_version_has_its_step_and_its_golden_file():
    assert [step.name[:4] for step in steps_after(1)] == [
        f"{version:04}" for version in range(2, VERSION + 1)
    ]
    assert len(list(FOLDER.glob("*.sql"))) == VERSION - 1
    assert sorted(path.name for path in GOLDEN.glob("*.gz")) == [
        f"v{version}.duckdb.gz" for version in range(1, VERSION)
    ]


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_an_old_store_keeps_every_row(old, names):
    before = rows_of(old, names)
    assert all(before.values())

    open_and_close(old, names)

    after = rows_of(old, names)
    for key, rows in before.items():
        assert [{column: row[column] for column in rows[0]} for row in after[key]] == rows
    added = {column for rows in after.values() for row in rows for column in row}
    assert {"archived_at", "content_removed_at", "parent_tool_call_id", "approval"} <= added


def test_an_old_store_ends_equal_to_a_fresh_one(old, tmp_path):
    fresh = tmp_path / "fresh.duckdb"
    for names in NAMES.values():
        open_and_close(old, names)
        open_and_close(fresh, names)

    assert shape_of(old) == shape_of(fresh)


def test_a_copy_of_the_old_store_is_kept_before_anything_changes(old, version):
    before = old.read_bytes()

    open_and_close(old)
    open_and_close(old, CUSTOM)

    backups = sorted(old.parent.glob("*.bak"))
    assert [path.name for path in backups] == [
        f"old.duckdb.v{version}.2.bak",
        f"old.duckdb.v{version}.bak",
    ]
    assert backups[1].read_bytes() == before
    assert {path.stat().st_mode & 0o777 for path in backups} == {0o600}
    open_and_close(old)
    assert sorted(old.parent.glob("*.bak")) == backups


def test_what_a_dead_process_left_in_its_log_is_in_the_copy_too(old, version, start):
    assert start(WAL_OF_A_DEAD_PROCESS, old).communicate(timeout=60) == ("", "")
    assert old.with_name("old.duckdb.wal").exists()

    open_and_close(old)

    for path in (old, old.with_name(f"old.duckdb.v{version}.bak")):
        assert rows_of(path, None)["chat"][0]["name"] == "renamed before it died"


def test_a_dry_run_tells_what_is_due_and_changes_nothing(old, version):
    before = old.read_bytes()

    found = migration_due(old)

    assert (found.version, found.steps) == (version, steps_after(version))
    assert found.backup == old.with_name(f"old.duckdb.v{version}.bak")
    assert old.read_bytes() == before
    assert [path.name for path in old.parent.glob("*.bak")] == []
    open_and_close(old)
    assert migration_due(old) is None


def test_a_step_that_fails_leaves_the_store_as_it_was(old):
    with bare(old) as database:
        database.execute("alter table chats add column pinned_at integer")
    before = rows_of(old, None)
    shape = shape_of(old)

    with pytest.raises(nbchat.StoreError, match=r"0004_\S+\.sql failed, and nothing was changed"):
        nbchat.open_store(old)

    assert rows_of(old, None) == before
    assert shape_of(old) == shape
    with bare(old) as database:
        database.execute("alter table chats drop column pinned_at")
    open_and_close(old)
    assert migration_due(old) is None


def test_tables_made_by_hand_from_an_old_schema_are_migrated_too(old):
    with bare(old) as database:
        database.execute("delete from nbchat_version")

    open_and_close(old)

    with bare(old) as database:
        version = database.execute("select tables, version from nbchat_version").fetchall()
    assert version == [("chats", VERSION)]


def test_an_old_chat_goes_on(old):
    sent = []
    chat = nbchat.load_chat(
        "golden", store=old, respond=lambda request: sent.append(request) or "Hello again."
    )

    answer = chat.ask("Do you remember?")

    assert (answer.turn, answer.content) == (5, "Hello again.")
    assert [message.content for message in sent[0].messages] == [
        "What did we sell?", "Umbrellas: 雨傘 ☂", "Double 21.", "Let me see. It is 42.",
        "Count.", "one two ", "Do you remember?",
    ]  # fmt: skip


def test_an_answer_that_an_old_nbchat_could_not_store_is_taken_in(old):
    chat = rows_of(old, None)["chat"][0]
    user = [row for row in rows_of(old, None)["message"] if row["role"] == "user"][-1]
    spool = old.with_name("old.duckdb.spool")
    spool.mkdir()
    message = {
        "id": new_id(), "chat_id": str(chat["id"]), "role": "assistant",
        "content": "kept aside", "parent_id": str(user["id"]), "seq": 8, "turn": 4,
        "status": "complete", "parts": [{"kind": "text", "text": "kept aside", "round": 1}],
        "thinking_text": None, "thinking_signature": None, "thinking_tokens": None,
        "input_tokens": 1, "output_tokens": 2, "cached_input_tokens": None,
        "cache_write_tokens": None, "model": "function/golden", "provider": "function",
        "finish_reason": "stop", "raw": [], "error": None,
        "created_at": "2026-11-23 07:00:00+00:00", "finished_at": "2026-11-23 07:00:01+00:00",
    }  # fmt: skip
    record = {"tables": "chats", "message": message, "requests": []}
    (spool / f"{message['id']}.json").write_text(json.dumps(record))

    open_and_close(old)
    frame = nbchat.load_chat("golden", store=old).messages(as_frame=True)

    assert frame["content"].tolist()[-1] == "kept aside"
    assert not spool.exists()


def test_notebooks_that_open_an_old_store_at_once_migrate_it_once(old, version, start):
    code = """
        import sys, nbchat
        print("ready", flush=True)
        input()
        print(len(nbchat.list_chats(store=sys.argv[1])))
    """
    processes = [start(code, old) for _ in range(4)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()

    ends = [process.communicate(timeout=60) for process in processes]

    assert ends == [("1\n", "")] * 4
    assert [path.name for path in old.parent.glob("*.bak")] == [f"old.duckdb.v{version}.bak"]
