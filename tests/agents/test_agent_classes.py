"""What an agent's class may say, and in which forms: values, functions of inputs, methods."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from four_ways import WAYS
from stored_rows import TABLES, raw_rows

import nbchat
from nbchat.exchange import Request
from nbchat.messages import ToolCall
from nbchat.testing import ReplayServer, scripted

CANARY = "sk-canary-7f3a9b2c5d8e1f4a6b0c"
CALL = ToolCall("lookup", {"order": 7}, "c1")


def lookup(order: int) -> str:
    """Look an order up."""
    return f"order {order} is on its way"


def cancel(order: int) -> str:
    """Cancel an order."""
    return f"order {order} is cancelled"


def refund(order: int) -> str:
    """Pay an order back."""
    return f"order {order} is paid back"


def names(request: Request) -> list[str]:
    return [tool.name for tool in request.tools]


class AsLambdas(nbchat.Agent):
    model = lambda inputs: f"function/{inputs['tier']}"  # noqa: E731
    instructions = lambda inputs: f"You help {inputs['who']}."  # noqa: E731
    tools = lambda inputs: [lookup, cancel] if inputs["tier"] == "gold" else [lookup]  # noqa: E731
    temperature = lambda inputs: 0.5 if inputs["tier"] == "gold" else None  # noqa: E731


class AsMethods(nbchat.Agent):
    def model(self, inputs: Any) -> str:
        return f"function/{inputs['tier']}"

    def instructions(self, inputs: Any) -> str:
        return self.words() + inputs["who"] + "."

    def words(self) -> str:
        return "You help "

    def tools(self, inputs: Any) -> list[Any]:
        return [lookup, cancel] if inputs["tier"] == "gold" else [lookup]

    def temperature(self, inputs: Any) -> float | None:
        return 0.5 if inputs["tier"] == "gold" else None


class AsStatics(nbchat.Agent):
    model = staticmethod(lambda inputs: f"function/{inputs['tier']}")
    instructions = partial(lambda greeting, inputs: f"{greeting} {inputs['who']}.", "You help")

    @staticmethod
    def tools(inputs: Any) -> list[Any]:
        return [lookup, cancel] if inputs["tier"] == "gold" else [lookup]

    @classmethod
    def temperature(cls, inputs: Any) -> float | None:
        return 0.5 if inputs["tier"] == "gold" else None


Defined = nbchat.define_agent(
    "Defined",
    model=lambda inputs: f"function/{inputs['tier']}",
    instructions=lambda inputs: f"You help {inputs['who']}.",
    tools=lambda inputs: [lookup, cancel] if inputs["tier"] == "gold" else [lookup],
    temperature=lambda inputs: 0.5 if inputs["tier"] == "gold" else None,
)


@pytest.mark.parametrize("agent", [AsLambdas, AsMethods, AsStatics, Defined])
def test_what_is_a_function_is_asked_before_every_turn(
    way: str, store: nbchat.Store, agent: type[nbchat.Agent]
) -> None:
    script = scripted(["one", "two", "three"])
    session = nbchat.create_agent_session(
        agent, store=store, respond=script, metadata={"tier": "basic", "who": "ann"}
    )
    WAYS[way](session, "a")
    WAYS[way](session, "b", inputs={"tier": "gold"})
    session.update_metadata({"who": "bob"})
    WAYS[way](session, "c")
    seen = [
        (request.model, request.instructions, names(request), request.settings.temperature)
        for request in script.requests
    ]
    assert seen == [
        ("basic", "You help ann.", ["lookup"], None),
        ("gold", "You help ann.", ["lookup", "cancel"], 0.5),
        ("basic", "You help bob.", ["lookup"], None),
    ]
    assert session.metadata == {"tier": "basic", "who": "bob"}


def test_an_async_function_of_inputs_is_refused(store: nbchat.Store) -> None:
    async def instructions(inputs: Any) -> str:
        return "late"

    agent = nbchat.define_agent("Late", model="function/x", instructions=instructions)
    with pytest.raises(nbchat.ConfigError, match="is async"):
        nbchat.create_agent_session(agent, store=store)


def test_a_class_inherits_what_it_does_not_say_itself(way: str, store: nbchat.Store) -> None:
    heard: list[str] = []

    class Base(nbchat.Agent):
        model, instructions, temperature, tools = "function/base", "Be kind.", 0.5, [lookup]

        def on_message(self, message: nbchat.Message) -> None:
            heard.append(f"base {message.content}")

    class Child(Base):
        model, tools = "function/child", [*Base.tools, cancel]

        def on_message(self, message: nbchat.Message) -> None:
            super().on_message(message)
            heard.append(f"child {message.content}")

    script = scripted(["hi"])
    session = nbchat.create_agent_session(Child, store=store, respond=script)
    WAYS[way](session, "hello")
    (request,) = script.requests
    assert (request.model, request.instructions, names(request), request.settings.temperature) == (
        "child", "Be kind.", ["lookup", "cancel"], 0.5,
    )  # fmt: skip
    assert heard == ["base hi", "child hi"]
    assert session.agent_class == "Child"


def test_hooks_of_the_class_come_first_then_those_given_then_those_added(
    way: str, store: nbchat.Store
) -> None:
    heard: list[str] = []

    class Hooked(nbchat.Agent):
        model, tools = "function/x", [lookup]
        on_response = lambda reply: heard.append("class response")  # noqa: E731

        def on_tool_start(self, event: Any) -> None:
            heard.append(f"class start {event.name}")

        async def on_tool_end(self, event: Any) -> None:
            heard.append(f"class end {event.result}")

        @staticmethod
        def on_request(request: Request) -> None:
            heard.append("class request")

        def on_message(self, message: nbchat.Message) -> None:
            heard.append("class message")

    session = nbchat.create_agent_session(
        Hooked, store=store, respond=scripted([CALL, "done"]),
        hooks={"on_tool_start": lambda event: heard.append("given start"),
               "on_message": [lambda m: heard.append("given 1"),
                              lambda m: heard.append("given 2")]},
    )  # fmt: skip
    session.on_tool_start(lambda event: heard.append("added start"))
    assert session.on_message(lambda message: heard.append("added")) is session
    WAYS[way](session, "hello")
    assert heard == [
        "class request", "class response", "class start lookup", "given start", "added start",
        "class end order 7 is on its way", "class request", "class response",
        "class message", "given 1", "given 2", "added",
    ]  # fmt: skip


def test_an_error_hook_of_the_class_decides(way: str, store: nbchat.Store) -> None:
    def broken() -> str:
        """Never works."""
        raise ValueError("broken")

    class Strict(nbchat.Agent):
        model, tools = "function/x", [broken]

        def on_error(self, error: Exception, about: Any) -> Any:
            return nbchat.STOP

    respond = scripted([ToolCall("broken", {}, "c1")])
    session = nbchat.create_agent_session(Strict, store=store, respond=respond)
    assert isinstance(WAYS[way](session, "hello").error, ValueError)


def test_hooks_of_the_class_fire_after_loading_too(way: str, store: nbchat.Store) -> None:
    heard: list[str] = []

    class Hooked(nbchat.Agent):
        model = "function/x"

        def on_message(self, message: nbchat.Message) -> None:
            heard.append(message.content)

    made = nbchat.create_agent_session(Hooked, store=store)
    loaded = nbchat.load_agent_session(Hooked, made.id, store=store, respond=scripted(["hi"]))
    assert loaded is not None
    WAYS[way](loaded, "hello")
    assert heard == ["hi"]


def test_middleware_of_the_class_is_around_that_of_the_session(
    way: str, store: nbchat.Store
) -> None:
    heard: list[str] = []

    class Around:
        def __init__(self, name: str) -> None:
            self.name = name

        def on_request(self, request: Request, state: Any) -> None:
            heard.append(f"{self.name} {state.inputs['user']}")

    agent = nbchat.define_agent("Wrapped", model="function/x", middleware=[Around("class")])
    session = nbchat.create_agent_session(
        agent, store=store, metadata={"user": "u1"}, middleware=[Around("given")],
        respond=scripted(["hi"]),
    ).use(Around("added"))  # fmt: skip
    WAYS[way](session, "hello")
    assert heard == ["class u1", "given u1", "added u1"]


def test_a_tool_that_was_added_stays_for_later_asks_of_that_object(
    way: str, store: nbchat.Store
) -> None:
    class Growing(nbchat.Agent):
        model, tools = "function/x", [lookup]

    script = scripted(["one", "two", "three"])
    session = nbchat.create_agent_session(Growing, store=store, respond=script)
    assert session.with_tool(refund) is session
    WAYS[way](session, "a")
    Growing.tools = [cancel]
    WAYS[way](session, "b")
    loaded = nbchat.load_agent_session(Growing, session.id, store=store, respond=script)
    assert loaded is not None
    WAYS[way](loaded, "c")
    assert [names(request) for request in script.requests] == [
        ["lookup", "refund"], ["cancel", "refund"], ["cancel"],
    ]  # fmt: skip


def test_instructions_are_added_or_replaced_for_that_object(way: str, store: nbchat.Store) -> None:
    class Told(nbchat.Agent):
        model, instructions = "function/x", "Be concise."

    script = scripted(["one", "two", "three", "four"])
    session = nbchat.create_agent_session(Told, store=store, respond=script)
    assert session.with_instructions("Say please.") is session
    WAYS[way](session, "a")
    Told.instructions = "Be long."
    WAYS[way](session, "b")
    session.with_instructions("Say nothing.", replace=True).with_instructions("Or little.")
    WAYS[way](session, "c")
    loaded = nbchat.load_agent_session(Told, session.id, store=store, respond=script)
    assert loaded is not None
    WAYS[way](loaded, "d")
    assert [request.instructions for request in script.requests] == [
        "Be concise.\nSay please.", "Be long.\nSay please.", "Say nothing.\nOr little.",
        "Be long.",
    ]  # fmt: skip
    with pytest.raises(nbchat.ConfigError, match="instructions=5 is not text"):
        session.with_instructions(5)  # type: ignore[arg-type]


@pytest.mark.parametrize("config", [{"colour": "red"}, {"tool_start": print}, {"on_start": print}])
def test_a_defined_agent_has_only_what_agents_have(config: dict[str, Any]) -> None:
    with pytest.raises(nbchat.ConfigError, match=f"An agent has no '{next(iter(config))}'"):
        nbchat.define_agent("Odd", **config)


@pytest.mark.parametrize("name", ["", "two words", "1st", None])
def test_a_defined_agent_has_a_name_for_a_class(name: Any) -> None:
    with pytest.raises(nbchat.ConfigError, match="is not a name for a class"):
        nbchat.define_agent(name, model="function/x")


def test_a_defined_agent_is_the_class_of_that_name(way: str, store: nbchat.Store) -> None:
    heard: list[str] = []
    defined = nbchat.define_agent(
        "Support", model="function/x", instructions="Be concise.", tools=[lookup],
        on_message=lambda message: heard.append(message.content),
    )  # fmt: skip

    class Support(nbchat.Agent):
        model, instructions, tools = "function/x", "Be concise.", [lookup]

    first, second = scripted([CALL, "one"]), scripted([CALL, "two"])
    made = nbchat.create_agent_session(defined, store=store, respond=first)
    loaded = nbchat.load_agent_session(Support, made.id, store=store, respond=second)
    assert loaded is not None
    WAYS[way](made, "a")
    WAYS[way](loaded, "b")
    for one, other in zip(first.requests, second.requests, strict=True):
        assert (one.model, one.instructions, one.tools) == (
            other.model, other.instructions, other.tools,
        )  # fmt: skip
    assert heard == ["one"]


@pytest.mark.parametrize("place", ["argument", "class", "function", "environment"])
def test_a_key_is_in_no_row(
    way: str, store: nbchat.Store, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ReplayServer(f"your key is {CANARY}", "done") as server:
        body: dict[str, Any] = {"model": "openai/x", "base_url": server.url}
        given = {"api_key": CANARY} if place == "argument" else {}
        if place in ("class", "function"):
            by_place = {"class": CANARY, "function": lambda inputs: CANARY * inputs["n"]}
            body["api_key"] = by_place[place]
        agent = nbchat.define_agent("Keyed", **body)
        made = nbchat.create_agent_session(agent, store=store, metadata={"n": 1}, **given)
        if place == "environment":
            monkeypatch.setenv("OPENAI_API_KEY", CANARY)
        made.update_metadata({"note": f"it was {CANARY}"})
        session = nbchat.load_agent_session(agent, made.id, store=store, **given)
        assert session is not None
        WAYS[way](session, "hello")
        assert server.requests[0].headers["authorization"] == f"Bearer {CANARY}"
    for table in TABLES:
        assert CANARY not in repr(raw_rows(store, session.chat_id, table))
    for table in ("chats", "agent_sessions"):
        assert CANARY not in repr(store.sql(f'select * from "{table}"').to_dict("records"))
    assert CANARY not in repr((session, session.chat, vars(session), session.metadata))
    store.close()
    for path in Path(store.path).parent.iterdir():
        assert CANARY.encode() not in path.read_bytes()


def test_a_key_of_the_environment_goes_to_no_address_that_the_store_chose(
    store: nbchat.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that somebody else made may name any address; the class's own is the user's."""
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    far = "https://llm.example.invalid/v1"
    chosen = nbchat.define_agent("Chosen", model="openai/x")
    said = nbchat.define_agent("Said", model="openai/x", base_url=far)
    keys = {}
    for agent, options in ((chosen, {"base_url": far}), (said, {})):
        made = nbchat.create_agent_session(agent, store=store, **options)
        loaded = nbchat.load_agent_session(agent, made.id, store=store)
        assert loaded is not None
        target = loaded.chat._plan("hello", stream=False).target
        keys[agent.__name__] = (target.base_url, target.key == CANARY)
    assert keys == {"Chosen": (far, False), "Said": (far, True)}
