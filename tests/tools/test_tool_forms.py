"""Functions, classes, objects and dicts: every form ends as a tool that can be called."""

import dataclasses
import functools

import pytest
from pydantic import BaseModel, Field

import nbchat
from nbchat.tools import Tool, as_tool, by_name


def call(made, **arguments):
    return made(**made.validate(arguments))


def counts(n: int):
    """Count."""
    yield n - 1
    return n


async def counts_async(n: int):
    """Count."""
    yield n


async def waits(n: int) -> int:
    """Wait."""
    return n


class Callable_:
    """Call it."""

    def __call__(self, n: int) -> int:
        return n


class Yields_:
    def __call__(self, n: int):
        yield n


@pytest.mark.parametrize(
    ("function", "yields", "is_async"),
    [
        (counts, True, False), (counts_async, True, False), (waits, False, True),
        (functools.partial(counts), True, False), (Callable_(), False, False),
        (Yields_(), True, False), (functools.partial(Yields_()), True, False),
    ],
)  # fmt: skip
def test_a_tool_says_how_it_runs(function, yields, is_async):
    made = as_tool(function)

    assert (made.yields, made.is_async) == (yields, is_async)
    assert made.spec.parameters["properties"] == {"n": {"type": "integer"}}
    assert made.function is function


class Query(BaseModel):
    """Look something up.

    Attributes:
        text: what to look for
    """

    text: str
    limit: int = Field(10, alias="max")


class HTTPGetTool(Tool):
    """Fetch a page.

    Args:
        url: where it is
    """

    def execute(self, url: str, tries: int = 1) -> str:
        """Not these words.

        Args:
            tries: how often
        """
        return f"{url} {tries}"


class Asks(Tool):
    name = "ask_db"
    description = "Ask the database."
    policy = "confirm"
    timeout = 5
    max_chars = 50

    def __init__(self, db):  # does not call super's
        self.db = db

    async def execute(self, sql: str) -> str:
        return self.db + sql


class Searches(Tool):
    parameters = Query

    def execute(self, text, limit):
        return text, limit


class Stated(Tool):
    parameters = {  # noqa: RUF012
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": False,
    }

    def execute(self, n):
        yield n


def test_a_subclass_is_described_by_its_execute_and_its_words():
    for given in (HTTPGetTool, HTTPGetTool()):
        made = as_tool(given)

        assert (made.name, made.spec.description) == ("http_get", "Fetch a page.")
        assert made.spec.parameters["properties"] == {
            "url": {"type": "string", "description": "where it is"},
            "tries": {"type": "integer", "default": 1, "description": "how often"},
        }
        assert call(made, url="x") == "x 1"


def test_a_subclass_may_have_a_constructor_of_its_own():
    made = as_tool(Asks("db:"))

    assert (made.name, made.spec.description) == ("ask_db", "Ask the database.")
    assert (made.policy, made.timeout, made.max_chars) == ("confirm", 5, 50)
    assert (made.is_async, made.yields) == (True, False)
    assert list(by_name([made])) == ["ask_db"]


def test_a_subclass_that_needs_arguments_is_wanted_as_an_object():
    with pytest.raises(nbchat.ConfigError, match=r"Give the tool as an object, Asks\(\.\.\.\)\.$"):
        as_tool(Asks)


def test_a_subclass_may_be_a_frozen_dataclass():
    @dataclasses.dataclass(frozen=True)
    class Adds(Tool):
        """Add."""

        to: int

        def execute(self, n: int) -> int:
            return self.to + n

    made = as_tool(Adds(2))

    assert (made.name, made.spec.description, call(made, n=3)) == ("adds", "Add.", 5)


def test_a_subclass_may_call_its_parents_constructor_early():
    class Late(Tool):
        def __init__(self):
            super().__init__(policy="confirm")
            self.name = "later"

        def execute(self, n: int) -> int:
            """Add."""
            return n

    made = as_tool(Late)

    assert (made.name, made.policy, made.spec.description) == ("later", "confirm", "Add.")


def test_a_pydantic_model_may_be_the_parameters():
    for made in (as_tool(Searches), as_tool({"name": "searches", "parameters": Query,
                                             "handler": Searches().execute})):  # fmt: skip
        assert made.spec.description == "Look something up."
        assert made.spec.parameters["properties"] == {
            "text": {"type": "string", "description": "what to look for"},
            "max": {"type": "integer", "default": 10},
        }
        assert call(made, text="x", max=3) == ("x", 3)
        with pytest.raises(ValueError, match="text: missing"):
            made.validate({})


def test_a_model_that_takes_more_gives_more():
    class Open(BaseModel, extra="allow"):
        n: int

    made = Tool(lambda **given: given, name="open", parameters=Open)

    assert call(made, n=1, other="x") == {"n": 1, "other": "x"}


def test_a_subclass_is_asked_for_its_words_when_it_is_ready():
    class Asks(Tool):
        def __init__(self, table):
            super().__init__()
            self.table = table

        @property
        def description(self):
            return f"Ask {self.table}."

        def execute(self, n: int) -> int:
            return n

    assert as_tool(Asks("orders")).spec.description == "Ask orders."


