"""Types in hints become plain JSON Schema, and a body gets values of these types."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import functools
import json
import pathlib
import typing
import uuid
from typing import TYPE_CHECKING, Annotated, Any, Literal, NotRequired, Optional, TypedDict

import pytest
from pydantic import BaseModel, Field

import nbchat
from nbchat.tools import Tool

if TYPE_CHECKING:
    import nowhere


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


class Level(enum.IntEnum):
    LOW = 1


class Place(BaseModel):
    """A place on earth.

    Attributes:
        city: the town
        country: two letters
    """

    city: str
    country: str = Field("NO", description="ISO code")


@dataclasses.dataclass
class Point:
    """A point.

    Args:
        x: to the right
    """

    x: int
    y: int = 0


class Row(TypedDict):
    """A row.

    Attributes:
        day: when it was
    """

    day: datetime.date
    sizes: NotRequired[list[Size]]


class Tree(BaseModel):
    children: list[Tree] = []


def taking(hint, default=...):
    """A tool with one parameter, `value`, that gives it back."""

    def function(value):
        return value

    function.__annotations__["value"] = hint
    if default is not ...:
        function.__defaults__ = (default,)
    return Tool(function)


DAY = datetime.date(2026, 1, 2)
ID = "12345678-1234-5678-1234-567812345678"
VALUES = {
    "a model": (Place, {"city": "Oslo"}, Place(city="Oslo")),
    "a dataclass": (Point, {"x": 1}, Point(1)),
    "a typed dict": (Row, {"day": "2026-01-02"}, {"day": DAY}),
    "a typed dict in a list": (
        list[Row], [{"day": "2026-01-02", "sizes": ["small"]}],
        [{"day": DAY, "sizes": [Size.SMALL]}],
    ),
    "perhaps a typed dict": (Row | None, {"day": "2026-01-02"}, {"day": DAY}),
    "perhaps one, in old words": (Optional[Row], {"day": "2026-01-02"}, {"day": DAY}),  # noqa: UP045
    "an annotated typed dict": (Annotated[Row, "a row"], {"day": "2026-01-02"}, {"day": DAY}),
    "typed dicts by name": (
        dict[str, typing.List[Row]], {"a": [{"day": "2026-01-02"}]}, {"a": [{"day": DAY}]},  # noqa: UP006
    ),
    "an enum": (Size, "large", Size.LARGE),
    "a whole-number enum": (Level, 1, Level.LOW),
    "a literal": (Literal["a", 1], 1, 1),
    "a union": (int | Size, "small", Size.SMALL),
    "a date": (datetime.date, "2026-01-02", DAY),
    "a time": (
        datetime.datetime, "2026-01-02T03:04:05Z",
        datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
    ),
    "a span": (datetime.timedelta, "PT1H", datetime.timedelta(hours=1)),
    "a path": (pathlib.Path, "a/b", pathlib.Path("a/b")),
    "a decimal": (decimal.Decimal, "1.50", decimal.Decimal("1.50")),
    "an id": (uuid.UUID, ID, uuid.UUID(ID)),
    "a set": (set[Size], ["small"], {Size.SMALL}),
    "a pair": (tuple[int, Size], [1, "small"], (1, Size.SMALL)),
    "nested": (
        dict[Size, list[Place | None]], {"small": [None, {"city": "Oslo"}]},
        {Size.SMALL: [None, Place(city="Oslo")]},
    ),
    "a class of itself": (Tree, {"children": [{}]}, Tree(children=[Tree()])),
}  # fmt: skip


@pytest.mark.parametrize(("hint", "sent", "value"), VALUES.values(), ids=VALUES)
def test_a_body_gets_values_of_the_types_it_asked_for(hint, sent, value):
    made = taking(hint)
    got = made.validate({"value": sent})["value"]

    assert (got, type(got)) == (value, type(value))
    assert json.loads(json.dumps(made.spec.parameters)) == made.spec.parameters
    with pytest.raises(ValueError, match=r"^Invalid arguments: value"):
        made.validate({"value": object()})


DEFAULTS = {
    "an enum's": (Size, Size.LARGE, "large"),
    "a whole-number enum's": (Level, Level.LOW, 1),
    "a date": (datetime.date, DAY, "2026-01-02"),
    "perhaps a date": (datetime.date | None, DAY, "2026-01-02"),
    "a span": (datetime.timedelta, datetime.timedelta(hours=1), "PT1H"),
    "a path": (pathlib.Path, pathlib.Path("a"), "a"),
    "a decimal": (decimal.Decimal, decimal.Decimal("1.5"), "1.5"),
    "an id": (uuid.UUID, uuid.UUID(ID), ID),
    "a model": (Place, Place(city="Oslo"), {"city": "Oslo", "country": "NO"}),
    "a dataclass": (Point, Point(1), {"x": 1, "y": 0}),
    "a list of enums": (list[Size], [Size.SMALL], ["small"]),
    "a tuple": (tuple[int, ...], (1, 2), [1, 2]),
    "a dict with a title": (dict[str, str], {"title": "Dr"}, {"title": "Dr"}),
    "of no type": (Any, Size.SMALL, "small"),
}


@pytest.mark.parametrize(("hint", "default", "shown"), DEFAULTS.values(), ids=DEFAULTS)
def test_a_default_is_json_in_the_schema_and_itself_for_the_body(hint, default, shown):
    made = taking(hint, default)

    assert made.spec.parameters["properties"]["value"]["default"] == shown
    assert made.validate({}) == {"value": default}
    json.dumps(made.spec.parameters, allow_nan=False)


@pytest.mark.parametrize(
    ("hint", "default"), [(Any, object()), (bytes, b"\xff"), (float, float("inf"))]
)
def test_a_default_that_json_cannot_say_is_left_out(hint, default):
    made = taking(hint, default)

    assert "default" not in made.spec.parameters["properties"]["value"]
    assert made.validate({}) == {"value": default}


def test_fields_may_have_any_name():
    class Odd(BaseModel):
        title: str
        properties: dict[str, str]
        default: int = 3

    definition = taking(Odd).spec.parameters["$defs"]["Odd"]

    assert list(definition["properties"]) == ["title", "properties", "default"]
    assert definition["properties"]["title"] == {"type": "string"}
    assert "title" not in definition["properties"]["properties"]


class Doc:
    """As other libraries keep a text beside a type."""

    def __init__(self, documentation):
        self.documentation = documentation


def test_words_beside_a_type_come_before_the_docstrings():
    def function(  # noqa: PLR0917
        a: Annotated[int, "in Annotated"],
        b: Annotated[int, Field(description="in Field", ge=1)],
        c: Annotated[int, Doc("in Doc")],
        d: int = Field(5, description="in the default", le=9),
        e: Annotated[int, Field(description="first"), "last"] = 1,
        f: int = 0,
    ):
        """Words.

        Args:
            a: in the docstring
            b: in the docstring
            f: in the docstring
        """

    made = Tool(function)
    properties = made.spec.parameters["properties"]

    assert [each["description"] for each in properties.values()] == [
        "in Annotated", "in Field", "in Doc", "in the default", "last", "in the docstring",
    ]  # fmt: skip
    assert (properties["b"]["minimum"], properties["d"]["maximum"]) == (1, 9)
    assert properties["d"]["default"] == 5
    assert made.validate({"a": 1, "b": 1, "c": 1})["d"] == 5
    with pytest.raises(ValueError, match="d: Input should be less"):
        made.validate({"a": 1, "b": 1, "c": 1, "d": 10})


def test_fields_of_nested_classes_have_the_words_of_their_docstrings():
    def function(places: list[Place], by: Point | None, rows: dict[str, Row]): ...

    definitions = Tool(function).spec.parameters["$defs"]

    assert definitions["Place"]["properties"]["city"]["description"] == "the town"
    assert definitions["Place"]["properties"]["country"]["description"] == "ISO code"
    assert definitions["Point"]["properties"]["x"]["description"] == "to the right"
    assert definitions["Row"]["properties"]["day"]["description"] == "when it was"
    assert [definitions[name]["description"] for name in ("Place", "Point", "Row")] == [
        "A place on earth.", "A point.", "A row.",
    ]  # fmt: skip


def test_a_class_of_itself_can_be_the_parameters():
    schema = Tool(lambda children: children, name="grow", parameters=Tree).spec.parameters

    assert (schema["type"], list(schema["properties"])) == ("object", ["children"])
    assert schema["$defs"]["Tree"]["type"] == "object"


def test_a_type_named_in_a_string_may_stand_in_a_function_around():
    class Inner(BaseModel):
        n: int

    @nbchat.tool
    def decorated(value: Inner) -> int:
        return value.n

    class Holder:
        def execute(self, value: list[Inner]) -> int:
            return value[0].n

    assert decorated.validate({"value": {"n": 3}}) == {"value": Inner(n=3)}
    assert Tool(Holder).validate({"value": [{"n": 3}]}) == {"value": [Inner(n=3)]}


def test_a_type_that_the_body_uses_is_found_after_the_function_around_ended():
    def make():
        class Inner(BaseModel):
            n: int = 3

        def function(value: Inner) -> Any:
            return value or Inner()

        return function

    assert Tool(make()).validate({"value": {}})["value"].n == 3


def test_a_type_that_is_nowhere_to_be_found_is_said_so():
    def make():
        class Gone(BaseModel):
            n: int

        def function(value: Gone) -> None: ...

        return function

    with pytest.raises(nbchat.ConfigError, match="Gone"):
        Tool(make())


def test_what_a_function_returns_need_not_be_known():
    def function(value: int) -> nowhere.Frame: ...

    assert Tool(function).spec.parameters["properties"] == {"value": {"type": "integer"}}


def test_a_decorated_functions_types_are_its_own():
    def logged(body):
        @functools.wraps(body)
        def wrapper(*args, **kwargs):
            return body(*args, **kwargs)

        return wrapper

    @logged
    def move(to: Place, day: datetime.date = DAY) -> str:
        """Move.

        Args:
            to: where
        """
        return to.city

    made = Tool(move)

    assert made(**made.validate({"to": {"city": "Oslo"}})) == "Oslo"
    assert made.spec.parameters["properties"]["to"]["description"] == "where"


def test_a_docstring_that_only_looks_like_a_style_is_taken_as_it_is():
    def function(value: int):
        """Sum.

        :param
        """

    assert Tool(function).spec.description.startswith("Sum.")
