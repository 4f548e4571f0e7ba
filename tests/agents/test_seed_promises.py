"""What the seed document says of tools and agent sessions, line by line, on a DuckDB file."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from four_ways_of_agents import WAYS

import nbchat
from nbchat.exchange import Usage
from nbchat.messages import ToolCall
from nbchat.testing import ReplayServer, said, scripted


@pytest.fixture
def store(tmp_path: Path) -> nbchat.Store:
    return nbchat.open_store(tmp_path / "agents.duckdb")


@pytest.fixture(params=WAYS)
def ask(request: pytest.FixtureRequest) -> Any:
    return WAYS[request.param]


def lookup_order(order: int) -> str:
    """Look up an order."""
    return f"order {order} is on its way"


def cancel_order(order: int) -> str:
    """Cancel an order."""
    return f"order {order} is cancelled"


class SupportAgent(nbchat.Agent):
    model = "function/support"
    instructions = "You are a helpful support agent. Be concise."
    tools = (lookup_order, cancel_order)


class SalesAgent(nbchat.Agent):
    model = "function/sales"


def rows(store: nbchat.Store, sql: str, *params: Any) -> list[dict[str, Any]]:
    return list(nbchat.sql(sql, list(params), store=store).to_dict("records"))


# Tools ---------------------------------------------------------------------------------------


def test_tools_are_tracked_without_configuration(store: nbchat.Store, ask: Any) -> None:
    class GetWeather(nbchat.Tool):
        """The weather of a city."""

        def execute(self, city: str) -> str:
            return f"rain in {city}"

    script = scripted([ToolCall("get_weather", {"city": "London"}, "c1"), "It rains."])
    chat = nbchat.create_chat("function/x", store=store, respond=script)
    session_like: Any = chat.with_tool(GetWeather)

    assert ask(session_like, "How is the weather in London?").content == "It rains."

    [call] = rows(store, "select name, arguments->>'city' as city, status, result from tool_calls")
    assert call == {
        "name": "get_weather", "city": "London", "status": "ok", "result": "rain in London"
    }  # fmt: skip


def test_if_a_call_fails_the_question_stays_and_the_answer_goes(
    store: nbchat.Store, ask: Any
) -> None:
    def respond(request: Any) -> Any:
        raise nbchat.BadRequest("no", status=400)

    session = nbchat.create_agent_session(SupportAgent, store=store, respond=respond)

    with pytest.raises(nbchat.BadRequest):
        ask(session, "Where is it?")

    assert [(m.role, m.status) for m in session.messages()] == [("user", "failed")]


# Sessions ------------------------------------------------------------------------------------


def test_a_session_and_its_chat_are_stored_at_once(store: nbchat.Store) -> None:
    session = nbchat.create_agent_session(
        SupportAgent, store=store, metadata={"user_id": "user_123", "ticket_id": "TKT-456"}
    )

    [row] = rows(store, "select * exclude (created_at, updated_at) from agent_sessions")
    assert {**row, "metadata": json.loads(row["metadata"])} == {
        "id": session.id, "agent_class": "SupportAgent", "chat_id": session.chat_id,
        "metadata": {"user_id": "user_123", "ticket_id": "TKT-456"},
    }  # fmt: skip
    [chat] = rows(store, "select id, model, instructions from chats")
    assert chat == {
        "id": session.chat_id, "model": "function/support",
        "instructions": "You are a helpful support agent. Be concise.",
    }  # fmt: skip


def test_neither_row_is_there_without_the_other(store: nbchat.Store) -> None:
    store.sql("alter table agent_sessions rename to elsewhere", write=True)
    store.sql(
        "create table agent_sessions (id uuid check (id is null), agent_class varchar, "
        "chat_id uuid, metadata json, created_at timestamp, updated_at timestamp)",
        write=True,
    )

    with pytest.raises(nbchat.StoreError):
        nbchat.create_agent_session(SupportAgent, store=store)

    assert rows(store, "select id from chats") == []


def test_a_session_goes_on_with_its_history_and_todays_code(store: nbchat.Store, ask: Any) -> None:
    script = scripted(["On its way.", "Cancelled."])
    session = nbchat.create_agent_session(SupportAgent, store=store, respond=script)
    ask(session, "Where is my order #789?")

    class Deployed(nbchat.Agent):
        model = "function/better"
        instructions = "You are brief."
        tools = (cancel_order,)
        temperature = 0.5

    Deployed.__name__ = "SupportAgent"
    loaded = nbchat.load_agent_session(Deployed, session.id, store=store, respond=script)
    assert loaded is not None
    ask(loaded, "Can you cancel that order?")

    request = script.requests[-1]
    assert [m.content for m in request.messages] == [
        "Where is my order #789?", "On its way.", "Can you cancel that order?",
    ]  # fmt: skip
    assert (request.model, request.instructions) == ("better", "You are brief.")
    assert [tool.name for tool in request.tools] == ["cancel_order"]
    assert request.settings.temperature == 0.5
    assert loaded.model_id == "function/better"
    answers = [m for m in loaded.messages() if m.role == "assistant"]
    assert [m.model for m in answers] == ["function/support", "function/better"]
    versions = [m.instructions_version for m in answers]
    assert None not in versions
    assert len(set(versions)) == 2
    [chat] = rows(store, "select model, instructions from chats")
    assert chat == {"model": "function/better", "instructions": "You are brief."}


@pytest.mark.parametrize("id_", ["nope", "", "01890a5d-ac96-774b-bcce-b302099a8057"])
def test_a_session_that_is_not_there_is_none(store: nbchat.Store, id_: str) -> None:
    assert nbchat.load_agent_session(SupportAgent, id_, store=store) is None


def test_another_class_is_refused_by_both_names_unless_told(store: nbchat.Store) -> None:
    session = nbchat.create_agent_session(SupportAgent, store=store)

    with pytest.raises(nbchat.AgentClassMismatch, match=r"'SupportAgent'.*'SalesAgent'"):
        nbchat.load_agent_session(SalesAgent, session.id, store=store)
    loaded = nbchat.load_agent_session(
        SalesAgent, session.id, store=store, skip_class_validation=True
    )

    assert loaded is not None
    assert (loaded.agent_class, loaded.model_id) == ("SupportAgent", "function/sales")


def test_total_usage_is_the_stores_sum_also_after_loading(store: nbchat.Store, ask: Any) -> None:
    used = Usage(100, 20, 30, 10, 5, Decimal("0.000000000001"))
    script = scripted(
        [
            [ToolCall("lookup_order", {"order": 7}, "c1"), used],
            ["There.", used],
            nbchat.BadRequest("no", status=400),
        ]
    )
    session = nbchat.create_agent_session(SupportAgent, store=store, respond=script)
    assert session.total_usage == Usage(0, 0, 0, 0, 0, Decimal(0))
    ask(session, "Where?")
    with pytest.raises(nbchat.BadRequest):
        ask(session, "And now?")

    loaded = nbchat.load_agent_session(SupportAgent, session.id, store=store)
    assert loaded is not None
    expected = Usage(200, 40, 60, 20, 10, Decimal("0.000000000002"))
    assert session.total_usage == loaded.total_usage == expected
    counted = session.stats().iloc[0]
    assert (counted["input_tokens"], counted["output_tokens"]) == (200, 40)


def test_the_properties_of_a_session(store: nbchat.Store) -> None:
    script = scripted(["Hi."])
    session = nbchat.create_agent_session(
        SupportAgent, store=store, metadata={"a": 1}, respond=script
    )

    session.ask("Hello")

    assert (session.agent_class, session.metadata) == ("SupportAgent", {"a": 1})
    assert session.chat_id == session.chat.id != session.id
    assert [m.content for m in session.messages()] == ["Hello", "Hi."]
    assert session.stats()["turns"].tolist() == [1]


# Beyond the document: what it promises and its own code does not keep ------------------------


def test_what_was_chosen_at_creation_stays_chosen(store: nbchat.Store, ask: Any) -> None:
    script = scripted(["one", "two"])
    session = nbchat.create_agent_session(
        SupportAgent, store=store, respond=script, model="function/chosen", max_tool_rounds=1,
        instructions="Mine.", temperature=0.0,
    )  # fmt: skip
    ask(session, "one")
    loaded = nbchat.load_agent_session(SupportAgent, session.id, store=store, respond=script)
    assert loaded is not None
    ask(loaded, "two")

    for request in script.requests:
        assert (request.model, request.instructions) == ("chosen", "Mine.")
        assert request.settings.temperature == 0.0


def test_a_tool_that_was_added_stays_for_this_object(store: nbchat.Store, ask: Any) -> None:
    def extra() -> str:
        """Something else."""
        return "extra"

    script = scripted(["one", "two", "three"])
    session = nbchat.create_agent_session(SupportAgent, store=store, respond=script)
    session.with_tool(extra)
    ask(session, "one")
    ask(session, "two")
    loaded = nbchat.load_agent_session(SupportAgent, session.id, store=store, respond=script)
    assert loaded is not None
    ask(loaded, "three")

    names = [[tool.name for tool in request.tools] for request in script.requests]
    of_class = ["lookup_order", "cancel_order"]
    assert names == [[*of_class, "extra"], [*of_class, "extra"], of_class]


def test_live_and_loaded_sessions_send_the_same_after_a_failure(
    store: nbchat.Store, ask: Any
) -> None:
    with ReplayServer(
        said(ToolCall("lookup_order", {"order": 1}, "c1")), said("done"),
        lambda received: nbchat.testing.Answer(400, {}, b'{"error": {"message": "no"}}'),
        "live", "loaded",
    ) as server:  # fmt: skip

        class Remote(nbchat.Agent):
            model = "openai/x"
            base_url = server.url
            tools = (lookup_order,)

        session = nbchat.create_agent_session(Remote, store=store)
        ask(session, "one")
        with pytest.raises(nbchat.BadRequest):
            ask(session, "two")
        ask(session, "three")
        store.sql(
            "delete from messages where turn = 3; update chats set head_message_id = "
            "(select id from messages where turn = 2 and role = 'user')",
            write=True,
        )
        loaded = nbchat.load_agent_session(Remote, session.id, store=store)
        assert loaded is not None
        ask(loaded, "three")

    live, after = server.requests[-2].json, server.requests[-1].json
    assert live == after
    assert [m["role"] for m in live["messages"]] == [
        "user",
        "assistant",
        "tool",
        "assistant",
        "user",
    ]
