"""A tool's schema becomes what a grammar can hold: less, never something else."""

from typing import Any

import pytest

from nbchat.exchange import ToolSpec
from nbchat.wires.forced_schema import DEEPEST, forced_schema

CLOCK: dict[str, Any] = {"type": "object", "properties": {}}


def arguments_of(parameters: dict[str, Any]) -> tuple[Any, Any]:
    """What is forced of one tool's parameters, and the definitions beside it."""
    schema = forced_schema([ToolSpec("f", "", parameters)], answer=False, strict=True)
    return schema["properties"]["arguments"], schema.get("$defs", {})


@pytest.mark.parametrize(
    ("given_", "kept"),
    [
        ({"type": "integer", "minimum": 1, "title": "A"}, {"type": "integer", "minimum": 1}),
        ({"type": "integer", "minimum": 1.5, "maximum": 10**20}, {"type": "integer"}),
        ({"type": "number", "exclusiveMinimum": 0}, {"type": "number"}),
        ({"type": "string", "pattern": "^(?!a)"}, {"type": "string"}),
        ({"type": "string", "format": "email"}, {"type": "string"}),
        ({"type": "string", "format": "date"}, {"type": "string", "format": "date"}),
        ({"type": "string", "maxLength": 9, "minLength": 2}, None),
        ({"type": "string", "maxLength": 100_000}, {"type": "string"}),
        ({"enum": ["a", 1, None], "type": "string"}, {"enum": ["a", 1, None]}),
        ({"const": "a", "type": "string"}, {"const": "a"}),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None}, {"anyOf": [
            {"type": "integer"}, {"type": "null"}]}),
        ({"oneOf": [{"type": "integer"}, True]}, {"anyOf": [{"type": "integer"}, {}]}),
        ({"allOf": [{"type": "integer"}]}, {"anyOf": [{"type": "integer"}]}),
        ({"allOf": [{"type": "integer"}, {"minimum": 3}]}, {}),
        ({"type": ["integer", "null"]}, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        ({"type": "array"}, {"type": "array", "items": {}}),
        ({"type": "array", "items": {"type": "null"}, "maxItems": 2, "uniqueItems": True},
         {"type": "array", "items": {"type": "null"}, "maxItems": 2}),
        ({"type": "array", "prefixItems": [{"type": "integer"}, {}], "minItems": 2},
         {"type": "array", "prefixItems": [{"type": "integer"}, {}]}),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, None),
        ({"type": "object", "additionalProperties": True}, {"type": "object"}),
        ({"type": "object", "patternProperties": {"a": {}}}, {"type": "object"}),
        ({"type": "weird"}, {}),
        (True, {}),
        ({}, {}),
        ({"not": {"type": "integer"}}, {}),
        ({"$ref": "https://example.org/x.json"}, None),
        ({"$ref": "#/$defs/missing"}, None),
    ],
)  # fmt: skip
def test_only_what_a_grammar_holds_is_forced(given_: Any, kept: Any) -> None:
    arguments, definitions = arguments_of({"properties": {"a": given_}, "required": ["a"]})
    made = arguments["properties"]["a"]
    if isinstance(given_, dict) and "$ref" in given_:
        assert (made, definitions) == ({"$ref": "#/$defs/d0"}, {"d0": {}})
    else:
        assert made == (given_ if kept is None else kept)
    assert arguments["required"] == ["a"]
    assert arguments["additionalProperties"] is False


def test_references_find_their_definitions_where_the_engine_looks_for_them() -> None:
    tree = {
        "type": "object",
        "properties": {
            "value": {"$ref": "#/definitions/odd~1name"},
            "kids": {"type": "array", "items": {"$ref": "#/$defs/Tree"}},
        },
        "required": ["value"],
    }
    spec = {
        "type": "object",
        "properties": {"tree": {"$ref": "#/$defs/Tree"}},
        "$defs": {"Tree": tree},
        "definitions": {"odd/name": {"enum": [1]}},
    }
    tools = [ToolSpec("f", "", spec), ToolSpec("g", "", spec)]
    schema = forced_schema(tools, answer=True, strict=True)
    assert [branch["properties"]["tool"].get("const") for branch in schema["anyOf"]] == [
        "f",
        "g",
        None,
    ]
    for at, branch in enumerate(schema["anyOf"][:2]):
        first, second = f"d{2 * at}", f"d{2 * at + 1}"
        assert branch["properties"]["arguments"]["properties"] == {
            "tree": {"$ref": f"#/$defs/{first}"}
        }
        assert schema["$defs"][first]["properties"] == {
            "value": {"$ref": f"#/$defs/{second}"},
            "kids": {"type": "array", "items": {"$ref": f"#/$defs/{first}"}},
        }
        assert schema["$defs"][second] == {"enum": [1]}


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"type": "string"},
        {"anyOf": [{"required": ["a"]}]},
        {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}},
        {"$ref": "#"},
    ],
)
def test_arguments_are_an_object_whatever_the_schema_says(parameters: dict[str, Any]) -> None:
    assert arguments_of(parameters)[0] == {"type": "object"}


def test_a_schema_that_is_itself_a_reference_is_followed() -> None:
    parameters = {"$ref": "#/$defs/A", "$defs": {"A": CLOCK}}
    arguments, definitions = arguments_of(parameters)
    assert arguments == {"$ref": "#/$defs/d0"}
    assert definitions["d0"] == arguments_of(CLOCK)[0]


def test_a_schema_without_end_is_forced_as_far_as_a_grammar_reaches() -> None:
    deep: Any = {"type": "integer"}
    for _ in range(5_000):
        deep = {"type": "array", "items": deep}
    made = arguments_of({"properties": {"a": deep}})[0]["properties"]["a"]
    levels = 0
    while made:
        made, levels = made["items"], levels + 1
    assert levels == DEEPEST
