"""An agent as a tool of another: linked, billed once, stopped along, and its trouble told."""

import threading
from decimal import Decimal
from typing import Any

import pytest
from four_ways import WAYS
from stored_rows import pending, raw_rows

import nbchat
from nbchat.exchange import Usage
from nbchat.messages import ToolCall
from nbchat.testing import Answer, Gate, ReplayServer, Script, said, scripted

ASK = ToolCall("support", {"question": "where is 7?"}, "c1")


def agent_of(name: str, replies: list[Any], **said: Any) -> tuple[type[nbchat.Agent], Script]:
    script = scripted(replies)
    return nbchat.define_agent(name, model="function/x", respond=script, **said), script


def other_chat(store: nbchat.Store, than: nbchat.AgentSession | nbchat.Chat) -> str:
    """The one chat beside this one."""
    own = getattr(than, "chat_id", than.id)
    (found,) = [id_ for id_ in nbchat.list_chats(store=store)["id"] if id_ != own]
    return str(found)


def told(script: Script) -> list[Any]:
    """What the model was told of its calls in the last request."""
    parts = [part for message in script.requests[-1].messages for part in message.parts]
    return [(part.content, part.is_error) for part in parts if part.kind == "tool_result"]


@pytest.mark.parametrize("as_class", [False, True])
def test_its_turn_is_linked_to_the_call_that_asked(
    way: str, store: nbchat.Store, as_class: bool
) -> None:
    support, child = agent_of("Support", ["on its way"], instructions="Be concise.")
    desk, script = agent_of("Desk", [ASK, "It comes."],
                            tools=[support if as_class else support.as_tool()])  # fmt: skip
    session = nbchat.create_agent_session(desk, store=store)
    assert WAYS[way](session, "hello").message.content == "It comes."
    assert told(script) == [("on its way", False)]
    assert [m.content for m in child.requests[0].messages] == ["where is 7?"]
    assert child.requests[0].instructions == "Be concise."
    (call,) = raw_rows(store, session.chat_id, "tool_calls")
    assert (call["name"], call["status"], call["result"]) == ("support", "ok", "on its way")
    asked, answered = raw_rows(store, other_chat(store, session), "messages")
    assert asked["parent_tool_call_id"] == call["id"]
    assert answered["parent_tool_call_id"] is None
    assert raw_rows(store, session.chat_id, "messages")[0]["parent_tool_call_id"] is None
    agents = store.sql("select agent_class from agent_sessions order by 1")
    assert agents["agent_class"].tolist() == ["Desk", "Support"]
    assert pending(store) == []


def test_a_plain_tool_that_asks_another_chat_is_linked_as_well(
    way: str, store: nbchat.Store
) -> None:
    def research(topic: str) -> str:
        """Look into a topic."""
        helper = nbchat.create_chat("function/x", store=store, respond=scripted(["found it"]))
        return helper.ask(topic).content

    async def aresearch(topic: str) -> str:
        """Look into a topic."""
        helper = nbchat.create_chat("function/x", store=store, respond=scripted(["found it"]))
        return (await helper.aask(topic)).content

    for tool in (research, aresearch):
        call = ToolCall(tool.__name__, {"topic": "cats"}, "c1")
        chat = nbchat.create_chat("function/x", store=store, tools=[tool],
                                  respond=scripted([call, "done"]))  # fmt: skip
        WAYS[way](chat, "hello")
        (row,) = raw_rows(store, chat.id, "tool_calls")
        assert row["result"] == "found it"
        linked = store.sql(
            "select content from messages where parent_tool_call_id = ?", [row["id"]]
        )
        assert linked["content"].tolist() == ["cats"]


def test_what_a_person_asks_after_a_tool_is_linked_to_nothing(store: nbchat.Store) -> None:
    support, _ = agent_of("Support", ["one"])
    desk, _ = agent_of("Desk", [ASK, "done", "again"], tools=[support])
    session = nbchat.create_agent_session(desk, store=store)
    session.ask("hello")
    session.ask("and?")
    linked = store.sql("select count(*) as n from messages where parent_tool_call_id is not null")
    assert linked["n"].tolist() == [1]


