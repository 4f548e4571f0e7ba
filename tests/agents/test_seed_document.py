"""The sentences of the seed document on turns, tools, failures and agents, each as a test.

Every test's docstring is the sentence. The names are nbchat's: `chat.with_tool(...)`,
`create_agent_session(...)`, tables `messages`, `tool_calls`, `requests`, `agent_sessions`.
"""

from typing import Any

import pytest
from four_ways import STREAMED, WAYS
from stored_rows import pending, raw_rows

import nbchat
from nbchat.exchange import Usage
from nbchat.messages import ToolCall
from nbchat.testing import Answer, Gate, ReplayServer, said, scripted

LOOK = ToolCall("look", {"city": "London"}, "c1")


def weather(city: str) -> str:
    """The weather in a city."""
    return f"rain in {city}"


def lookup_order(order: int) -> str:
    """Find an order."""
    return f"order {order} was sent on Monday"


def cancel_order(order: int) -> str:
    """Cancel an order."""
    return f"order {order} is cancelled"


class SupportAgent(nbchat.Agent):
    """Helps customers."""

    model = "function/gpt-4.1"
    instructions = "You are a helpful support agent. Be concise."
    tools = [lookup_order, cancel_order]  # noqa: RUF012  as the document writes it


class SalesAgent(nbchat.Agent):
    """Sells."""

    model = "function/sales"


def seen_by_a_tool(store: nbchat.Store, seen: list[Any]) -> Any:
    """A tool that looks into the store while it runs."""

    def look(city: str) -> str:
        """Look around."""
        sql = "select role, status, content from messages order by seq"
        seen.append(store.sql(sql).values.tolist())
        calls = store.sql("select name, status, result, arguments->>'city' from tool_calls")
        seen.append(calls.astype(object).where(calls.notna(), None).values.tolist())
        seen.append(len(store.sql("select * from requests")))
        return f"sun in {city}"

    return look


def test_the_flow_of_a_turn(way: str, store: nbchat.Store) -> None:
    """Creates a user message, an empty assistant message at once; on tool call start a record in
    the tool call table, on its end the result; on response a request; then finalizes."""
    seen: list[Any] = []
    chat = nbchat.create_chat(
        "function/x", store=store, tools=[seen_by_a_tool(store, seen)],
        respond=scripted([[LOOK, Usage(10, 2)], ["It shines.", Usage(20, 3)]]),
    )  # fmt: skip
    WAYS[way](chat, "Is it nice?")
    assert seen == [
        [["user", "complete", "Is it nice?"], ["assistant", "pending", ""]],
        [["look", "pending", None, "London"]],
        1,
    ]
    (call,) = raw_rows(store, chat.id, "tool_calls")
    assert (call["status"], call["result"]) == ("ok", "sun in London")
    _, answer = raw_rows(store, chat.id, "messages")
    assert (answer["status"], answer["content"]) == ("complete", "It shines.")
    assert (answer["input_tokens"], answer["output_tokens"]) == (30, 5)
    requests = raw_rows(store, chat.id, "requests")
    assert [(r["status_code"], r["input_tokens"], r["output_tokens"]) for r in requests] == [
        (200, 10, 2), (200, 20, 3),
    ]  # fmt: skip
    assert all(request["duration_ms"] > 0 for request in requests)


def test_a_ui_can_target_the_message_before_the_first_byte(store: nbchat.Store) -> None:
    """Creates the database record immediately so your UI can target a specific ID."""
    gate = Gate()
    with ReplayServer(Answer(hold=gate, body=b"")) as server:
        chat = nbchat.create_chat("openai/x", base_url=server.url, api_key="k", store=store)
        stream = chat.ask_stream("hello")
        server.wait_for(1)
        (row,) = [r for r in raw_rows(store, chat.id, "messages") if r["role"] == "assistant"]
        assert (str(row["id"]), row["status"], row["content"]) == (stream.message_id, "pending", "")
        stream.close()
        gate.open()


