"""Agent sessions: code wins for what the agent is, the store for what was said."""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from four_ways import WAYS
from stored_rows import pending, raw_rows

import nbchat
from nbchat.exchange import Usage
from nbchat.messages import Thinking, ToolCall
from nbchat.testing import Answer, Gate, ReplayServer, said, scripted
from nbchat.testing.server import Received

NONSENSE = (
    "", "nothing", "0198c0de-0000-7000-8000-000000000000", "' or 1 = 1 --", "\ud800", None, 5
)  # fmt: skip


class Support(nbchat.Agent):
    """Answers customers."""

    model = "function/v1"
    instructions = "Be concise."


def rows(store: nbchat.Store, table: str) -> list[dict[str, Any]]:
    return store.sql(f'select * from "{table}"').to_dict("records")


def of_server(name: str, server: ReplayServer, **said: Any) -> type[nbchat.Agent]:
    body = {"model": "openai/v1", "base_url": server.url, "api_key": "k", **said}
    return type(name, (nbchat.Agent,), body)


def sent(received: Received) -> dict[str, Any]:
    """What of a request's body an agent decides."""
    body = received.json
    system = [m["content"] for m in body["messages"] if m["role"] in ("system", "developer")]
    tools = [tool["function"]["name"] for tool in body.get("tools", [])]
    return {
        "model": body["model"], "system": system, "tools": tools,
        "temperature": body.get("temperature"), "user": body.get("user"),
    }  # fmt: skip


def lookup(order: int) -> str:
    """Look an order up."""
    return f"order {order} is on its way"


def cancel(order: int) -> str:
    """Cancel an order."""
    return f"order {order} is cancelled"


def test_chat_and_session_appear_together(store: nbchat.Store) -> None:
    session = nbchat.create_agent_session(Support, store=store, metadata={"user_id": "u1"})
    (chat,), (row,) = rows(store, "chats"), rows(store, "agent_sessions")
    assert (row["id"], row["chat_id"], row["agent_class"]) == (session.id, chat["id"], "Support")
    assert row["metadata"] == '{"user_id": "u1"}'
    assert (chat["id"], chat["model"], chat["instructions"]) == (
        session.chat_id, "function/v1", "Be concise.",
    )  # fmt: skip


def test_neither_is_there_when_the_second_cannot_be_written(store: nbchat.Store) -> None:
    store.sql('alter table agent_sessions rename to "away"', write=True)
    store.sql("create table agent_sessions as select * from away where false", write=True)
    store.sql('alter table agent_sessions add column "must" integer', write=True)
    store.sql('alter table agent_sessions alter column "must" set not null', write=True)
    with pytest.raises(Exception, match=r"(?i)not null"):
        nbchat.create_agent_session(Support, store=store)
    assert rows(store, "chats") == []
    assert rows(store, "agent_sessions") == []


@pytest.mark.parametrize("bad", [{"tools": 5}, {"temprature": 1}, {"temperature": "hot"},
                                 {"model": "nobody/x"}, {"params": {"x": object()}},
                                 {"hooks": {"on_start": print}}, {"metadata": {"x": object()}},
                                 {"base_url": "http://a:b@c"}])  # fmt: skip
def test_a_session_that_cannot_be_writes_nothing(store: nbchat.Store, bad: Any) -> None:
    with pytest.raises((nbchat.NbchatError, TypeError)):
        nbchat.create_agent_session(Support, store=store, **bad)
    assert (rows(store, "chats"), rows(store, "agent_sessions")) == ([], [])


@pytest.mark.parametrize("agent", [None, "Support", dict, nbchat.Agent(), Support()])
def test_what_is_no_agent_class_is_refused(store: nbchat.Store, agent: Any) -> None:
    for make in (nbchat.create_agent_session, nbchat.load_agent_session):
        given = (agent, "id") if make is nbchat.load_agent_session else (agent,)
        with pytest.raises(nbchat.ConfigError, match=r"is not a class derived from nbchat\.Agent"):
            make(*given, store=store)


