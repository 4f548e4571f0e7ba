"""A store beside other things: in a DuckDB schema of its own, among other tables, on any disk."""

from pathlib import Path

import duckdb
import pytest

import nbchat
from nbchat.store import network
from nbchat.store.network import network_type
from nbchat.store.schema import schema_sql

SCHEMAS = ["logs", "Chat Logs", 'a "quoted" one', "select"]
MOUNTS = """\
sysfs /sys sysfs rw,nosuid 0 0
/dev/vda / ext4 rw,relatime 0 0
server:/home /home nfs4 rw,vers=4.2 0 0
/dev/sdb /home/ada/local ext4 rw 0 0
//nas/share /mnt/team\\040share cifs rw 0 0
ada@host: /mnt/host fuse.sshfs rw 0 0
tmpfs /tmp tmpfs rw 0 0
"""


@pytest.fixture(params=SCHEMAS)
def inside(request, path):
    """A store in a DuckDB schema of the file, beside one in main."""
    with nbchat.open_store(path) as main:
        yield nbchat.open_store(main, schema=request.param)


def talk(store, name, text):
    chat = nbchat.create_chat("function/x", store=store, name=name, respond=lambda request: text)
    chat.ask("hello")
    return chat


def test_a_store_in_another_schema_is_a_store_of_its_own(inside, path):
    main = nbchat.open_store(path)
    talk(inside, "there", "inside")
    talk(main, "here", "main")
    talk(inside, "there too", "inside")

    assert set(nbchat.list_chats(store=inside)["name"]) == {"there", "there too"}
    assert nbchat.list_chats(store=main)["name"].tolist() == ["here"]
    assert inside.sql("select distinct answer from turns")["answer"].tolist() == ["inside"]
    assert main.sql("select distinct answer from turns")["answer"].tolist() == ["main"]
    assert nbchat.stats(store=inside)["turns"].tolist() == [2]
    nbchat.delete_chat("there", store=inside)
    assert nbchat.load_chat("here", store=main).messages()[-1].content == "main"


def test_sql_that_writes_means_the_same_schema(inside, path):
    talk(inside, "there", "inside")

    inside.sql("update chats set name = 'renamed'", write=True)

    assert nbchat.load_chat("renamed", store=inside) is not None
    assert nbchat.list_chats(store=path).empty


def test_a_store_that_was_made_by_hand_in_a_schema_is_opened_there(path):
    with duckdb.connect(str(path)) as database:
        database.execute("create schema logs; use logs;" + schema_sql())

    with nbchat.open_store(path, schema="logs") as store:
        talk(store, "there", "inside")

    with duckdb.connect(str(path)) as database:
        found = database.execute("select schema_name, table_name from duckdb_tables()").fetchall()
        assert {schema for schema, _ in found} == {"logs"}
        assert database.execute("select content from logs.messages").fetchall() == [
            ("hello",), ("inside",),
        ]  # fmt: skip


def test_other_names_in_another_schema(path):
    store = nbchat.open_store(path, schema="logs", table_names={"chat": "turns", "message": "M"})

    talk(store, "there", "inside")

    assert store.sql('select answer from "turns_turns"')["answer"].tolist() == ["inside"]


def test_tables_of_our_names_in_another_schema_are_let_be(path):
    with duckdb.connect(str(path)) as database:
        database.execute("create schema shop; create table shop.chats (id integer, note varchar)")
        database.execute("insert into shop.chats values (1, 'mine')")

    talk(path, "here", "main")
    nbchat.create_chat("function/x", store=path, name="again")

    nbchat.open_store(path).close()
    with duckdb.connect(str(path)) as database:
        assert database.execute("from shop.chats").fetchall() == [(1, "mine")]


def test_in_memory_stores_have_schemas_too():
    store = nbchat.open_store(":memory:", schema="logs")

    talk(store, "there", "inside")

    assert store.sql("select answer from turns")["answer"].tolist() == ["inside"]


@pytest.mark.parametrize("schema", ["", "  ", "nul\0", 7])
def test_what_cannot_be_a_schema_is_refused(path, schema):
    with pytest.raises(nbchat.ConfigError, match="schema="):
        nbchat.open_store(path, schema=schema)


@pytest.mark.parametrize(
    ("where", "type_"),
    [
        ("/home/ada/chats.duckdb", "nfs4"),
        ("/home/ada/local/chats.duckdb", None),
        ("/mnt/team share/chats.duckdb", "cifs"),
        ("/mnt/host/chats.duckdb", "fuse.sshfs"),
        ("/tmp/chats.duckdb", None),
        ("/homes/chats.duckdb", None),
    ],
)
def test_a_network_file_system_is_known_by_its_mount(where, type_):
    assert network_type(Path(where), MOUNTS) == type_


def test_a_store_on_a_network_file_system_is_warned_of_once(tmp_path, monkeypatch):
    mounts = tmp_path / "mounts"
    mounts.write_text(f"server:/data {tmp_path} nfs rw 0 0\n")
    monkeypatch.setattr(network, "MOUNTS", mounts)

    with pytest.warns(UserWarning, match=r"network file system \(nfs\).*one machine at a time"):
        nbchat.open_store(tmp_path / "far.duckdb")

    nbchat.create_chat("function/x", store=tmp_path / "far.duckdb")  # a second warning would fail