def test_history_comes_from_the_database(way: str, store: nbchat.Store) -> None:
    """Fetches history automatically from the database to provide full context to the LLM."""
    script = scripted(["Paris.", "About two million."])
    chat = nbchat.create_chat("function/x", store=store, respond=script, name="geo")
    other = nbchat.load_chat("geo", store=store, respond=script)
    assert other is not None
    WAYS[way](other, "The capital of France?")
    WAYS[way](chat, "How many live there?")
    assert [m.content for m in script.requests[1].messages] == [
        "The capital of France?", "Paris.", "How many live there?",
    ]  # fmt: skip


def test_tools_are_tracked_without_configuration(way: str, store: nbchat.Store) -> None:
    """await chat.withTool(WeatherTool).ask("How is the weather in London?"): the table will
    contain the execution details."""

    class WeatherTool(nbchat.Tool):
        """The weather in a city."""

        def execute(self, city: str) -> str:
            return f"rain in {city}"

    replies = [ToolCall("weather", {"city": "London"}, "c1"), "It rains."]
    for tool in (WeatherTool, WeatherTool(), weather):
        chat = nbchat.create_chat("function/x", store=store, respond=scripted(replies))
        ended = WAYS[way](chat.with_tool(tool), "How is the weather in London?")
        assert ended.message.content == "It rains."
        (row,) = raw_rows(store, chat.id, "tool_calls")
        assert (row["name"], row["arguments"], row["status"], row["result"], row["attempt"]) == (
            "weather", '{"city": "London"}', "ok", "rain in London", 1,
        )  # fmt: skip
        assert row["message_id"] == raw_rows(store, chat.id, "messages")[1]["id"]
        if way in STREAMED:
            kinds = [event.kind for event in ended.events if event.kind.startswith("tool")]
            assert kinds == ["tool_start", "tool_end"]


def test_a_failure_leaves_the_question_and_no_broken_answer(way: str, store: nbchat.Store) -> None:
    """The pending assistant message is deleted; the user message is preserved; the error is
    thrown. And what the document claims elsewhere: partial tool execution stays on record."""
    bad = Answer(400, {}, b'{"error": {"type": "x", "message": "bad request"}}')
    call = ToolCall("weather", {"city": "London"}, "c1")
    with ReplayServer(said(call, usage=Usage(10, 2)), bad) as server:
        chat = nbchat.create_chat("openai/gpt-4.1", base_url=server.url, api_key="k", store=store,
                                  tools=[weather])  # fmt: skip
        error = WAYS[way](chat, "How is it?").error
    assert isinstance(error, nbchat.BadRequest)
    assert error.status == 400
    (message,) = chat.messages()
    assert (message.role, message.status, message.content) == ("user", "failed", "How is it?")
    (row,) = raw_rows(store, chat.id, "tool_calls")
    assert (row["status"], row["result"]) == ("ok", "rain in London")
    assert [r["status_code"] for r in raw_rows(store, chat.id, "requests")] == [200, 400]
    (stats,) = chat.stats().to_dict("records")
    assert (stats["requests"], stats["input_tokens"]) == (2, 10)
    assert stats["cost_usd"] > 0
    assert pending(store) == []


def test_an_aborted_turn_leaves_no_orphaned_message(store: nbchat.Store) -> None:
    """If the API call fails or is aborted, the ORM automatically cleans up."""
    gate = Gate()
    with ReplayServer(Answer(hold=gate), "fine") as server:
        chat = nbchat.create_chat("openai/x", base_url=server.url, api_key="k", store=store)
        with chat.ask_stream("hello"):
            server.wait_for(1)
        gate.open()
        assert [(m.role, m.content) for m in chat.messages()] == [("user", "hello")]
        assert chat.ask("again").content == "fine"
    assert pending(store) == []