@pytest.mark.parametrize("session_id", NONSENSE, ids=repr)
def test_a_session_that_is_not_there_is_none(store: nbchat.Store, session_id: Any) -> None:
    session = nbchat.create_agent_session(Support, store=store)
    assert nbchat.load_agent_session(Support, session_id, store=store) is None
    assert nbchat.load_agent_session(Support, session.chat_id, store=store) is None


def test_another_class_is_refused_by_both_names_unless_told_otherwise(
    way: str, store: nbchat.Store
) -> None:
    class Sales(nbchat.Agent):
        model, instructions = "function/sales", "Sell."

    session = nbchat.create_agent_session(Support, store=store, respond=scripted(["hi"]))
    WAYS[way](session, "hello")
    with pytest.raises(nbchat.AgentClassMismatch, match=r"'Support'.*'Sales'"):
        nbchat.load_agent_session(Sales, session.id, store=store)
    script = scripted(["buy"])
    sales = nbchat.load_agent_session(
        Sales, session.id, store=store, skip_class_validation=True, respond=script
    )
    assert sales is not None
    assert WAYS[way](sales, "and now?").message.content == "buy"
    (request,) = script.requests
    assert (request.model, request.instructions) == ("sales", "Sell.")
    assert [m.content for m in request.messages] == ["hello", "hi", "and now?"]
    assert sales.agent_class == "Support"


def test_code_wins_and_the_history_stays(way: str, store: nbchat.Store) -> None:
    with ReplayServer("one", "two", "three") as server:
        old = of_server("Support", server, instructions="Be long.", tools=[lookup],
                        temperature=0.5, params={"user": "a"}, max_tool_rounds=3)  # fmt: skip
        session = nbchat.create_agent_session(old, store=store)
        WAYS[way](session, "first")
        new = of_server("Support", server, model="openai/v2", instructions="Be short.",
                        tools=[cancel], temperature=None, params={"user": "b"})  # fmt: skip
        loaded = nbchat.load_agent_session(new, session.id, store=store)
        assert loaded is not None
        assert loaded.model_id == "openai/v2"
        WAYS[way](loaded, "second")
        first, second = server.requests
    assert sent(first) == {"model": "v1", "system": ["Be long."], "tools": ["lookup"],
                           "temperature": 0.5, "user": "a"}  # fmt: skip
    assert sent(second) == {"model": "v2", "system": ["Be short."], "tools": ["cancel"],
                            "temperature": None, "user": "b"}  # fmt: skip
    assert [m["content"] for m in second.json["messages"][-3:]] == ["first", "one", "second"]
    (row,) = rows(store, "chats")
    assert (row["model"], row["provider"], row["instructions"]) == (
        "openai/v2", "openai", "Be short.",
    )  # fmt: skip
    assert '"max_tool_rounds": 10' in row["settings"]
    assert nbchat.list_chats(store=store)["model"].tolist() == ["openai/v2"]


def test_a_class_that_changes_under_a_live_session_is_heard_at_once(store: nbchat.Store) -> None:
    class Changing(nbchat.Agent):
        model, instructions = "function/v1", "Old."

    script = scripted(["one", "two"])
    session = nbchat.create_agent_session(Changing, store=store, respond=script)
    session.ask("first")
    Changing.model, Changing.instructions, Changing.temperature = "function/v2", "New.", 0.0
    session.ask("second")
    second = script.requests[1]
    assert (second.model, second.instructions, second.settings.temperature) == ("v2", "New.", 0.0)
    assert (session.model_id, session.chat.model) == ("function/v2", "function/v2")


