"""The JSON schema that makes a model without tool calling write a call, or an answer.

A call is `{"tool": NAME, "arguments": {...}}`, an answer `{"tool": null, "answer": TEXT}`:
nobody asks for JSON like that, so it cannot be taken for words that were meant for the user.
Invariant: only what grammars can hold is left of a tool's own schema. What is dropped allows
more, never less, and arguments are checked again before a tool runs.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nbchat.exchange import ToolSpec
from nbchat.messages import JSON

DEEPEST = 24
MOST_REPEATS = 256  # a grammar spells every repetition out, and grows slow with them
LARGEST = 10**15
ANY: Mapping[str, JSON] = {}
FORMATS = ("date", "time", "date-time", "uuid")
SIMPLE = ("number", "boolean", "null")


def forced_schema(tools: Iterable[ToolSpec], *, answer: bool, strict: bool) -> dict[str, Any]:
    """The schema of one call of one of the tools, or of an answer where one is allowed.

    Arguments that are not `strict` are any object.
    """
    definitions: dict[str, Any] = {}
    branches = []
    for tool in tools:
        holdable = Holdable(tool.parameters, definitions)
        arguments = holdable.arguments() if strict else {"type": "object"}
        branches.append(closed({"tool": {"const": tool.name}, "arguments": arguments}))
    if answer:
        branches.append(closed({"tool": {"type": "null"}, "answer": {"type": "string"}}))
    schema = branches[0] if len(branches) == 1 else {"anyOf": branches}
    return schema | ({"$defs": definitions} if definitions else {})


def closed(properties: dict[str, Any], required: Sequence[str] | None = None) -> dict[str, Any]:
    """The schema of an object with these properties and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else list(required),
        "additionalProperties": False,
    }


class Holdable:
    """What a grammar can hold of one schema; references become shared definitions."""

    def __init__(self, root: Mapping[str, JSON], definitions: dict[str, Any]) -> None:
        self._root = root
        self._definitions = definitions
        self._names: dict[str, str] = {}

    def arguments(self) -> dict[str, Any]:
        """The whole schema, which must be an object's to be a tool's."""
        made = self._of(self._root, 0)
        meant = made
        for _ in self._names:  # a chain longer than that leads round in a circle
            name = meant.get("$ref", "").rpartition("/")[2]
            meant = self._definitions.get(name, meant)
        return made if meant.get("type") == "object" else {"type": "object"}

    def _of(self, schema: JSON, depth: int) -> dict[str, Any]:
        if not isinstance(schema, Mapping) or depth > DEEPEST:
            return dict(ANY)
        if isinstance(schema.get("$ref"), str):
            return self._reference(schema["$ref"])
        if values := {key: schema[key] for key in ("const", "enum") if key in schema}:
            return values
        if branches := branches_of(schema):
            return {"anyOf": [self._of(branch, depth + 1) for branch in branches]}
        return self._of_types(schema, depth)

    def _of_types(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        types = schema.get("type") or ("object" if "properties" in schema else None)
        if isinstance(types, list):
            return {"anyOf": [self._of_type(type_, schema, depth) for type_ in types]}
        return self._of_type(types, schema, depth)

    def _of_type(self, type_: JSON, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        if type_ == "object":
            return self._object(schema, depth)
        if type_ == "array":
            return self._array(schema, depth)
        if type_ == "string":
            return self._string(schema)
        if type_ == "integer":
            bounds = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
            return {"type": type_, **counts(schema, LARGEST, *bounds)}
        return {"type": type_} if type_ in SIMPLE else dict(ANY)

    @staticmethod
    def _string(schema: Mapping[str, Any]) -> dict[str, Any]:
        if schema.get("format") in FORMATS:
            return {"type": "string", "format": schema["format"]}
        return {"type": "string", **counts(schema, MOST_REPEATS, "minLength", "maxLength")}

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        required = schema.get("required") or []
        properties = {name: ANY for name in required} | dict(schema.get("properties") or {})
        if properties or "properties" in schema:
            made = {name: self._of(value, depth + 1) for name, value in properties.items()}
            return closed(made, required)
        values = schema.get("additionalProperties")
        if isinstance(values, Mapping) and values:
            return {"type": "object", "additionalProperties": self._of(values, depth + 1)}
        return closed({}) if values is False else {"type": "object"}

    def _array(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        first, items = schema.get("prefixItems"), schema.get("items")
        if first:
            made = [self._of(item, depth + 1) for item in first]
            return {"type": "array", "prefixItems": made}
        sizes = counts(schema, MOST_REPEATS, "minItems", "maxItems")
        return {"type": "array", "items": self._of(items, depth + 1), **sizes}

    def _reference(self, pointer: str) -> dict[str, Any]:
        if pointer not in self._names:
            name = self._names[pointer] = f"d{len(self._definitions)}"
            self._definitions[name] = dict(ANY)  # takes the place before what is inside it
            self._definitions[name] = self._of(found(self._root, pointer), 0)
        return {"$ref": f"#/$defs/{self._names[pointer]}"}


def branches_of(schema: Mapping[str, Any]) -> Sequence[JSON]:
    """The schemas one of which a value must fit; properties of its own say more than they."""
    if schema.get("properties"):
        return ()
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            return tuple(schema[key])
    every = schema.get("allOf") or ()
    return tuple(every) if len(every) == 1 else ()


def counts(schema: Mapping[str, Any], most: int, *keys: str) -> dict[str, int]:
    """Those of the limits that are whole numbers and not too large for a grammar."""
    limits = {key: schema.get(key) for key in keys}
    return {
        key: value
        for key, value in limits.items()
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= most
    }


def found(root: JSON, pointer: str) -> JSON:
    """What a JSON pointer of the same document points at, or None."""
    if not pointer.startswith("#"):
        return None
    value = root
    for step in pointer.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value