def test_execute_may_need_no_object():
    class Doubles(Tool):
        @classmethod
        def execute(cls, n: int) -> int:
            """Double."""
            return 2 * n

    class Halves:
        @staticmethod
        def execute(n: int) -> int:
            """Halve."""
            return n // 2

    double, half = as_tool(Doubles), as_tool(Halves)

    assert (double.name, double.spec.description, call(double, n=4)) == ("doubles", "Double.", 8)
    assert (half.name, half.spec.description, call(half, n=4)) == ("halves", "Halve.", 2)


def test_a_subclass_may_state_its_schema():
    made = as_tool(Stated)

    assert made.spec.parameters == {"type": "object", **Stated.parameters}
    assert made.yields
    with pytest.raises(ValueError, match="n: missing"):
        made.validate({})


class NoBody(Tool):
    pass


class BadPolicy(HTTPGetTool):
    policy = "ask"


class BadName(HTTPGetTool):
    name = "two words"


class BadParameters(HTTPGetTool):
    parameters = 5


class Cyclic(HTTPGetTool):
    parameters = {"type": "array"}  # noqa: RUF012


@pytest.mark.parametrize("given", [Tool, NoBody, BadPolicy, BadName, BadParameters, Cyclic])
def test_a_subclass_that_cannot_be_a_tool_is_said_so(given):
    with pytest.raises(nbchat.ConfigError, match=r"\.$"):
        as_tool(given)
    with pytest.raises(nbchat.ConfigError, match=r"\.$"):
        as_tool(given())


class WeatherTool:
    """Say the weather."""

    policy = "confirm"

    def execute(self, city: str) -> str:
        return f"rain in {city}"


def test_a_plain_class_with_execute_is_a_tool():
    for given in (WeatherTool, WeatherTool()):
        made = as_tool(given)

        assert (made.name, made.policy) == ("weather", "confirm")
        assert made.spec.description == "Say the weather."
        assert call(made, city="Oslo") == "rain in Oslo"


def test_a_plain_class_that_can_be_called_is_a_tool():
    made = as_tool(Callable_)

    assert (made.name, made.spec.description, call(made, n=3)) == ("Callable_", "Call it.", 3)


def test_any_other_class_makes_its_object():
    @dataclasses.dataclass
    class Point:
        """A point."""

        x: int
        y: int = 0

    made = as_tool(Point)

    assert made.spec.parameters["properties"]["x"] == {"type": "integer"}
    assert call(made, x=1) == Point(1)


def test_a_tool_may_be_given_again_with_other_words():
    first = Tool(waits, policy="confirm", timeout=3)
    again = Tool(first, name="other", timeout=4)

    assert (again.name, again.policy, again.timeout) == ("other", "confirm", 4)
    assert (again.function, again.spec.description, first.name) == (waits, "Wait.", "waits")


def test_a_dict_may_have_openais_shape():
    function = {
        "name": "count",
        "description": "Count it.",
        "parameters": {"type": "object", "properties": {"n": {"type": "integer"}}},
        "strict": True,
    }

    made = as_tool({"type": "function", "function": function, "handler": counts, "timeout": 2})

    assert (made.name, made.spec.description, made.timeout) == ("count", "Count it.", 2)
    assert made.spec.parameters == function["parameters"]
    assert made.yields


def test_a_dicts_misspelt_key_is_not_passed_over():
    with pytest.raises(nbchat.ConfigError, match="'polcy'"):
        as_tool({"name": "x", "handler": waits, "polcy": "confirm"})


def test_a_dict_without_words_has_its_handlers():
    made = as_tool({"name": "x", "handler": waits, "parameters": {}})

    assert made.spec.description == "Wait."


NO_SCHEMAS = [
    {"type": "string"}, {"properties": ["n"]}, {"required": "n"}, {"properties": {"n": {1, 2}}},
    {"properties": {"n": {"default": float("nan")}}}, [], "n", 5,
]  # fmt: skip


@pytest.mark.parametrize("parameters", NO_SCHEMAS, ids=str)
def test_parameters_that_are_no_schema_are_refused(parameters):
    with pytest.raises(nbchat.ConfigError, match="JSON"):
        as_tool({"name": "x", "handler": waits, "parameters": parameters})


LIMITS = {
    "a string": ({"type": "string"}, ["", "x"], [1, None, True, []]),
    "an integer": ({"type": "integer"}, [1, 2.0], ["1", 1.5, True, None]),
    "a number": ({"type": "number"}, [1, 1.5], ["1", False]),
    "a boolean": ({"type": "boolean"}, [True], [1, "true"]),
    "an array": ({"type": "array"}, [[]], [{}, "x"]),
    "an object": ({"type": "object"}, [{}], [[], "x"]),
    "either": ({"type": ["string", "null"]}, ["x", None], [1]),
    "one of some": ({"enum": ["a", 1]}, ["a", 1], ["b", True, None]),
    "one": ({"const": "a"}, ["a"], ["b"]),
    "of a type unheard of": ({"type": "color"}, [1, "x"], []),
    "anything": ({}, [1, None], []),
    "true": (True, [1], []),
}


@pytest.mark.parametrize(("stated", "right", "wrong"), LIMITS.values(), ids=LIMITS)
def test_a_stated_schema_is_checked(stated, right, wrong):
    made = as_tool({"name": "x", "handler": waits, "parameters": {"properties": {"n": stated}}})

    for value in right:
        assert made.validate({"n": value}) == {"n": value}
    for value in wrong:
        with pytest.raises(ValueError, match=r"^Invalid arguments: n: must be .* \(given "):
            made.validate({"n": value})
