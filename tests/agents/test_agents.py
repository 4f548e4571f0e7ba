"""Agents as classes: inheritance, what is worked out from inputs, hooks, agents as tools."""

import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from four_ways_of_agents import WAYS

import nbchat
from nbchat.exchange import Usage
from nbchat.messages import ToolCall
from nbchat.testing import scripted


@pytest.fixture
def store(tmp_path: Path) -> nbchat.Store:
    return nbchat.open_store(tmp_path / "agents.duckdb")


def stock(city: str, context: nbchat.ToolContext) -> str:
    """Stock of a city."""
    return f"{city} for {context.inputs.get('user')}"


class Base(nbchat.Agent):
    model = "function/base"
    instructions = "Base."
    temperature = 0.1


def request_of(agent: type[nbchat.Agent], store: nbchat.Store, **options: Any) -> Any:
    """What the model is asked in the first turn of a session."""
    script = scripted(["ok"])
    inputs = options.pop("inputs", None)
    nbchat.create_agent_session(agent, store=store, respond=script, **options).ask(
        "hi", inputs=inputs
    )
    return script.requests[0]


def test_a_subclass_says_what_differs_and_inherits_the_rest(store: nbchat.Store) -> None:
    class Sub(Base):
        instructions = "Sub."

    request = request_of(Sub, store)

    assert (request.model, request.instructions, request.settings.temperature) == (
        "base", "Sub.", 0.1,
    )  # fmt: skip


def by_method(self: Any, inputs: dict[str, Any]) -> str:
    return f"You help {inputs.get('user')}."


