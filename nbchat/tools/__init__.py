"""Tools: a typed function becomes something a model can call, safely.

Arguments are validated before the body runs, and whatever goes wrong becomes text for the
model. Nothing here knows threads, the store or providers: the engine runs the body.
"""

import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import asdict, is_dataclass
from enum import Enum
from typing import Any

from nbchat.errors import ConfigError
from nbchat.exchange import ToolSpec
from nbchat.tools.schema import Parameters, body_of, parameters_of, stated_parameters

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Tool:
    """A function that a model may call: `Tool(function)`, or `@tool` above the function.

    Its name, description and parameters come from the function's signature and docstring.
    Calling the tool calls the function. Raises ConfigError for what cannot be described.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        description: str | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        if not callable(function):
            raise ConfigError(f"{function!r} is not a function. A tool is a function with types.")
        self.function = function
        self._parameters: Parameters = (
            stated_parameters(parameters) if parameters is not None else parameters_of(function)
        )
        self.spec = ToolSpec(
            checked_name(
                name or str(getattr(body_of(function), "__name__", type(function).__name__))
            ),
            description if description is not None else self._parameters.description,
            self._parameters.schema,
        )

    @property
    def name(self) -> str:
        """What the model calls it."""
        return self.spec.name

    @property
    def is_async(self) -> bool:
        """Whether the body is awaited."""
        call = getattr(self.function, "__call__", self.function)  # noqa: B004  an object's own
        return inspect.iscoroutinefunction(self.function) or inspect.iscoroutinefunction(call)

    def validate(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The keyword arguments for the body; raises ValueError in words for the model."""
        return self._parameters.validate(arguments)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"Tool({self.name!r})"


def checked_name(name: str) -> str:
    """The name, if every provider takes it."""
    if not NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} is not a tool's name: give name= with 1 to 64 letters, digits, _ or -."
        )
    return name


def tool(
    function: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    description: str | None = None,
) -> Any:
    """The function as a Tool: `@tool`, or `@tool(name=..., description=...)`."""
    if function is None:
        return lambda body: Tool(body, name=name, description=description)
    return Tool(function, name=name, description=description)


def as_tool(value: Any) -> Tool:
    """A Tool from a Tool, a function, or a dict with name, description, parameters, handler."""
    if isinstance(value, Tool):
        return value
    if isinstance(value, Mapping):
        if not callable(value.get("handler")) or not isinstance(value.get("name"), str):
            raise ConfigError(
                "A tool given as a dict needs a 'name' and a callable 'handler'; "
                f"this one has {sorted(value)}."
            )
        return Tool(
            value["handler"],
            name=value["name"],
            description=value.get("description"),
            parameters=value.get("parameters"),
        )
    return Tool(value)


def by_name(tools: Iterable[Any] | None) -> dict[str, Tool]:
    """The tools by name, in order; a later one replaces an earlier one of the same name."""
    if callable(tools) or isinstance(tools, str | Mapping):
        raise ConfigError(f"tools={tools!r} is not a list. Write tools=[...].")
    return {made.name: made for made in map(as_tool, tools or ())}


def text_of_result(value: Any) -> str:
    """What the model is told a tool returned: text as it is, frames as CSV, the rest as JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return str.__str__(value)  # its text, also if it is an enum's
    if hasattr(value, "to_csv"):
        # numbers that only count the rows tell the model nothing
        return str(value.to_csv(index=type(value.index).__name__ != "RangeIndex"))
    try:
        return json.dumps(value, ensure_ascii=False, default=_jsonable)
    except (TypeError, ValueError):  # keys that are no text, or a value that holds itself
        return str(value)


def _jsonable(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Enum):
        return value.value
    if hasattr(value, "tolist"):  # numpy's scalars and arrays
        return value.tolist()
    return list(value) if isinstance(value, Set) else str(value)