def test_its_cost_is_counted_once(way: str, store: nbchat.Store) -> None:
    with ReplayServer(
        said(ASK, usage=Usage(1000, 100)),
        said("on its way", usage=Usage(20, 5)),
        said("It comes.", usage=Usage(2000, 10)),
    ) as server:
        common = {"model": "openai/gpt-4.1", "base_url": server.url, "api_key": "k"}
        support = nbchat.define_agent("Support", **common)
        desk = nbchat.define_agent("Desk", tools=[support], **common)
        session = nbchat.create_agent_session(desk, store=store, metadata={"user_id": "u1"})
        WAYS[way](session, "hello")
    child_id = other_chat(store, session)
    own, child = (
        sum((row["cost_usd"] for row in raw_rows(store, id_, "requests")), Decimal())
        for id_ in (session.chat_id, child_id)
    )
    assert own > child > 0
    assert session.total_usage.cost_usd == own
    assert session.total_usage.input_tokens == 3000
    (whole,) = nbchat.stats(store=store).to_dict("records")
    assert (whole["requests"], whole["input_tokens"], whole["turns"]) == (3, 3020, 2)
    assert whole["cost_usd"] == pytest.approx(float(own + child), abs=1e-12)
    by_agent = nbchat.stats(by="agent", store=store)
    assert by_agent[["agent", "requests", "input_tokens"]].values.tolist() == [
        ["Desk", 2, 3000], ["Support", 1, 20],
    ]  # fmt: skip
    by_user = nbchat.stats(by="metadata.user_id", store=store).set_index("metadata.user_id")
    assert by_user.loc["u1", "input_tokens"] == 3000


@pytest.mark.parametrize("streams", [False, True])
def test_stopping_the_parent_stops_the_child(store: nbchat.Store, streams: bool) -> None:
    gate = Gate()
    with ReplayServer(Answer(hold=gate)) as server:
        support = nbchat.define_agent("Support", model="openai/x", base_url=server.url, api_key="k")
        desk, _ = agent_of("Desk", [["asking ", ASK], "unsaid"], tools=[support])
        session = nbchat.create_agent_session(desk, store=store)
        stopper = threading.Thread(target=lambda: (gate.wait_reached(), session.stop()))
        stopper.start()
        ended = WAYS["ask_stream" if streams else "ask"](session, "hello")
        stopper.join(30)
        assert server.requests[0].hung_up.wait(30)
        gate.open()
    assert ended.message.status == "stopped"
    assert pending(store) == []
    (call,) = raw_rows(store, session.chat_id, "tool_calls")
    assert call["status"] == "stopped"
    child_rows = raw_rows(store, other_chat(store, session), "messages")
    assert [(m["role"], m["status"]) for m in child_rows] == [("user", "complete")]
    assert child_rows[0]["parent_tool_call_id"] == call["id"]


def test_leaving_the_loop_stops_the_child_too(store: nbchat.Store) -> None:
    asked, held = threading.Event(), threading.Event()

    def respond(request: Any) -> Any:
        asked.set()
        held.wait(30)
        yield "more"

    support = nbchat.define_agent("Support", model="function/x", respond=respond)
    desk, _ = agent_of("Desk", [ASK, "ok"], tools=[support])
    session = nbchat.create_agent_session(desk, store=store)
    with session.ask_stream("hello") as stream:
        for event in stream:
            if event.kind == "tool_start":
                assert asked.wait(30)
                break
    assert pending(store) == []
    held.set()
    assert [call["status"] for call in raw_rows(store, session.chat_id, "tool_calls")] == [
        "stopped"
    ]
    assert session.ask("and now?").content == "ok"


def test_its_trouble_is_told_to_the_model(way: str, store: nbchat.Store) -> None:
    def never(question: str) -> str:
        """Ask a person."""
        return question

    loops = ToolCall("never", {"question": "x"}, "c1")
    trouble: dict[str, tuple[list[Any], dict[str, Any], str]] = {
        "refused": ([nbchat.BadRequest("no such model", status=400)], {},
                    "BadRequest: no such model"),
        "broken": ([ZeroDivisionError("by zero")], {}, "ZeroDivisionError: by zero"),
        "rounds": ([loops], {"tools": [never], "max_tool_rounds": 0}, "ToolRoundsExceeded: "),
        "waits": ([loops], {"tools": [never], "tool_policy": "confirm", "confirm": "later"},
                  "Support was stopped: tool calls wait for approval"),
    }  # fmt: skip
    for replies, options, words in trouble.values():
        support, _ = agent_of("Support", replies, **options)
        desk, script = agent_of("Desk", [ASK, "I could not."], tools=[support])
        session = nbchat.create_agent_session(desk, store=store)
        assert WAYS[way](session, "hello").message.content == "I could not."
        ((text, is_error),) = told(script)
        assert text.startswith(words)
        assert is_error
        (call,) = raw_rows(store, session.chat_id, "tool_calls")
        assert (call["status"], call["error"]) == ("error", text)


