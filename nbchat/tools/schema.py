"""A function's signature and docstring as JSON Schema, and the check of arguments against it.

Types, defaults and `Annotated` come from pydantic; words come from the docstring, in the
Google, NumPy or Sphinx style.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
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
    body = body_of(function)
    documented = parse(inspect.getdoc(body) or "")
    words = {param.arg_name: param.description for param in documented.params}
    try:
        names, model = _model_of(function, body, words)
        schema = _untitled(model.model_json_schema())
    except (NameError, TypeError, ValueError, PydanticUserError) as error:
        name = getattr(body, "__name__", repr(function))
        why = str(error).splitlines()[0].rstrip(".")
        raise ConfigError(
            f"{name!r} cannot be a tool: {why}. Write a function whose parameters have names "
            "and types, and that returns its result."
        ) from error
    description = "\n\n".join(
        filter(None, (documented.short_description, documented.long_description))
    )
    return Parameters(description, schema, lambda arguments: _validate(model, names, arguments))


def body_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function itself, under whatever `functools.partial` has filled in."""
    while isinstance(function, partial):
        function = function.func
    return function


def _model_of(
    function: Callable[..., Any], body: Callable[..., Any], words: Mapping[str, str | None]
) -> tuple[dict[str, str], type[BaseModel]]:
    """A model of the arguments, and which of its fields holds which."""
    if inspect.isgeneratorfunction(body) or inspect.isasyncgenfunction(body):
        raise TypeError("it yields")
    hints = get_type_hints(_typed_part(body), include_extras=True)
    parameters = inspect.signature(function).parameters
    # parameters may have names that a model keeps for itself, such as copy, schema or _x
    names = {f"argument_{at}": name for at, name in enumerate(parameters)}
    fields: dict[str, Any] = {
        held: _field(parameters[name], hints.get(name, Any), words.get(name))
        for held, name in names.items()
    }
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=False)
    return names, create_model("Arguments", __config__=config, **fields)


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
    if words:
        return hint, Field(default, alias=parameter.name, description=words)
    return hint, Field(default, alias=parameter.name)


def _validate(
    model: type[BaseModel], names: Mapping[str, str], arguments: Mapping[str, Any]
) -> dict[str, Any]:
    try:
        checked = model.model_validate(arguments)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or 'arguments'}: {problem['msg']}"
            for problem in error.errors(include_url=False)
        )
        raise ValueError(f"Invalid arguments: {problems}.") from error
    return {name: getattr(checked, held) for held, name in names.items()}


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
