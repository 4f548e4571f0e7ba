"""What a session leaves in the store: metadata that merge, tables of any name, nothing unwanted."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from four_ways import WAYS
from stored_rows import stored_rows

import nbchat
from nbchat.messages import ToolCall
from nbchat.testing import scripted

TABLES = {
    "chat": "AssistantChat", "message": "AssistantMessage", "tool_call": "AssistantToolCall",
    "request": "AssistantRequest", "agent_session": "Assistant Session",
}  # fmt: skip
PATCHES = """
import sys
import nbchat
class Support(nbchat.Agent):
    model = "function/x"
path, session_id, name = sys.argv[1:]
session = nbchat.load_agent_session(Support, session_id, store=path)
print("ready", flush=True)
sys.stdin.readline()
for number in range(5):
    session.update_metadata({f"{name}{number}": number})
"""


class Support(nbchat.Agent):
    """Answers customers."""

    model = "function/v1"
    instructions = "Be concise."


def rows(store: nbchat.Store, table: str) -> list[dict[str, Any]]:
    return store.sql(f'select * from "{table}"').to_dict("records")


def lookup(order: int) -> str:
    """Look an order up."""
    return f"order {order} is on its way"


def test_metadata_is_merged_in_the_store(store: nbchat.Store) -> None:
    class Named(nbchat.Agent):
        model = "function/x"
        instructions = staticmethod(
            lambda inputs: ", ".join(f"{key}={inputs[key]}" for key in sorted(inputs))
        )

    script = scripted(["ok"] * 3)
    one = nbchat.create_agent_session(Named, store=store, metadata={"a": 1, "deep": {"x": 1}},
                                      respond=script)  # fmt: skip
    two = nbchat.load_agent_session(Named, one.id, store=store)
    assert two is not None
    assert two.update_metadata({"b": 2}) is two
    one.update_metadata({"c": 3, "deep": {"y": 2}})
    assert one.metadata == {"a": 1, "b": 2, "c": 3, "deep": {"y": 2}}
    two.update_metadata({"a": None})
    one.ask("who?", inputs={"c": "mine"})
    assert script.requests[0].instructions == "a=None, b=2, c=mine, deep={'y': 2}"
    assert one.metadata == two.metadata == {"a": None, "b": 2, "c": 3, "deep": {"y": 2}}
    (row,) = rows(store, "agent_sessions")
    assert row["updated_at"] > row["created_at"]
    for bad in (5, {"x": object()}, {"x": float("nan")}):
        with pytest.raises(nbchat.ConfigError, match="metadata"):
            one.update_metadata(bad)


def test_patches_of_two_processes_all_survive(store: nbchat.Store) -> None:
    session = nbchat.create_agent_session(Support, store=store, metadata={"user_id": "u1"})
    store.close()
    root = str(Path(nbchat.__file__).parents[1])
    children = [
        subprocess.Popen(
            [sys.executable, "-c", PATCHES, str(store.path), session.id, name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": root},
        )
        for name in ("a", "b")
    ]  # fmt: skip
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        child.communicate("go\n", timeout=60)
        assert child.returncode == 0
    found = nbchat.load_agent_session(Support, session.id, store=store.path)
    assert found is not None
    expected = {f"{name}{number}": number for name in "ab" for number in range(5)}
    assert found.metadata == {"user_id": "u1", **expected}


def test_a_deleted_chat_takes_its_session_along(store: nbchat.Store) -> None:
    session = nbchat.create_agent_session(Support, store=store, respond=scripted(["hi", "no"]))
    session.ask("hello")
    nbchat.delete_chat(session.chat_id, store=store)
    assert rows(store, "agent_sessions") == []
    assert nbchat.load_agent_session(Support, session.id, store=store) is None
    for act in (lambda: session.ask("hello?"), lambda: session.update_metadata({"a": 1})):
        with pytest.raises(nbchat.StoreError, match=f"{session.id} is no longer in the store"):
            act()
    assert (rows(store, "chats"), rows(store, "messages")) == ([], [])


def test_a_sessions_chat_is_found_loaded_and_exported_like_any_other(
    way: str, store: nbchat.Store, tmp_path: Path
) -> None:
    session = nbchat.create_agent_session(
        Support, store=store, name="ticket 4", respond=scripted(["It is on its way."])
    )
    WAYS[way](session, "Where is it?")
    assert nbchat.list_chats(store=store)["id"].tolist() == [session.chat_id]
    chat = nbchat.load_chat("ticket 4", store=store)
    assert chat is not None
    assert chat.messages() == session.messages()
    page = session.chat.export(tmp_path / "ticket.md").read_text()
    assert "Where is it?" in page
    assert "It is on its way." in page


def test_a_session_lives_in_tables_of_any_name_and_columns_of_ones_own(
    way: str, tmp_path: Path
) -> None:
    place = tmp_path / "mapped.duckdb"
    first = nbchat.open_store(place, table_names=TABLES)
    first.sql('alter table "AssistantChat" add column "team" varchar', write=True)
    session = nbchat.create_agent_session(
        Support, store=place, table_names=TABLES, columns={"team": "blue"}, metadata={"u": "u1"},
        tools=[lookup], respond=scripted([ToolCall("lookup", {"order": 7}, "c1"), "here"]),
    )  # fmt: skip
    WAYS[way](session, "where?")
    loaded = nbchat.load_agent_session(
        Support, session.id, store=place, table_names=TABLES, respond=scripted(["still here"])
    )
    assert loaded is not None
    WAYS[way](loaded, "and now?")
    assert [m.content for m in loaded.messages()] == ["where?", "here", "and now?", "still here"]
    counts = [first.sql(f'select count(*) as n from "{name}"')["n"][0] for name in TABLES.values()]
    assert counts == [1, 4, 1, 3, 1]
    assert first.sql('select team from "AssistantChat"')["team"].tolist() == ["blue"]
    assert loaded.stats()["requests"].tolist() == [3]


def test_what_a_session_shall_not_keep_is_not_kept(way: str, store: nbchat.Store) -> None:
    replies = ["let me see", ToolCall("lookup", {"order": 4242}, "c1")], "it comes"
    session = nbchat.create_agent_session(
        Support, store=store, tools=[lookup], respond=scripted(replies), log_content=False,
        persist={"tool_calls": False},
    )  # fmt: skip
    ended = WAYS[way](session, "where is 4242?")
    assert ended.message is not None
    found = stored_rows(store, session.chat_id)
    assert (len(found["messages"]), len(found["tool_calls"]), len(found["requests"])) == (2, 0, 2)
    assert "4242" not in repr(found)
    assert [m.content for m in session.messages()] == ["where is 4242?", "let me seeit comes"]
    loaded = nbchat.load_agent_session(
        Support, session.id, store=store, tools=[lookup],
        respond=scripted([ToolCall("lookup", {"order": 4242}, "c1"), "still"]),
    )  # fmt: skip
    assert loaded is not None
    WAYS[way](loaded, "and 4242 now?")
    found = stored_rows(store, session.chat_id)
    assert len(found["tool_calls"]) == 0
    assert "4242" not in repr(found)


def test_a_session_lives_in_a_schema_of_its_own(way: str, tmp_path: Path) -> None:
    place = tmp_path / "shared.duckdb"
    team = nbchat.open_store(place, schema="team")
    session = nbchat.create_agent_session(Support, store=team, respond=scripted(["hi", "again"]))
    WAYS[way](session, "hello")
    with pytest.raises(nbchat.NbchatError, match="schema='team'"):
        nbchat.load_agent_session(Support, session.id, store=place)
    loaded = nbchat.load_agent_session(Support, session.id, store=team, respond=scripted(["yes"]))
    assert loaded is not None
    assert WAYS[way](loaded, "still?").message.content == "yes"
    assert [m.content for m in session.messages()] == ["hello", "hi", "still?", "yes"]
    assert session.total_usage == loaded.total_usage


def test_stats_know_the_agent_and_what_the_metadata_name(way: str, store: nbchat.Store) -> None:
    other = nbchat.define_agent("Sales", model="function/x")
    for agent, user in ((Support, "u1"), (Support, "u2"), (other, "u1")):
        session = nbchat.create_agent_session(
            agent, store=store, metadata={"user_id": user}, respond=scripted(["hi"])
        )
        WAYS[way](session, "hello")
    nbchat.create_chat("function/x", store=store, respond=scripted(["hi"])).ask("alone")
    by_agent = nbchat.stats(by="agent", store=store)
    assert by_agent["agent"].fillna("nobody").tolist() == ["Sales", "Support", "nobody"]
    assert by_agent["turns"].tolist() == [1, 2, 1]
    by_user = nbchat.stats(by="metadata.user_id", store=store)
    assert by_user["metadata.user_id"].fillna("nobody").tolist() == ["u1", "u2", "nobody"]
    assert by_user["turns"].tolist() == [2, 1, 1]