def test_agents_that_ask_agents_come_to_an_end(way: str, store: nbchat.Store) -> None:
    again = ToolCall("loop", {"question": "again"}, "c1")

    class Loop(nbchat.Agent):
        model = "function/x"
        tools = staticmethod(lambda: [Loop])

        def respond(self, request: Any) -> Any:
            results = [p for m in request.messages for p in m.parts if p.kind == "tool_result"]
            return results[0].content if results else again

    session = nbchat.create_agent_session(Loop, store=store)
    ended = WAYS[way](session, "hello")
    assert ended.message.content == (
        "Agents have asked agents 8 times. Answer without another one."
    )
    assert len(nbchat.list_chats(store=store)) == 9
    assert pending(store) == []


def test_a_child_gets_the_inputs_of_its_parent(store: nbchat.Store) -> None:
    support, child = agent_of("Support", ["ok"], instructions=lambda inputs: f"For {inputs}.",
                              tools=None)  # fmt: skip
    desk, _ = agent_of("Desk", [ASK, "done"], tools=[support])
    session = nbchat.create_agent_session(desk, store=store, metadata={"user": "u1"})
    session.ask("hello", inputs={"lang": "fr"})
    assert child.requests[0].instructions == "For {'user': 'u1', 'lang': 'fr'}."


def test_a_child_keeps_no_more_than_its_parent_may(way: str, store: nbchat.Store) -> None:
    support, _ = agent_of("Support", ["secret answer"])
    desk, _ = agent_of("Desk", [ASK, "done"], tools=[support])
    session = nbchat.create_agent_session(desk, store=store, log_content=False,
                                          persist={"requests": False})  # fmt: skip
    assert WAYS[way](session, "hello").message.content == "done"
    child = other_chat(store, session)
    for table, count in {"messages": 2, "tool_calls": 0, "requests": 0}.items():
        found = raw_rows(store, child, table)
        assert len(found) == count
        assert "secret" not in repr(found)
        assert "where is 7?" not in repr(found)


def test_how_an_agent_is_described_as_a_tool() -> None:
    class OrderDesk(nbchat.Agent):
        """Knows all orders."""

    class Said(nbchat.Agent):
        """Knows all orders."""

        description = "Ask about an order."

    class Bare(nbchat.Agent):
        model = "function/x"

    specs = [agent.as_tool().spec for agent in (OrderDesk, Said, Bare)]
    assert [(spec.name, spec.description) for spec in specs] == [
        ("order_desk", "Knows all orders."), ("said", "Ask about an order."),
        ("bare", "Asks Bare."),
    ]  # fmt: skip
    assert specs[0].parameters["required"] == ["question"]
    own = Bare.as_tool(name="ask_it", description="Asks it.").spec
    assert (own.name, own.description) == ("ask_it", "Asks it.")


def test_what_is_around_the_asker_is_around_the_agent_it_asks(
    way: str, store: nbchat.Store
) -> None:
    address = "ada@example.com"
    support, child = agent_of("Support", [f"Write to {address}."])
    ask = ToolCall("support", {"question": f"Who is {address}?"}, "c1")
    desk, _ = agent_of("Desk", [ask, "done"], tools=[support])
    session = nbchat.create_agent_session(desk, store=store, middleware=[nbchat.redact()])
    assert WAYS[way](session, "hello").error is None
    assert child.requests[0].messages[0].content == "Who is [email]?"
    for chat_id in (session.chat_id, other_chat(store, session)):
        for table in ("messages", "tool_calls"):
            assert address not in repr(raw_rows(store, chat_id, table))


def test_a_fatal_tool_ends_the_turn_of_its_own_agent_only(way: str, store: nbchat.Store) -> None:
    def explode() -> None:
        """Explode."""
        raise nbchat.ToolError("no more", fatal=True)

    support, _ = agent_of("Support", [ToolCall("explode", {}, "c1")], tools=[explode])
    desk, script = agent_of("Desk", [ASK, "I could not."], tools=[support])
    session = nbchat.create_agent_session(desk, store=store)
    assert WAYS[way](session, "hello").message.content == "I could not."
    assert told(script) == [("no more", True)]
