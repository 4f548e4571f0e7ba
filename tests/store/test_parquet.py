"""A store as Parquet files: every table and row, for any reader, whatever the tables are called."""

import os
import random
from pathlib import Path

import duckdb
import pandas as pd
import pytest

import nbchat
from nbchat.messages import Text, ToolCall
from nbchat.testing import scripted

try:
    import resource
except ImportError:  # not on Windows
    resource = None

TABLES = ["chats", "messages", "tool_calls", "requests", "agent_sessions"]
HEBREW = "שלום \U0001f600 'quoted' \"twice\" \\n\n\ttab"


def weather(city: str) -> str:
    """What it is like there."""
    return f"{city}: rain"


def fill(store: nbchat.Store, **options: object) -> nbchat.Chat:
    """A chat with a tool call, odd text and a failed turn."""
    replies = [
        [Text("let me look "), ToolCall("weather", {"city": HEBREW}, "c1")],
        HEBREW,
        nbchat.BadRequest("no", status=400),
    ]
    chat = nbchat.create_chat(
        "function/x", store=store, respond=scripted(replies), tools=[weather],
        metadata={"n": 1.5, "text": HEBREW}, **options,
    )  # fmt: skip
    chat.ask(HEBREW)
    with pytest.raises(nbchat.BadRequest):
        chat.ask("fails")
    return chat


def rows_of(path: str) -> list[tuple[object, ...]]:
    with duckdb.connect() as database:
        return database.execute("select * from read_parquet(?) order by id", [path]).fetchall()


def stored(store: nbchat.Store, table: str) -> list[tuple[object, ...]]:
    """The rows themselves, ids as text."""
    rows = store.read(lambda cursor: cursor.execute(f'from "{table}" order by id').fetchall())
    return [tuple(str(v) if type(v).__name__ == "UUID" else v for v in row) for row in rows]


def assert_same(store: nbchat.Store, written: pd.DataFrame) -> None:
    for table, path in zip(written["table"], written["path"], strict=True):
        assert rows_of(path) == stored(store, table)


@pytest.mark.parametrize("place", ["chats.duckdb", ":memory:"])
def test_every_table_reads_back_as_it_was(place: str, tmp_path: Path) -> None:
    where = place if place == ":memory:" else tmp_path / place
    with nbchat.open_store(where) as store:
        fill(store)

        written = store.export(tmp_path / "out")

        assert written["table"].tolist() == TABLES
        assert written["rows"].tolist() == [1, 3, 1, 3, 0]
        assert list(map(str, written.dtypes)) == ["string", "Int64", "string"]
        assert {Path(path).name for path in written["path"]} == set(os.listdir(tmp_path / "out"))
        assert_same(store, written)


@pytest.mark.parametrize("place", ["chats.duckdb", ":memory:"])
def test_columns_have_the_types_that_other_readers_know(place: str, tmp_path: Path) -> None:
    where = place if place == ":memory:" else tmp_path / place
    with nbchat.open_store(where) as store:
        written = store.export(tmp_path / "out").set_index("table")

    with duckdb.connect() as database:
        types = {
            table: dict(
                database.execute(
                    "select column_name, column_type from (describe from read_parquet(?))",
                    [written["path"][table]],
                ).fetchall()
            )
            for table in TABLES
        }
        compressions = database.execute(
            "select distinct compression from parquet_metadata(?)",
            [str(tmp_path / "out/*.parquet")],
        ).fetchall()
    assert types["messages"]["id"] == types["messages"]["parts"] == "VARCHAR"
    assert types["messages"]["created_at"] == "TIMESTAMP"
    assert types["requests"]["cost_usd"] == "DECIMAL(18,12)"
    assert "JSON" not in str(types)
    assert "UUID" not in str(types)
    assert compressions in ([], [("ZSTD",)])
    assert written["rows"].tolist() == [0] * 5


def test_what_is_written_is_compressed_with_zstd(store: nbchat.Store, tmp_path: Path) -> None:
    fill(store)
    path = store.export(tmp_path / "out")["path"][1]

    with duckdb.connect() as database:
        found = database.execute("select compression from parquet_metadata(?)", [path]).fetchall()

    assert set(found) == {("ZSTD",)}


