"""A function's signature as JSON Schema, and the check of arguments against it.

Types, defaults and `Annotated` come from pydantic. A schema is plain JSON, and a body gets
values of the types that it asked for.
"""

import inspect
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind

from nbchat.errors import ConfigError
from nbchat.tools.docstrings import add_words, describe_fields, words_about, words_of
from nbchat.tools.hints import context_in, hints_of
from nbchat.tools.words import invalid_arguments, not_a_parameter, short, short_name

VALUES = {"default", "const", "enum", "examples"}  # what they hold is no schema


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a tool takes: words about it, its JSON Schema, the check, who asks for the context."""

    description: str
    schema: Mapping[str, Any]
    validate: Callable[[Mapping[str, Any]], dict[str, Any]]
    context: str | None = None


def parameters_of(
    function: Callable[..., Any], said: Mapping[str, str] | None = None
) -> Parameters:
    """The parameters of a typed function; raises ConfigError for one that cannot be described.

    `said` are words about parameters for which the function itself has none.
    """
    body = body_of(function)
    try:
        words = words_about(body)
        hints = hints_of(body)
        context = context_in(hints)
        names, model = _model_of(function, hints, {**(said or {}), **words.each}, context)
        schema = schema_of(model)
    except (NameError, TypeError, ValueError, PydanticUserError) as error:
        name = getattr(body, "__name__", short(function))
        raise ConfigError(
            f"{name!r} cannot be a tool: {first_line(error)}. Write a function whose parameters "
            "have names and types."
        ) from error
    add_words(schema, hints.values())
    known = schema["properties"]

    def validate(arguments: Mapping[str, Any]) -> dict[str, Any]:
        checked = checked_by(model, arguments, known)
        return {name: getattr(checked, held) for held, name in names.items()}

    return Parameters(words.whole, schema, validate, context)


def parameters_of_model(model: type[BaseModel], function: Callable[..., Any]) -> Parameters:
    """Parameters that are a pydantic model's fields; the function has them as keywords."""
    try:
        schema = schema_of(model)
    except PydanticUserError as error:
        raise ConfigError(
            f"{model.__name__} cannot be a tool's parameters: {first_line(error)}. Give its "
            "fields types that JSON can carry."
        ) from error
    add_words(schema, [model])
    describe_fields(schema, model)

    def validate(arguments: Mapping[str, Any]) -> dict[str, Any]:
        checked = checked_by(model, arguments, schema["properties"])
        fields = {name: getattr(checked, name) for name in model.model_fields}
        return {**fields, **(checked.model_extra or {})}

    said = words_about(body_of(function)).whole or words_of(model.__doc__).whole
    return Parameters(said, schema, validate, context_of(function))


def context_of(function: Callable[..., Any]) -> str | None:
    """The parameter that asks for the context, of a function whose types need not be known."""
    try:
        return context_in(hints_of(body_of(function)))
    except (NameError, TypeError):
        return None


def first_line(error: Exception) -> str:
    """The first line of what an error says, for a sentence of ours."""
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")


def body_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function itself, under whatever `functools.partial` has filled in."""
    while isinstance(function, partial):
        function = function.func
    return function


def _model_of(
    function: Callable[..., Any],
    hints: Mapping[str, Any],
    words: Mapping[str, str],
    context: str | None,
) -> tuple[dict[str, str], type[BaseModel]]:
    """A model of the arguments, and which of its fields holds which."""
    parameters = inspect.signature(function).parameters
    # parameters may have names that a model keeps for itself, such as copy, schema or _x
    names = {f"argument_{at}": name for at, name in enumerate(parameters) if name != context}
    for parameter in parameters.values():
        _check_kind(parameter)
    fields: dict[str, Any] = {
        held: _field(parameters[name], hints.get(name, Any), words.get(name))
        for held, name in names.items()
    }
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=False)
    return names, create_model("Arguments", __config__=config, **fields)


def _check_kind(parameter: inspect.Parameter) -> None:
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        raise TypeError(f"{parameter} takes any number of arguments")
    if parameter.kind is parameter.POSITIONAL_ONLY:
        raise TypeError(f"{parameter.name} can only be given by position")


def _field(parameter: inspect.Parameter, hint: Any, words: str | None) -> tuple[Any, Any]:
    default = parameter.default
    if isinstance(default, FieldInfo):  # x: int = Field(3, ge=1)
        hint, default = Annotated[hint, default], parameter.empty
    options: dict[str, Any] = {"alias": parameter.name}
    if words := _said_beside(hint) or words:
        options["description"] = words
    if default is not parameter.empty:  # without one, a default in the type holds
        options["default"] = default
    return hint, Field(**options)


def _said_beside(hint: Any) -> str | None:
    """The description that stands in `Annotated`: a text, a Field's, or a Doc's."""
    if get_origin(hint) is not Annotated:
        return None
    said = [
        extra if isinstance(extra, str) else getattr(extra, "description", None)
        or getattr(extra, "documentation", None)
        for extra in get_args(hint)[1:]
    ]  # fmt: skip
    return next((text for text in reversed(said) if isinstance(text, str)), None)


def checked_by(
    model: type[BaseModel], arguments: Mapping[str, Any], known: Collection[str]
) -> BaseModel:
    """The model of the arguments; raises ValueError in words for the model that sent them."""
    try:
        return model.model_validate(arguments)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False)
        told = invalid_arguments(_problem(problem, known) for problem in problems)
        raise ValueError(told) from error


def _problem(problem: Any, known: Collection[str]) -> str:
    """One problem by the path to the value, with the value that was given."""
    path = [str(step) for step in problem["loc"]]
    where = short_name(".".join(path)) or "arguments"
    if problem["type"] == "missing":
        return f"{where}: missing"
    if problem["type"] == "extra_forbidden":
        return not_a_parameter(where, known) if len(path) == 1 else f"{where}: not a field"
    return f"{where}: {problem['msg'].rstrip('.')} (given {short(problem['input'])})"


class _Plain(GenerateJsonSchema):
    """Leaves a default out, silently, if JSON cannot say it."""

    ignored_warning_kinds: set[JsonSchemaWarningKind] = {  # noqa: RUF012  as pydantic has it
        "skipped-choice",
        "non-serializable-default",
    }


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """The model's schema as plain JSON whose top is an object, without pydantic's titles."""
    schema: dict[str, Any] = _tidied(model.model_json_schema(schema_generator=_Plain))
    if "$ref" in schema:  # a model that holds itself
        schema |= schema["$defs"][schema.pop("$ref").removeprefix("#/$defs/")]
    return {"properties": {}, **schema}


def _tidied(schema: Any, *, names: bool = False) -> Any:
    """The schema without added titles; a property named title stays, and so do values."""
    if isinstance(schema, dict):
        return {
            key: value
            if key in VALUES and not names
            else _tidied(value, names=not names and key in ("properties", "$defs"))
            for key, value in schema.items()
            if names or not _is_noise(key, value)
        }
    if isinstance(schema, list):
        return [_tidied(item) for item in schema]
    return schema


def _is_noise(key: str, value: Any) -> bool:
    if key == "default":  # an endless number is no JSON
        return not _is_json(value)
    return key == "title" and isinstance(value, str)


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True
