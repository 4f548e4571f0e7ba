"""The types of a function's parameters, wherever its names are defined.

Only the parameters' types are looked up: what a function returns is not the model's concern,
and its type is often imported for type checkers alone.
"""

import functools
import inspect
import operator
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints, is_typeddict

import typing_extensions

from nbchat.tools.context import ToolContext


def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The types by parameter, strings resolved; raises NameError for a name nobody knows."""
    if isinstance(function, type):
        own = _hints_of(inspect.getattr_static(function, "__init__"))
        return {**get_type_hints(function, include_extras=True), **own}
    if not hasattr(function, "__annotations__"):
        function = type(function).__call__
    return _hints_of(function)


def _hints_of(function: Any) -> dict[str, Any]:
    body = getattr(function, "__func__", function)
    annotations = {**getattr(body, "__annotations__", {})}
    annotations.pop("return", None)
    while hasattr(body, "__wrapped__"):  # a decorator has its names elsewhere
        body = body.__wrapped__
    known = getattr(body, "__globals__", {})
    asked = types.SimpleNamespace(__annotations__=annotations)
    try:
        hints = get_type_hints(asked, known, _enclosed(body), include_extras=True)
    except NameError:
        hints = get_type_hints(asked, known, _locals_around(body), include_extras=True)
    return {name: understood(hint) for name, hint in hints.items()}


def _enclosed(body: Any) -> dict[str, Any]:
    """What the function keeps of the functions around it."""
    code = getattr(body, "__code__", None)
    cells = getattr(body, "__closure__", None) or ()
    held = {}
    for name, cell in zip(code.co_freevars if code else (), cells, strict=True):
        try:
            held[name] = cell.cell_contents
        except ValueError:  # not filled yet, as a function's own name while it is decorated
            continue
    return held


def _locals_around(body: Any) -> dict[str, Any]:
    """The names of the running functions in whose text this function stands, inner ones first.

    A type named in a string is not kept by the function, so it is only there while they run.
    """
    code, found = getattr(body, "__code__", None), _enclosed(body)
    frame: types.FrameType | None = sys._getframe()
    while frame is not None:
        if any(code is each for each in _codes_in(frame.f_code)):
            found = {**frame.f_locals, **found}
        frame = frame.f_back
    return found


def _codes_in(code: types.CodeType) -> Iterator[types.CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant
            yield from _codes_in(constant)


def context_in(hints: Mapping[str, Any]) -> str | None:
    """The parameter that asks for the context; raises TypeError if two do."""
    asking = [name for name, hint in hints.items() if _is_context(hint)]
    if len(asking) > 1:
        raise TypeError(f"{' and '.join(asking)} both ask for the context")
    return asking[0] if asking else None


def _is_context(hint: Any) -> bool:
    if get_origin(hint) in (Annotated, typing.Union, types.UnionType):
        return any(map(_is_context, get_args(hint)))
    return isinstance(hint, type) and issubclass(hint, ToolContext)


def understood(hint: Any) -> Any:
    """The type with every `typing.TypedDict` in a form that pydantic takes on Python 3.11."""
    if sys.version_info >= (3, 12):
        return hint
    if is_typeddict(hint) and type(hint).__module__ == "typing":
        return _typed_dict(hint)
    origin, inner = get_origin(hint), get_args(hint)
    now = tuple(understood(arg) for arg in inner if origin is not Literal)
    if now in ((), inner) or any(isinstance(arg, list) for arg in inner):
        return hint
    if origin is types.UnionType:
        return functools.reduce(operator.or_, now)
    if origin is Annotated:
        return Annotated.__class_getitem__((now[0], *hint.__metadata__))
    return hint.copy_with(now) if hasattr(hint, "copy_with") else origin[now]


def _typed_dict(hint: Any) -> Any:
    fields = get_type_hints(hint, include_extras=True)
    kept = {
        key: understood(field)
        if get_origin(field) in (typing.Required, typing.NotRequired)
        else (typing.Required if key in hint.__required_keys__ else typing.NotRequired)[
            understood(field)
        ]
        for key, field in fields.items()
    }
    made = typing_extensions.TypedDict(hint.__name__, kept)  # type: ignore[misc]
    made.__doc__ = hint.__doc__
    return made