FORMS = {
    "lambda": lambda inputs: f"You help {inputs.get('user')}.",
    "method": by_method,
    "staticmethod": staticmethod(lambda inputs: f"You help {inputs.get('user')}."),
    "classmethod": classmethod(lambda cls, inputs: f"You help {inputs.get('user')}."),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_instructions_are_worked_out_from_metadata_and_inputs(
    store: nbchat.Store, form: Any
) -> None:
    agent = type("Dynamic", (Base,), {"instructions": form})

    assert request_of(agent, store, metadata={"user": "Ada"}).instructions == "You help Ada."
    one = request_of(agent, store, metadata={"user": "Ada"}, inputs={"user": "Bob"})
    assert one.instructions == "You help Bob."


def test_tools_and_model_are_worked_out_too_and_tools_get_the_inputs(store: nbchat.Store) -> None:
    class Dynamic(Base):
        model = staticmethod(lambda inputs: f"function/{inputs['size']}")

        def tools(self, inputs: dict[str, Any]) -> list[Any]:
            return [stock] if inputs["size"] == "large" else []

    script = scripted([ToolCall("stock", {"city": "Oslo"}, "c1"), "done"])
    session = nbchat.create_agent_session(
        Dynamic, store=store, metadata={"size": "large", "user": "Ada"}, respond=script
    )
    session.ask("hi", inputs={"user": "Bob"})

    assert script.requests[0].model == "large"
    assert session.messages()[-1].parts[1].content == "Oslo for Bob"
    session.update_metadata({"size": "small"})
    assert session.model_id == "function/small"


def test_patches_of_two_holders_both_survive_and_are_seen(store: nbchat.Store) -> None:
    class Dynamic(Base):
        instructions = staticmethod(lambda inputs: " ".join(sorted(inputs)))

    script = scripted(["ok"])
    one = nbchat.create_agent_session(Dynamic, store=store, respond=script)
    other = nbchat.load_agent_session(Dynamic, one.id, store=store)
    assert other is not None
    start = threading.Barrier(2)

    def patch(session: nbchat.AgentSession, key: str) -> None:
        start.wait(20)
        session.update_metadata({key: 1})

    threads = [threading.Thread(target=patch, args=given) for given in ((one, "a"), (other, "b"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    one.ask("hi")

    assert one.metadata == {"a": 1, "b": 1}
    assert script.requests[0].instructions == "a b"


def test_hooks_are_methods_and_come_before_those_that_are_added(store: nbchat.Store) -> None:
    heard: list[Any] = []

    class Hooked(Base):
        tools = (stock,)

        def on_tool_end(self, call: Any) -> None:
            heard.append(("class", call.name))

        def on_message(self, message: Any) -> None:
            heard.append(("class", message.content))

    script = scripted([ToolCall("stock", {"city": "Oslo"}, "c1"), "done"])
    session = nbchat.create_agent_session(Hooked, store=store, respond=script)
    session.on_tool_end(lambda call: heard.append(("added", call.name)))
    session.ask("hi")

    assert heard == [("class", "stock"), ("added", "stock"), ("class", "done")]


def test_a_defined_agent_is_as_good_as_a_class(store: nbchat.Store) -> None:
    heard: list[str] = []
    agent = nbchat.define_agent(
        "Quick", model="function/quick", instructions=lambda inputs: f"For {inputs['user']}.",
        on_message=lambda message: heard.append(message.content),
    )  # fmt: skip

    request = request_of(agent, store, metadata={"user": "Ada"})

    assert (agent.__name__, request.model, request.instructions) == ("Quick", "quick", "For Ada.")
    assert heard == ["ok"]
    with pytest.raises(nbchat.NbchatError, match="no 'colour'"):
        nbchat.define_agent("Quick", colour="red")


def test_a_key_of_the_class_is_stored_nowhere(store: nbchat.Store) -> None:
    class Keyed(Base):
        api_key = "k" * 30

    nbchat.create_agent_session(Keyed, store=store, respond=scripted(["the " + "k" * 30])).ask("hi")
    store.close()

    assert ("k" * 30).encode() not in Path(store.path).read_bytes()


# Agents as tools -----------------------------------------------------------------------------


def pair(store: nbchat.Store, support: Any, boss: Any) -> nbchat.AgentSession:
    """A session of a boss whose tool is a support agent."""

    class Support(Base):
        """Knows the stock."""

        respond = support

    class Boss(Base):
        tools = (Support,)

    return nbchat.create_agent_session(Boss, store=store, respond=boss)


@pytest.mark.parametrize("way", WAYS)
def test_an_agent_is_a_tool_whose_turn_is_linked_and_counted_once(
    store: nbchat.Store, way: str
) -> None:
    used = Usage(10, 5, cost_usd=Decimal("0.25"))
    boss_script = scripted([[ToolCall("support", {"question": "Oslo?"}, "c1"), used], ["3", used]])
    boss = pair(store, scripted([["three", used]]), boss_script)

    assert WAYS[way](boss, "How many?").content == "3"

    assert boss_script.requests[0].tools[0].description == "Knows the stock."
    linked = nbchat.sql(
        "select c.name, c.result, q.content, q.chat_id = c.chat_id as same from tool_calls as c "
        "join messages as q on q.parent_tool_call_id = c.id",
        store=store,
    ).to_dict("records")
    assert linked == [{"name": "support", "result": "three", "content": "Oslo?", "same": False}]
    assert nbchat.stats(store=store)["cost_usd"].tolist() == [0.75]
    assert boss.total_usage.cost_usd == Decimal("0.5")
    assert nbchat.stats(by="agent", store=store)["agent"].tolist() == ["Boss", "Support"]


def test_an_agents_failure_is_told_to_the_one_that_asked(store: nbchat.Store) -> None:
    def failing(request: Any) -> Any:
        raise nbchat.BadRequest("no", status=400)

    script = scripted([ToolCall("support", {"question": "?"}, "c1"), "sorry"])
    boss = pair(store, failing, script)

    assert boss.ask("How many?").content == "sorry"
    assert script.requests[1].messages[-1].parts[-1].content.startswith("BadRequest: ")


def test_stopping_the_one_that_asked_stops_the_other_one(store: nbchat.Store) -> None:
    asked = threading.Event()

    def endless(request: Any) -> Any:
        yield "well "
        asked.set()
        threading.Event().wait(20)

    boss = pair(store, endless, scripted([ToolCall("support", {"question": "?"}, "c1")]))
    stopper = threading.Thread(target=lambda: asked.wait(20) and boss.stop())
    stopper.start()
    message = boss.ask("How many?")
    stopper.join()

    assert message.status == "stopped"
    statuses = nbchat.sql(
        "select status from messages where role = 'assistant' union all "
        "select status from tool_calls",
        store=store,
    )
    assert statuses["status"].tolist() == ["stopped"] * 3


def test_agents_that_ask_themselves_come_to_an_end(store: nbchat.Store) -> None:
    class Loop(Base):
        max_tool_rounds = 1

        @staticmethod
        def respond(request: Any) -> Any:
            if request.messages[-1].role == "user":
                return ToolCall("loop", {"question": "again"}, "c")
            return "enough"

        def tools(self, inputs: Any) -> list[Any]:
            return [Loop]

    assert nbchat.create_agent_session(Loop, store=store).ask("go").content == "enough"
    assert len(nbchat.list_chats(store=store)) == 9


def test_a_plain_tool_that_asks_another_chat_is_linked_too(store: nbchat.Store) -> None:
    inner = nbchat.create_chat("function/x", store=store, respond=scripted(["inner"]))

    def relay() -> str:
        """Ask somebody else."""
        return inner.ask("from a tool").content

    outer = nbchat.create_chat(
        "function/x", store=store, tools=[relay],
        respond=scripted([ToolCall("relay", {}, "c1"), "outer"]),
    )  # fmt: skip
    outer.ask("go")

    call = nbchat.sql("select id from tool_calls", store=store)["id"][0]
    assert inner.messages()[0].parent_tool_call_id == call
    assert outer.messages()[0].parent_tool_call_id is None