def test_a_session_is_created_asked_and_resumed(way: str, store: nbchat.Store) -> None:
    """Continues with full history + current code config."""
    session = nbchat.create_agent_session(
        SupportAgent, store=store, metadata={"userId": "user_123", "ticketId": "TKT-456"},
        respond=scripted([ToolCall("lookup_order", {"order": 789}, "c1"), "Sent on Monday."]),
    )  # fmt: skip
    WAYS[way](session, "Where is my order #789?")
    script = scripted([ToolCall("cancel_order", {"order": 789}, "c2"), "Cancelled."])
    later = nbchat.load_agent_session(SupportAgent, session.id, store=store, respond=script)
    assert later is not None
    assert WAYS[way](later, "Can you cancel that order?").message.content == "Cancelled."
    first, second = script.requests
    assert first.instructions == "You are a helpful support agent. Be concise."
    assert [tool.name for tool in first.tools] == ["lookup_order", "cancel_order"]
    asked = [(m.role, m.content) for m in first.messages]
    assert asked == [("user", "Where is my order #789?"), ("assistant", "Sent on Monday."),
                     ("user", "Can you cancel that order?")]  # fmt: skip
    kinds = [part.kind for part in first.messages[1].parts]
    assert kinds == ["tool_call", "tool_result", "text"]
    assert second.messages[-1].parts[-1].content == "order 789 is cancelled"
    calls = raw_rows(store, session.chat_id, "tool_calls")
    assert [(c["turn"], c["name"], c["status"]) for c in calls] == [
        (1, "lookup_order", "ok"), (2, "cancel_order", "ok"),
    ]  # fmt: skip


def test_a_session_that_is_missing_is_nothing(store: nbchat.Store) -> None:
    """if (!session) throw new Error("Session not found")"""
    assert nbchat.load_agent_session(SupportAgent, "abc-123", store=store) is None


def test_the_class_is_validated(way: str, store: nbchat.Store) -> None:
    """Agent class mismatch: session was created with "SupportAgent" but attempting to load with
    "SalesAgent". To override: skipClassValidation."""
    session = nbchat.create_agent_session(SupportAgent, store=store)
    with pytest.raises(nbchat.AgentClassMismatch) as raised:
        nbchat.load_agent_session(SalesAgent, session.id, store=store)
    assert "was created with 'SupportAgent'" in str(raised.value)
    assert "attempting to load with 'SalesAgent'" in str(raised.value)
    sales = nbchat.load_agent_session(
        SalesAgent, session.id, store=store, skip_class_validation=True, respond=scripted(["Buy."])
    )
    assert sales is not None
    assert WAYS[way](sales, "hello").message.model == "function/sales"


def test_every_property_of_a_session(way: str, store: nbchat.Store) -> None:
    """id, chatId, metadata, agentClass, ask, askStream, messages, modelId, totalUsage."""
    session = nbchat.create_agent_session(SupportAgent, store=store, metadata={"userId": "u1"},
                                          respond=scripted([["Hello.", Usage(7, 3)]]))  # fmt: skip
    ended = WAYS[way](session, "Hi")
    loaded = nbchat.load_agent_session(SupportAgent, session.id, store=store)
    assert loaded is not None
    for each in (session, loaded):
        assert (each.id, each.chat_id, each.agent_class) == (
            session.id, session.chat.id, "SupportAgent",
        )  # fmt: skip
        assert (each.metadata, each.model_id) == ({"userId": "u1"}, "function/gpt-4.1")
        assert [m.content for m in each.messages()] == ["Hi", "Hello."]
        assert each.messages()[-1] == ended.message
        assert each.messages(as_frame=True)["content"].tolist() == ["Hi", "Hello."]
        usage = each.total_usage
        assert (usage.input_tokens, usage.output_tokens, usage.cost_usd) == (7, 3, None)
        (stats,) = each.stats().to_dict("records")
        assert (stats["input_tokens"], stats["output_tokens"], stats["cost_complete"]) == (
            7, 3, False,
        )  # fmt: skip
    assert session.chat_id != session.id


def test_there_is_one_session_for_a_chat_and_the_schema_says_what_it_holds(
    store: nbchat.Store,
) -> None:
    """LlmAgentSession: id, agentClass, chatId (unique), metadata, createdAt, updatedAt."""
    nbchat.create_agent_session(SupportAgent, store=store)
    nbchat.create_agent_session(SupportAgent, store=store)
    frame = store.sql("select * from agent_sessions")
    assert list(frame.columns) == [
        "id", "agent_class", "chat_id", "metadata", "created_at", "updated_at",
    ]  # fmt: skip
    assert frame["chat_id"].nunique() == 2
    assert set(frame["chat_id"]) == set(store.sql("select id from chats")["id"])
