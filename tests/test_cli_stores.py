"""Stores from the command line: made, migrated, checked, cleared, compacted, taken out."""

import gzip
from pathlib import Path

import duckdb
import pytest

import nbchat
from nbchat.cli import main
from nbchat.store.schema import VERSION, schema_sql

CUSTOM = {
    "chat": "Assistant Chat", "message": "assistant_message", "tool_call": 'tool "call"',
    "request": "select", "agent_session": "assistant_agent",
}  # fmt: skip
GOLDEN = Path(__file__).parent / "store" / "golden" / "v1.duckdb.gz"


@pytest.fixture
def path(tmp_path):
    """A store with one turn."""
    place = tmp_path / "chats.duckdb"
    with nbchat.open_store(place) as store:
        chat = nbchat.create_chat(
            "function/x", store=store, name="orders", respond=lambda request: "Umbrellas."
        )
        chat.ask("What did we sell?")
    return place


@pytest.fixture
def run(capsys):
    """Runs a command; gives its exit code and what it wrote."""

    def run_command(*arguments):
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run_command


def test_init_prints_the_schema_for_review(run):
    assert run("init") == (0, schema_sql(), "")


def test_init_makes_a_store_and_never_overwrites(run, tmp_path):
    place = tmp_path / "new.duckdb"

    code, out, err = run("init", place)

    assert (code, out, err) == (0, f"Created {place}, schema version {VERSION}.\n", "")
    before = place.read_bytes()
    code, out, err = run("init", place)
    assert (code, out) == (1, "")
    assert "is there already and was not touched" in err
    assert place.read_bytes() == before


@pytest.mark.parametrize("text", ["", "my notes"])
def test_init_leaves_other_files_alone(run, tmp_path, text):
    place = tmp_path / "notes.txt"
    place.write_text(text)

    assert run("init", place)[0] == 1
    assert place.read_text() == text


def test_migrate_shows_what_is_due_and_then_does_it(run, tmp_path):
    place = tmp_path / "old.duckdb"
    place.write_bytes(gzip.decompress(GOLDEN.read_bytes()))
    before = place.read_bytes()

    code, out, err = run("migrate", place, "--dry-run")

    assert (code, err) == (0, "")
    assert "has schema version 1. Due:" in out
    assert 'alter table "chats" add column "archived_at" timestamp;' in out
    assert "Nothing was changed." in out
    assert place.read_bytes() == before
    code, out, err = run("migrate", place)
    assert (code, err) == (0, "")
    assert out.endswith(f"The store as it was is kept in {place}.v1.bak.\n")
    assert Path(f"{place}.v1.bak").read_bytes() == before
    assert run("migrate", place, "--dry-run") == (0, f"{place} is current.\n", "")


def test_doctor_says_that_a_store_is_whole_or_what_is_not(run, path):
    code, out, err = run("doctor", path)

    assert (code, err) == (0, "")
    assert {line.split()[0] for line in out.splitlines()} == {"ok", "note"}  # no known price
    nbchat.sql("delete from messages where role = 'user'", store=path, write=True)
    code, out, err = run("doctor", path)
    assert (code, err) == (1, "")
    assert any(line.startswith("WRONG") for line in out.splitlines())
    run("doctor", path, "--repair")
    assert run("doctor", path)[0] == 0


def test_doctor_does_not_fail_a_store_for_an_unknown_price(run, path):
    assert not nbchat.stats(store=path)["cost_complete"][0]

    code, out, _ = run("doctor", path)

    assert code == 0
    assert "unpriced" in out


def test_purge_counts_first_and_then_removes(run, path):
    nbchat.sql("update messages set created_at = '2020-01-01'", store=path, write=True)

    code, out, err = run("purge", path, "--older-than", "30d", "--content-only", "--dry-run")

    assert (code, err) == (0, "")
    assert "Would remove what is older than" in out
    assert nbchat.load_chat("orders", store=path).messages()[0].content == "What did we sell?"
    assert run("purge", path, "--older-than", "30d", "--content-only")[0] == 0
    assert nbchat.load_chat("orders", store=path).messages()[0].content == ""
    assert run("purge", path, "--older-than", "soon")[0] == 1


def test_compact_tells_the_sizes(run, path):
    code, out, err = run("compact", path)

    assert (code, err) == (0, "")
    assert out.endswith(" after.\n")


def test_export_writes_a_chat_or_the_whole_store(run, path, tmp_path):
    page = tmp_path / "orders.html"

    assert run("export", path, "--chat", "orders", "--out", page) == (0, f"{page}\n", "")
    assert "Umbrellas." in page.read_text()
    assert run("export", path, "--chat", "orders", "--out", page)[0] == 1
    assert run("export", path, "--chat", "orders", "--out", page, "--overwrite")[0] == 0
    code, _, err = run("export", path, "--chat", "nobody", "--out", tmp_path / "x.md")
    assert (code, "no chat 'nobody'" in err) == (1, True)
    assert run("export", path, "--out", tmp_path / "all")[0] == 0
    assert (tmp_path / "all" / "messages.parquet").exists()


