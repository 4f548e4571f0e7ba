"""Parameters whose JSON Schema was written by hand, and the check of arguments against it.

Only what stands at the top is checked: which names there are, and each one's type, enum and
const. A body gets its arguments as the model sent them.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nbchat.errors import ConfigError
from nbchat.tools.docstrings import words_about
from nbchat.tools.schema import Parameters, body_of, context_of, first_line
from nbchat.tools.words import invalid_arguments, not_a_parameter, short, short_name

TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int, float),
    "boolean": (bool,),
    "array": (list, tuple),
    "object": (Mapping,),
    "null": (type(None),),
}


def stated_parameters(schema: Mapping[str, Any], function: Callable[..., Any]) -> Parameters:
    """The parameters that a JSON Schema states; raises ConfigError if it is none of an object."""
    context = context_of(function)
    stated = {"type": "object", "properties": {}, **_checked(schema)}

    def validate(arguments: Mapping[str, Any]) -> dict[str, Any]:
        problems = [*_problems(stated, arguments, context)]
        if problems:
            raise ValueError(invalid_arguments(problems))
        return dict(arguments)

    return Parameters(words_about(body_of(function)).whole, stated, validate, context)


def _checked(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        json.dumps(dict(schema), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"A tool's parameters are JSON Schema, and this one is no JSON: {first_line(error)}."
        ) from error
    properties = schema.get("properties", {})
    if (
        schema.get("type", "object") != "object"
        or not isinstance(properties, Mapping)
        or not isinstance(schema.get("required", []), list | tuple)
    ):
        raise ConfigError(
            "A tool's parameters are the JSON Schema of an object: 'properties' by name and a "
            f"list 'required'. These are {short(schema, 150)}."
        )
    return schema


def _problems(
    schema: Mapping[str, Any], arguments: Mapping[str, Any], context: str | None
) -> Iterator[str]:
    known = schema["properties"]
    is_closed = schema.get("additionalProperties") is False
    for name in schema.get("required", []):
        if name not in arguments:
            yield f"{name}: missing"
    for name, value in arguments.items():
        if name == context or (is_closed and name not in known):
            yield not_a_parameter(name, known)
        elif isinstance(known.get(name), Mapping):
            wanted = _wanted_instead(known[name], value)
            if wanted:
                yield f"{short_name(name)}: must be {wanted} (given {short(value)})"


def _wanted_instead(stated: Mapping[str, Any], value: Any) -> str | None:
    """What the value should have been, in words, or None if it is that."""
    if "const" in stated and not _equal(value, stated["const"]):
        return short(stated["const"])
    allowed = stated.get("enum")
    if isinstance(allowed, list | tuple) and not any(_equal(value, each) for each in allowed):
        return f"one of {short([*allowed], 300)}"
    types = stated.get("type", [])
    names = [types] if isinstance(types, str) else [*types]
    if any(name not in TYPES for name in names) or any(_is_of(value, name) for name in names):
        return None
    return " or ".join(names) or None


def _equal(value: Any, other: Any) -> bool:
    return bool(value == other) and isinstance(value, bool) == isinstance(other, bool)


def _is_of(value: Any, name: str) -> bool:
    """Whether a value has a JSON type; true is no number, 3.0 is an integer."""
    if isinstance(value, bool):
        return name == "boolean"
    if name == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, TYPES[name])