def test_each_message_says_which_model_and_which_instructions_made_it(
    way: str, store: nbchat.Store
) -> None:
    class Versioned(nbchat.Agent):
        model, instructions = "function/v1", "Old."

    replies = scripted(["one", "two", "three", "four"])
    session = nbchat.create_agent_session(Versioned, store=store, respond=replies)
    WAYS[way](session, "a")
    Versioned.model, Versioned.instructions = "function/v2", "New."
    WAYS[way](session, "b")
    Versioned.instructions = "Old."
    WAYS[way](session, "c")
    Versioned.instructions = None
    WAYS[way](session, "d")
    made = [m for m in raw_rows(store, session.chat_id, "messages") if m["role"] == "assistant"]
    assert [m["model"] for m in made] == ["function/v1", *["function/v2"] * 3]
    versions = [m["instructions_version"] for m in made]
    assert versions[0] == versions[2] != versions[1]
    assert (len(versions[0]), versions[3]) == (16, None)
    assert [m.instructions_version for m in session.messages()[1::2]] == versions


def test_what_was_chosen_at_creation_outlives_reloads_and_new_code(
    way: str, store: nbchat.Store
) -> None:
    class Chosen(nbchat.Agent):
        model, instructions, temperature, max_tokens = "function/v1", "Old.", 0.9, 10

    session = nbchat.create_agent_session(
        Chosen, store=store, model="function/mine", instructions="Mine.", temperature=0.0,
        max_tool_rounds=0, respond=scripted(["one"]),
    )  # fmt: skip
    WAYS[way](session, "a")
    Chosen.model, Chosen.instructions = "function/v2", "New."
    Chosen.temperature, Chosen.max_tokens, Chosen.max_tool_rounds = 0.1, 20, 7
    script = scripted(["two", ToolCall("lookup", {"order": 1}, "c1")])
    for _ in range(2):  # loaded twice: the first must not lose them for the second
        loaded = nbchat.load_agent_session(Chosen, session.id, store=store, respond=script)
        assert loaded is not None
    assert loaded.model_id == "function/mine"
    WAYS[way](loaded, "b")
    assert isinstance(WAYS[way](loaded, "c").error, nbchat.ToolRoundsExceeded)
    request = script.requests[0]
    assert (request.model, request.instructions) == ("mine", "Mine.")
    assert (request.settings.temperature, request.settings.max_tokens) == (0.0, 20)


def test_total_usage_is_the_stores_sum_after_loading(way: str, store: nbchat.Store) -> None:
    refused = Answer(400, {}, b'{"error": {"type": "x", "message": "no"}}')
    with ReplayServer(
        said(ToolCall("lookup", {"order": 7}, "c1"), usage=Usage(100, 20, 30, None, 5)),
        said("it comes", usage=Usage(10, 2)),
        said(ToolCall("lookup", {"order": 8}, "c2"), usage=Usage(1000, 1)),
        refused,
    ) as server:
        agent = of_server("Priced", server, model="openai/gpt-4.1", tools=[lookup])
        session = nbchat.create_agent_session(agent, store=store)
        empty = session.total_usage
        WAYS[way](session, "where is it?")
        assert isinstance(WAYS[way](session, "and 8?").error, nbchat.BadRequest)
        loaded = nbchat.load_agent_session(agent, session.id, store=store)
    assert loaded is not None
    used = loaded.total_usage
    assert used == session.total_usage
    assert (used.input_tokens, used.output_tokens, used.cached_input_tokens) == (1110, 23, 30)
    assert (used.cache_write_tokens, used.thinking_tokens) == (None, 5)
    assert (empty.input_tokens, empty.cost_usd) == (0, 0)
    costs = [row["cost_usd"] for row in raw_rows(store, session.chat_id, "requests")]
    assert isinstance(used.cost_usd, Decimal)
    assert used.cost_usd == sum(cost for cost in costs if cost is not None) > 0
    (stats,) = loaded.stats().to_dict("records")
    assert (stats["requests"], stats["failed_requests"], stats["turns"]) == (4, 1, 2)
    assert (stats["input_tokens"], stats["output_tokens"]) == (1110, 23)
    assert stats["cost_usd"] == pytest.approx(float(used.cost_usd), abs=1e-12)