@pytest.mark.parametrize("place", ["chats.duckdb", ":memory:"])
def test_custom_names_become_the_default_ones_and_own_columns_come_along(
    place: str, tmp_path: Path
) -> None:
    where = place if place == ":memory:" else tmp_path / place
    names = {"chat": 'My "chats"', "message": "select", "tool_call": "Tool Calls"}
    with nbchat.open_store(where, table_names=names, schema="my schema") as store:
        store.sql(
            'alter table "My ""chats""" add column "user ""id""" uuid; '
            'alter table "My ""chats""" add column tags json[]',
            write=True,
        )
        fill(store, columns={'user "id"': "0190b2a0-0000-7000-8000-000000000000"})
        store.sql("""update "My ""chats\""" set tags = ['{"a": 1}', '"b"']""", write=True)

        written = store.export(tmp_path / "it's out")

        assert written["table"].tolist() == TABLES
        assert_same(store, written)
        chats = rows_of(written["path"][0])
        assert chats[0][-2:] == ("0190b2a0-0000-7000-8000-000000000000", ['{"a": 1}', '"b"'])


def test_words_for_nothing_stay_words(tmp_path: Path) -> None:
    with nbchat.open_store(":memory:") as store:
        chat = nbchat.create_chat("function/x", store=store, respond=scripted(["NULL", "None"]))
        chat.ask("nan")
        chat.ask("null")

        assert_same(store, store.export(tmp_path / "out"))


def test_folder_and_files_are_for_their_owner_only(store: nbchat.Store, tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        written = store.export(tmp_path / "out")
    finally:
        os.umask(mask)

    assert os.stat(tmp_path / "out").st_mode & 0o777 == 0o700
    assert {os.stat(path).st_mode & 0o777 for path in written["path"]} == {0o600}


def test_what_is_there_already_is_replaced_only_when_asked(
    store: nbchat.Store, tmp_path: Path
) -> None:
    before = store.export(tmp_path / "out")
    fill(store)

    with pytest.raises(nbchat.ConfigError, match=r"chats\.parquet.*overwrite=True"):
        store.export(tmp_path / "out")

    assert rows_of(before["path"][0]) == []
    assert_same(store, store.export(tmp_path / "out", overwrite=True))
    assert sorted(os.listdir(tmp_path / "out")) == sorted(f"{table}.parquet" for table in TABLES)


def test_a_folder_of_the_users_keeps_what_else_is_in_it(
    store: nbchat.Store, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("mine")

    store.export(tmp_path)

    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_an_export_that_is_refused_leaves_nothing_behind(
    store: nbchat.Store, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "requests.parquet").mkdir()

    for folder in ("missing/out", "file"):
        with pytest.raises(nbchat.ConfigError, match="cannot take Parquet files"):
            store.export(tmp_path / folder)
    with pytest.raises(nbchat.ConfigError, match=r"requests\.parquet' is there already"):
        store.export(tmp_path / "taken", overwrite=True)

    assert not (tmp_path / "missing").exists()
    assert os.listdir(tmp_path / "taken") == ["requests.parquet"]


@pytest.mark.skipif(resource is None, reason="needs a limit on the size of files")
def test_an_export_that_finds_no_room_leaves_nothing_behind(
    store: nbchat.Store, tmp_path: Path
) -> None:
    chat = nbchat.create_chat("function/x", store=store, respond=lambda request: "ok")
    chat.ask(random.Random(1).randbytes(200_000).hex())
    store.close()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
        with pytest.raises(nbchat.StoreError, match=r"Nothing was exported.*messages\.parquet"):
            store.export(tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert not (tmp_path / "out").exists()
    assert store.export(tmp_path / "out")["rows"].sum() == 4


def test_the_store_goes_on_while_and_after_it_is_exported(
    store: nbchat.Store, tmp_path: Path
) -> None:
    chat = fill(store)
    first = store.export(tmp_path / "first")

    chat.rename("later")

    assert rows_of(first["path"][0])[0][1] is None
    assert rows_of(store.export(tmp_path / "second")["path"][0])[0][1] == "later"