@pytest.mark.parametrize(
    "command", [["migrate"], ["doctor"], ["compact"], ["purge", "--older-than", "1d"]]
)
def test_a_command_for_a_store_that_is_not_there_makes_none(run, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NBCHAT_DB", raising=False)

    code, _, err = run(*command)

    assert (code, "There is no store nbchat.duckdb" in err) == (1, True)
    assert list(tmp_path.iterdir()) == []


def test_a_store_is_found_as_in_python(run, path, monkeypatch):
    monkeypatch.setenv("NBCHAT_DB", str(path))

    assert run("compact")[0] == 0


def test_an_empty_name_of_the_default_store_is_an_error_as_in_python(run, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NBCHAT_DB", "")

    code, _, err = run("doctor")

    assert (code, "NBCHAT_DB is empty" in err) == (1, True)
    with pytest.raises(nbchat.ConfigError, match="NBCHAT_DB is empty"):
        nbchat.open_store()
    assert list(tmp_path.iterdir()) == []


FOR_DEFAULT_TABLES = [
    ["migrate"], ["migrate", "--dry-run"], ["doctor"], ["doctor", "--repair"],
    ["purge", "--older-than", "1d"], ["export", "--out", "folder"],
    ["export", "--out", "page.md", "--chat", "orders"],
]  # fmt: skip


def custom_names(place):
    with nbchat.open_store(place, table_names=CUSTOM) as store:
        nbchat.create_chat("function/x", store=store, respond=str, name="mine")


def another_schema(place):
    with nbchat.open_store(place, schema="logs") as store:
        nbchat.create_chat("function/x", store=store, respond=str)


def old_custom_names(place):
    place.write_bytes(gzip.decompress(GOLDEN.read_bytes()))
    tables = ["chats", "messages", "tool_calls", "requests", "agent_sessions", "nbchat_version"]
    with duckdb.connect(place) as database:
        for view in ("turns", "requests_priced"):
            database.execute(f"drop view {view}")
        for table in tables[:-1]:
            database.execute(f"drop table {table}")
        database.execute("delete from nbchat_version where tables = 'chats'")


@pytest.mark.parametrize("command", FOR_DEFAULT_TABLES, ids=" ".join)
@pytest.mark.parametrize(
    ("make", "named"),
    [
        (custom_names, '"main"."Assistant Chat"'),
        (another_schema, '"logs"."chats"'),
        (old_custom_names, '"main"."Assistant Chat"'),
    ],
    ids=["names", "schema", "old"],
)
def test_tables_of_other_names_are_named_and_left_alone(run, tmp_path, command, make, named):
    place = tmp_path / "chats.duckdb"
    make(place)
    before = place.read_bytes()

    code, out, err = run(command[0], place, *command[1:])

    assert (code, out) == (1, "")
    assert f"its chats are in {named}." in err
    assert place.read_bytes() == before
    assert not (tmp_path / "chats.duckdb.v1.bak").exists()


@pytest.mark.parametrize("command", [*FOR_DEFAULT_TABLES, ["compact"]], ids=" ".join)
@pytest.mark.parametrize(
    "sql",
    [
        "create table chats (id integer, said varchar)",
        "create table nbchat_version (version varchar)",
        "create table sales (n integer); create view nbchat_version as select 'chats' as tables, "
        "2 as version, '' as schema_hash",
    ],
)
def test_another_programs_file_is_left_alone(run, tmp_path, command, sql):
    place = tmp_path / "sales.duckdb"
    with duckdb.connect(place) as database:
        database.execute(sql)
    before = place.read_bytes()

    code, out, err = run(command[0], place, *command[1:])

    assert (code, out) == (1, "")
    assert "is no nbchat store and was not touched" in err
    assert place.read_bytes() == before


@pytest.mark.parametrize("text", ["", "my notes"])
def test_a_file_that_is_no_database_is_left_alone(run, tmp_path, text):
    place = tmp_path / "notes.txt"
    place.write_text(text)

    assert run("doctor", place)[0] == 1
    assert place.read_text() == text


def test_tables_made_by_hand_from_the_schema_are_a_store(run, tmp_path):
    place = tmp_path / "made.duckdb"
    with duckdb.connect(place) as database:
        database.execute(schema_sql())

    assert run("doctor", place)[0] == 0


@pytest.mark.parametrize("make", [custom_names, another_schema, old_custom_names])
def test_compact_needs_no_names_and_makes_no_tables(run, tmp_path, make):
    place = tmp_path / "chats.duckdb"
    make(place)
    tables = tables_in(place)

    assert run("compact", place)[0] == 0

    assert tables_in(place) == tables


def tables_in(place):
    """Every table, with its schema."""
    with duckdb.connect(place, read_only=True) as database:
        return database.execute(
            "select schema_name, table_name from duckdb_tables() order by all"
        ).fetchall()


def test_messages_speak_of_the_command_lines_own_options(run, path, tmp_path):
    page = tmp_path / "orders.md"
    run("export", path, "--chat", "orders", "--out", page)

    _, _, err = run("export", path, "--chat", "orders", "--out", page)

    assert "--overwrite" in err
    assert "=True" not in err
    nbchat.sql("delete from messages where role = 'user'", store=path, write=True)
    assert "--repair" in run("doctor", path)[1]
    code, _, err = run("export", path, "--out", tmp_path / "all.md")
    assert (code, "Give --chat" in err) == (1, True)
    code, _, err = run("doctor", tmp_path)
    assert (code, "is a folder" in err) == (1, True)
