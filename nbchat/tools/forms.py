"""The forms in which a tool may be given, besides a function: classes, objects and dicts.

A class is made into an object first, so that whatever is given ends as something to call.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

from nbchat.errors import ConfigError
from nbchat.tools.docstrings import Words, words_of
from nbchat.tools.words import short

KEYS = ("name", "description", "parameters", "policy", "timeout", "max_chars")
# `type` and `strict` are OpenAI's and say nothing that nbchat needs
DICT_KEYS = {*KEYS, "handler", "function", "type", "strict"}
WORD_ENDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def tool_name(kind: type) -> str:
    """The class's name in the way of functions: WeatherTool is weather."""
    name = WORD_ENDS.sub("_", kind.__name__).lower()
    return name.removesuffix("_tool") if name != "_tool" else name


def has_execute(value: Any) -> bool:
    """Whether an object or a class has a method `execute` of its own making."""
    kind = value if isinstance(value, type) else type(value)
    execute = getattr(kind, "execute", None)
    return inspect.isfunction(execute) or inspect.ismethod(execute)


def instance_of(value: Any) -> Any:
    """An object of a class that has `execute` or `__call__`; anything else as it is."""
    if not isinstance(value, type):
        return value
    calls = any("__call__" in vars(kind) for kind in value.__mro__)
    if not (calls or has_execute(value)):
        return value  # calling it makes its object, which is the result
    try:
        return value()
    except TypeError as error:
        raise ConfigError(
            f"{value.__name__} cannot be made without arguments: {error}. Give the tool as an "
            f"object, {value.__name__}(...)."
        ) from error


def stated_by(value: Any) -> dict[str, Any]:
    """What an object with `execute` says of itself in attributes named as Tool's keywords."""
    found = ((key, getattr(value, key, None)) for key in KEYS)
    return {key: said for key, said in found if said is not None}


def words_of_class(kind: type | None, end: type) -> Words:
    """The words of the class's docstring, or of the nearest above it that has one before `end`."""
    for each in kind.__mro__ if kind else ():
        if each in (end, object):
            break
        if each.__doc__:
            return words_of(each.__doc__)
    return words_of(None)


def keywords_of(given: Mapping[str, Any]) -> tuple[Callable[..., Any], dict[str, Any]]:
    """The function and the keywords of a tool given as a dict, also in OpenAI's shape."""
    inner = given.get("function")
    stated = {**given, **inner} if isinstance(inner, Mapping) else dict(given)
    unknown = [key for key in stated if key not in DICT_KEYS]
    if unknown:
        raise ConfigError(
            f"A tool given as a dict has no {short(unknown[0])}. Its keys are "
            f"'handler', {', '.join(map(repr, KEYS))}."
        )
    if not callable(stated.get("handler")) or not isinstance(stated.get("name"), str):
        raise ConfigError(
            "A tool given as a dict needs a 'name' and a callable 'handler'; "
            f"this one has {sorted(given)}."
        )
    return stated["handler"], {key: stated[key] for key in KEYS if key in stated}
