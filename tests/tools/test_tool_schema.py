"""A typed function becomes a JSON Schema, and arguments are checked against its types."""

import dataclasses
import datetime
import decimal
import enum
import functools
from collections.abc import Callable
from typing import Annotated, Any, Literal, Optional

import pytest
from pydantic import BaseModel, Field

import nbchat
from nbchat.tools import Tool, as_tool, by_name


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


class Place(BaseModel):
    city: str
    country: str = "NO"


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


def schema_of(function):
    return dict(Tool(function).spec.parameters)


def one_parameter(hint, **default):
    """The schema of a function's only parameter, `value`."""

    def function(value):
        return value

    function.__annotations__["value"] = hint
    if default:
        function.__defaults__ = (default["default"],)
    return schema_of(function)["properties"]["value"]


HINTS = {
    "int": (int, {"type": "integer"}),
    "float": (float, {"type": "number"}),
    "bool": (bool, {"type": "boolean"}),
    "str": (str, {"type": "string"}),
    "literal": (Literal["x", "y"], {"enum": ["x", "y"], "type": "string"}),
    "optional": (Optional[int], {"anyOf": [{"type": "integer"}, {"type": "null"}]}),  # noqa: UP045
    "union": (int | str, {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
    "list": (list[int], {"items": {"type": "integer"}, "type": "array"}),
    "dict": (dict[str, float], {"additionalProperties": {"type": "number"}, "type": "object"}),
    "date": (datetime.date, {"format": "date", "type": "string"}),
    "model": (Place, {"$ref": "#/$defs/Place"}),
    "dataclass": (Point, {"$ref": "#/$defs/Point"}),
    "enum": (Size, {"$ref": "#/$defs/Size"}),
    "annotated": (
        Annotated[int, Field(ge=1, le=9, description="how many")],
        {"description": "how many", "maximum": 9, "minimum": 1, "type": "integer"},
    ),
    "anything": (Any, {}),
}


@pytest.mark.parametrize(("hint", "schema"), HINTS.values(), ids=HINTS)
def test_a_hint_becomes_a_schema(hint, schema):
    assert one_parameter(hint) == schema


def test_definitions_are_carried_along():
    def move(to: Place, by: Point, size: Size) -> None: ...

    definitions = schema_of(move)["$defs"]

    assert definitions["Size"] == {"enum": ["small", "large"], "type": "string"}
    assert definitions["Place"]["required"] == ["city"]
    assert definitions["Point"]["properties"]["y"] == {"default": 0, "type": "integer"}


def test_a_default_makes_a_parameter_optional():
    def search(query: str, limit: int = 10, after: datetime.date | None = None) -> None: ...

    schema = schema_of(search)

    assert schema["required"] == ["query"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["limit"] == {"default": 10, "type": "integer"}
    assert Tool(search).validate({"query": "x"}) == {"query": "x", "limit": 10, "after": None}


def test_a_function_without_parameters_takes_none():
    def now() -> str:
        """The time."""
        return "noon"

    assert schema_of(now) == {"additionalProperties": False, "properties": {}, "type": "object"}
    assert Tool(now).validate({}) == {}


def google(city: str, days: int = 1) -> str:
    """Say the weather.

    Rain is likely.

    Args:
        city: where, as a name
        days: how far ahead

    Returns:
        words
    """
    return f"{city} {days}"


def numpy(city: str, days: int = 1) -> str:
    """Say the weather.

    Rain is likely.

    Parameters
    ----------
    city : str
        where, as a name
    days : int, optional
        how far ahead
    """
    return f"{city} {days}"


def sphinx(city: str, days: int = 1) -> str:
    """Say the weather.

    Rain is likely.

    :param city: where, as a name
    :param days: how far ahead
    :returns: words
    """
    return f"{city} {days}"


@pytest.mark.parametrize("function", [google, numpy, sphinx])
def test_words_come_from_the_docstring_in_three_styles(function):
    spec = Tool(function).spec

    assert spec.description == "Say the weather.\n\nRain is likely."
    assert spec.parameters["properties"] == {
        "city": {"description": "where, as a name", "type": "string"},
        "days": {"default": 1, "description": "how far ahead", "type": "integer"},
    }


def test_parameters_may_have_any_name():
    def awkward(schema: int, copy: int, json: str, model_name: str, title: str, _x: int = 3): ...

    arguments = {"schema": 1, "copy": 2, "json": "j", "model_name": "m", "title": "t"}

    assert list(schema_of(awkward)["properties"]) == [*arguments, "_x"]
    assert Tool(awkward).validate(arguments) == {**arguments, "_x": 3}


def test_arguments_arrive_as_the_types_that_were_asked_for():
    def move(to: Place, by: Point, size: Size, when: datetime.date) -> None: ...

    got = Tool(move).validate(
        {"to": {"city": "Oslo"}, "by": {"x": 1}, "size": "large", "when": "2026-01-02"}
    )

    assert got == {
        "to": Place(city="Oslo"), "by": Point(1, 0), "size": Size.LARGE,
        "when": datetime.date(2026, 1, 2),
    }  # fmt: skip


WRONG = {
    "missing": ({}, "city: missing"),
    "of another type": (
        {"city": "Oslo", "days": "x"},
        "days: Input should be a valid integer, unable to parse string as an integer (given 'x')",
    ),
    "unheard of": ({"city": "Oslo", "town": 1}, "town: not a parameter (those are city, days)"),
    "two at once": (
        {"days": None},
        "city: missing; days: Input should be a valid integer (given None)",
    ),
    "by our own names": ({"argument_0": "Oslo"}, None),
}


@pytest.mark.parametrize(("arguments", "problem"), WRONG.values(), ids=WRONG)
def test_wrong_arguments_are_told_in_words_for_the_model(arguments, problem):
    with pytest.raises(ValueError, match=r"^Invalid arguments: .*\.$") as wrong:
        Tool(google).validate(arguments)

    assert problem is None or str(wrong.value) == f"Invalid arguments: {problem}."


def test_a_problem_inside_a_value_is_named_by_its_path():
    def go(to: Place, stops: list[int]) -> None: ...

    with pytest.raises(ValueError, match=r"to\.city: .*; stops\.1: ") as wrong:
        Tool(go).validate({"to": {"city": 5}, "stops": [1, "x"]})

    assert "pydantic.dev" not in str(wrong.value)


class Callable_:
    def __call__(self, x: int) -> int:
        return x

    def method(self, x: int) -> int:
        """A method."""
        return x


async def waits(x: int) -> int:
    """Waits."""
    return x


@pytest.mark.parametrize(
    ("function", "name", "is_async"),
    [
        (google, "google", False),
        (waits, "waits", True),
        (Callable_(), "Callable_", False),
        (Callable_().method, "method", False),
        (functools.partial(google, days=2), "google", False),
        (functools.partial(waits), "waits", True),
    ],
)
def test_whatever_can_be_called_by_name_can_be_a_tool(function, name, is_async):
    made = as_tool(function)

    assert (made.name, made.is_async) == (name, is_async)
    assert made.spec.parameters["type"] == "object"


def test_what_partial_filled_in_may_be_given_again_or_left_out():
    made = as_tool(functools.partial(google, days=2))

    assert made(**made.validate({"city": "Oslo"})) == "Oslo 2"
    assert made(**made.validate({"city": "Oslo", "days": 3})) == "Oslo 3"


def unknown_hint(x: "Nowhere") -> None: ...  # noqa: F821


def unheard_of_hint(x: decimal.Context) -> None: ...


def takes_a_function(x: Callable[[int], int]) -> None: ...


def takes_any(*args: int) -> None: ...


def takes_names(**kwargs: int) -> None: ...


def by_position(x: int, /) -> None: ...


NO_TOOLS = [
    unknown_hint, unheard_of_hint, takes_a_function, takes_any, takes_names, by_position,
    len, print, int, dict.get, lambda x: x, 5, None, "name", object(), {}, {"name": "x"},
    {"name": "x", "handler": 5}, {"handler": print}, {"name": "two words", "handler": google},
]  # fmt: skip


@pytest.mark.parametrize("value", NO_TOOLS)
def test_what_cannot_be_a_tool_is_said_so_in_a_sentence(value):
    with pytest.raises(nbchat.ConfigError) as refused:
        as_tool(value)

    told = str(refused.value)
    assert told.endswith(".")
    assert "\n" not in told
    assert len(told) < 400


@pytest.mark.parametrize("name", ["two words", "a.b", "é", "x" * 65, "a\n"])
def test_a_name_that_providers_refuse_is_refused_first(name):
    with pytest.raises(nbchat.ConfigError):
        Tool(google, name=name)


def test_a_tool_may_be_given_other_words():
    @nbchat.tool(name="forecast", description="Tell the weather.")
    def weather(city: str) -> str:
        """Not these words."""
        return f"rain in {city}"

    @nbchat.tool
    def bare(x: int) -> int:
        """Bare."""
        return x

    assert (weather.name, weather.spec.description) == ("forecast", "Tell the weather.")
    assert weather("Oslo") == "rain in Oslo"
    assert (bare.name, bare.spec.description, bare(3)) == ("bare", "Bare.", 3)
    assert as_tool(bare) is bare


STATED = {
    "name": "lookup",
    "description": "Look it up.",
    "parameters": {
        "properties": {"key": {"type": "string"}, "depth": {"type": "integer"}},
        "required": ["key"],
        "additionalProperties": False,
    },
    "handler": lambda **given: given,
}


def test_a_dict_is_a_tool_whose_schema_is_taken_as_it_is():
    made = as_tool(STATED)

    assert (made.name, made.spec.description) == ("lookup", "Look it up.")
    assert made.spec.parameters == {"type": "object", **STATED["parameters"]}
    assert made.validate({"key": "a", "depth": 2}) == {"key": "a", "depth": 2}
    assert made(key="a") == {"key": "a"}


def test_a_dicts_names_are_checked():
    with pytest.raises(
        ValueError,
        match=r"^Invalid arguments: key: missing; keys: not a parameter \(.*'key'\?\)\.$",
    ):
        as_tool(STATED).validate({"keys": 1})


def test_a_dict_without_parameters_is_read_from_its_handler():
    made = as_tool({"name": "weather", "handler": google})

    assert made.spec.description == "Say the weather.\n\nRain is likely."
    assert list(made.spec.parameters["properties"]) == ["city", "days"]


def test_a_later_tool_replaces_an_earlier_one_of_its_name():
    tools = by_name([google, numpy, Tool(sphinx, name="google")])

    assert {name: made.function for name, made in tools.items()} == {
        "google": sphinx,
        "numpy": numpy,
    }