def test_what_is_unknown_is_none_never_zero(store: nbchat.Store) -> None:
    session = nbchat.create_agent_session(Support, store=store, respond=scripted(["hi"]))
    session.ask("hello")
    assert session.total_usage == Usage()
    unrecorded = nbchat.create_agent_session(
        Support, store=store, persist={"requests": False}, respond=scripted([["hi", Usage(1, 1)]])
    )
    unrecorded.ask("hello")
    assert unrecorded.total_usage == Usage()
    loaded = nbchat.load_agent_session(Support, unrecorded.id, store=store)
    assert loaded is not None
    assert loaded.total_usage == Usage()


def test_a_live_and_a_reloaded_session_send_the_same_bytes_after_a_failure(
    way: str, store: nbchat.Store
) -> None:
    refused = Answer(400, {}, b'{"error": {"type": "x", "message": "no"}}')
    call = ToolCall("lookup", {"order": 7}, "c1")
    thought = [Thinking("hm"), "let me see", call]
    with ReplayServer(said(*thought), "it comes", said(*thought), refused, "x", "x") as server:
        agent = of_server("Same", server, tools=[lookup])
        session = nbchat.create_agent_session(agent, store=store)
        WAYS[way](session, "one")
        assert WAYS[way](session, "two").error is not None
        store.close()
        copy = shutil.copy(store.path, store.path + ".copy")
        WAYS[way](session, "three")
        loaded = nbchat.load_agent_session(agent, session.id, store=copy)
        assert loaded is not None
        WAYS[way](loaded, "three")
        live, reloaded = server.requests[-2:]
    assert live.body == reloaded.body
    contents = [m.get("content") for m in live.json["messages"]]
    assert "two" not in contents
    assert contents[-1] == "three"


def test_two_asks_at_once_are_served_one_after_the_other(store: nbchat.Store) -> None:
    gate = Gate()

    def respond(request: Any) -> str:
        question = request.messages[-1].content
        if question == "first":
            gate.reached.set_result(None)
            gate.opened.result(30)
        return f"{len(request.messages)} {question}"

    session = nbchat.create_agent_session(Support, store=store, respond=respond)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(session.ask, "first")
        gate.wait_reached()
        with pytest.raises(nbchat.ChatBusy):
            session.ask("now", wait=False)
        second = pool.submit(session.ask, "second")
        gate.open()
        assert (first.result(30).content, second.result(30).content) == ("1 first", "3 second")
    assert [m.seq for m in session.messages()] == [1, 2, 3, 4]
    assert pending(store) == []


def test_two_asks_at_once_keep_their_own_inputs(store: nbchat.Store) -> None:
    """The first is still being worked out when the second comes."""
    working, others = threading.Event(), threading.Event()

    def instructions(inputs: dict[str, Any]) -> str:
        return f"You help {inputs.get('who')}."

    def tools(inputs: dict[str, Any]) -> list[Any]:
        if inputs.get("who") == "ann":
            working.set()
            others.wait(0.5)  # the second either waits for the first, or is through by then
        return []

    agent = nbchat.define_agent(
        "Shared", model="function/x", instructions=instructions, tools=tools
    )
    script = scripted([lambda sent: f"{sent.messages[-1].content}: {sent.instructions}"] * 2)
    session = nbchat.create_agent_session(agent, store=store, respond=script)

    def second() -> nbchat.Message:
        assert working.wait(30)
        message = session.ask("bob", inputs={"who": "bob"})
        others.set()
        return message

    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(session.ask, "ann", inputs={"who": "ann"}), pool.submit(second)]
        answers = {each.result(30).content for each in asked}
    assert answers == {"ann: You help ann.", "bob: You help bob."}
