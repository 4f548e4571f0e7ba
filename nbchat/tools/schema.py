"""A function's signature and docstring as JSON Schema, and the check of arguments against it.

Types, defaults and `Annotated` come from pydantic; words come from the docstring, in the
Google, NumPy or Sphinx style.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

from docstring_parser import parse
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticUserError

from nbchat.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a tool takes: a description of the tool, its JSON Schema, and the check."""

    description: str
    schema: Mapping[str, Any]
    validate: Callable[[Mapping[str, Any]], dict[str, Any]]


def parameters_of(function: Callable[..., Any]) -> Parameters:
    """The parameters of a typed function; raises ConfigError for one that cannot be described."""
    documented = parse(inspect.getdoc(function) or "")
    words = {param.arg_name: param.description for param in documented.params}
    try:
        hints = get_type_hints(_typed_part(function), include_extras=True)
        fields: dict[str, Any] = {
            name: _field(parameter, hints.get(name, Any), words.get(name))
            for name, parameter in inspect.signature(function).parameters.items()
        }
        model = create_model(
            "Arguments",
            __config__=ConfigDict(extra="forbid", arbitrary_types_allowed=False),
            **fields,
        )
        schema = _untitled(model.model_json_schema())
    except (NameError, TypeError, ValueError, PydanticUserError) as error:
        name = getattr(function, "__name__", repr(function))
        raise ConfigError(
            f"{name!r} cannot be a tool: {error}. Give its parameters types."
        ) from error
    description = "\n\n".join(
        filter(None, (documented.short_description, documented.long_description))
    )
    return Parameters(description, schema, lambda arguments: _validate(model, arguments))


def _typed_part(function: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.isfunction(function) or inspect.ismethod(function):
        return function
    return type(function).__call__


def _field(parameter: inspect.Parameter, hint: Any, words: str | None) -> tuple[Any, Any]:
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        raise TypeError(f"{parameter} takes any number of arguments")
    if parameter.kind is parameter.POSITIONAL_ONLY:
        raise TypeError(f"{parameter.name} can only be given by position")
    default = ... if parameter.default is parameter.empty else parameter.default
    return hint, Field(default, description=words) if words else Field(default)


def _validate(model: type[BaseModel], arguments: Mapping[str, Any]) -> dict[str, Any]:
    try:
        checked = model.model_validate(arguments)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or 'arguments'}: {problem['msg']}"
            for problem in error.errors(include_url=False)
        )
        raise ValueError(f"Invalid arguments: {problems}.") from error
    return {name: getattr(checked, name) for name in model.model_fields}


def stated_parameters(schema: Mapping[str, Any]) -> Parameters:
    """Parameters whose JSON Schema is given: names are checked against it, values are not."""

    def validate(arguments: Mapping[str, Any]) -> dict[str, Any]:
        known, required = schema.get("properties", {}), schema.get("required", [])
        wrong = [f"{name}: missing" for name in required if name not in arguments]
        if schema.get("additionalProperties") is False:
            wrong += [f"{name}: not a parameter" for name in arguments if name not in known]
        if wrong:
            raise ValueError(f"Invalid arguments: {'; '.join(wrong)}.")
        return dict(arguments)

    return Parameters("", {"type": "object", "properties": {}, **schema}, validate)


def _untitled(schema: Any, *, names: bool = False) -> Any:
    """The schema without the titles that pydantic adds; a property named title stays."""
    if isinstance(schema, dict):
        return {
            key: _untitled(value, names=key in ("properties", "$defs"))
            for key, value in schema.items()
            if names or key != "title" or not isinstance(value, str)
        }
    if isinstance(schema, list):
        return [_untitled(item) for item in schema]
    return schema
