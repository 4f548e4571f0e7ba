"""Tools: a typed function becomes something a model can call, safely.

Arguments are validated before the body runs, and whatever goes wrong becomes text for the
model. Nothing here knows threads, the store or providers: the engine runs the body.
"""

import inspect
import math
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any

from pydantic import BaseModel

from nbchat.errors import ConfigError
from nbchat.exchange import ToolSpec
from nbchat.pictures import ResultImage
from nbchat.tools.context import ToolContext
from nbchat.tools.docstrings import Words
from nbchat.tools.forms import (
    KEYS,
    has_execute,
    instance_of,
    keywords_of,
    stated_by,
    tool_name,
    words_of_class,
)
from nbchat.tools.policies import Policy, checked_policy, policy_of
from nbchat.tools.results import MAX_CHARS, ToolOutput, output_of, text_of_result
from nbchat.tools.schema import Parameters, body_of, parameters_of, parameters_of_model
from nbchat.tools.stated import stated_parameters
from nbchat.tools.words import short, unknown_tool

__all__ = [
    "MAX_CHARS",
    "Policy",
    "ResultImage",
    "Tool",
    "ToolContext",
    "ToolOutput",
    "as_tool",
    "by_name",
    "output_of",
    "policy_of",
    "text_of_result",
    "tool",
    "unknown_tool",
]

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Tool:
    """Something that a model may call: `Tool(function)`, `@tool` above the function, or a subclass.

    Name, description and parameters come from the function's signature and docstring. A
    subclass has a method `execute`, and may have class attributes named as the keywords.
    `policy` is "auto", "confirm" or "dry_run"; `timeout` is in seconds; `max_chars` is how
    long a result may be for the model. Calling the tool calls the function. Raises
    ConfigError for what cannot be described.
    """

    policy: Policy | None = None
    timeout: float | None = None
    max_chars: int | None = None
    parameters: Mapping[str, Any] | type[BaseModel] | None = None

    def __init__(
        self,
        function: Callable[..., Any] | None = None,
        *,
        name: str | None = None,
        description: str | None = None,
        parameters: Mapping[str, Any] | type[BaseModel] | None = None,
        policy: Policy | None = None,
        timeout: float | None = None,
        max_chars: int | None = None,
    ) -> None:
        own = vars(self)
        if function is not None:
            own.update(_taken_from(function))
        keywords = (name, description, parameters, policy, timeout, max_chars)
        given = zip(KEYS, keywords, strict=True)
        own.update({key: value for key, value in given if value is not None})
        if function is not None or type(self) is Tool:  # a subclass may not be ready yet
            self.check()

    def check(self) -> None:
        """Raise ConfigError for anything that a model or a provider could not use."""
        said = f"Tool {self.spec.name!r}:"
        if self.policy is not None:
            checked_policy(self.policy, f"{said} policy")
        if not _is_amount(self.timeout, int | float):
            raise ConfigError(f"{said} timeout={self.timeout!r} is no time. Give seconds above 0.")
        if not _is_amount(self.max_chars, int):
            raise ConfigError(
                f"{said} max_chars={self.max_chars!r} is no length. Give a whole number above 0."
            )

    @cached_property
    def function(self) -> Callable[..., Any]:
        """What is called: the function given, or the subclass's `execute`."""
        execute = getattr(self, "execute", None)
        if not callable(execute):
            raise ConfigError(
                f"{type(self).__name__} has nothing to call. Give Tool a function, or the "
                "subclass a method execute."
            )
        return execute  # type: ignore[no-any-return]

    @cached_property
    def name(self) -> str:
        """What the model calls it."""
        if self._kind is not None:
            return tool_name(self._kind)
        return str(getattr(body_of(self.function), "__name__", type(self.function).__name__))

    @cached_property
    def description(self) -> str:
        """What the model is told it does."""
        return self._said.whole or self._described.description

    @cached_property
    def spec(self) -> ToolSpec:
        """What a provider is told about it."""
        return ToolSpec(checked_name(self.name), self.description, self._described.schema)

    @cached_property
    def _kind(self) -> type | None:
        """The class that is the tool, if its `execute` is what is called."""
        is_own = "function" not in vars(self) and hasattr(type(self), "execute")
        return type(self) if is_own else None

    @cached_property
    def _said(self) -> Words:
        return words_of_class(self._kind, Tool)

    @cached_property
    def _described(self) -> Parameters:
        stated = self.parameters
        if stated is None:
            return parameters_of(self.function, self._said.each)
        if isinstance(stated, type) and issubclass(stated, BaseModel):
            return parameters_of_model(stated, self.function)
        if isinstance(stated, Mapping):
            return stated_parameters(stated, self.function)
        raise ConfigError(f"parameters={short(stated)} are no JSON Schema and no pydantic model.")

    @property
    def context_parameter(self) -> str | None:
        """The name under which the function asks for a ToolContext, if it does."""
        return self._described.context

    @property
    def is_async(self) -> bool:
        """Whether the body is awaited."""
        return _is(inspect.iscoroutinefunction, self.function)

    @property
    def yields(self) -> bool:
        """Whether the body is a generator, async or not: what it yields is progress."""
        return _is(inspect.isgeneratorfunction, self.function) or _is(
            inspect.isasyncgenfunction, self.function
        )

    def validate(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The keyword arguments for the body; raises ValueError in words for the model."""
        return self._described.validate(arguments)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"Tool({self.name!r})"


def _taken_from(value: Any) -> dict[str, Any]:
    """What is called of a function, an object, a class or another tool, and what it states."""
    value = instance_of(value)
    if isinstance(value, Tool):
        return {**stated_by(value), "function": value.function}
    if has_execute(value):
        return {**stated_by(value), "function": value.execute, "_kind": type(value)}
    if not callable(value):
        raise ConfigError(f"{short(value)} is not a function. A tool is a function with types.")
    return {"function": value}


def _is_amount(value: Any, kind: Any) -> bool:
    """Whether it is None, or a number above 0 that ends."""
    if value is None:
        return True
    return isinstance(value, kind) and not isinstance(value, bool) and 0 < value < math.inf


def _is(question: Callable[[Any], bool], function: Any) -> bool:
    """Whether it holds for what runs when the function is called."""
    body = body_of(function)
    return question(body) or question(getattr(body, "__call__", body))  # noqa: B004  an object's


def checked_name(name: Any) -> str:
    """The name, if every provider takes it."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ConfigError(
            f"{short(name, 80)} is not a tool's name: give name= with 1 to 64 letters, digits, "
            "_ or -."
        )
    return name


def tool(
    function: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    description: str | None = None,
    parameters: Mapping[str, Any] | type[BaseModel] | None = None,
    policy: Policy | None = None,
    timeout: float | None = None,
    max_chars: int | None = None,
) -> Any:
    """The function as a Tool: `@tool`, or `@tool(name=..., policy="confirm", ...)`."""

    def made(body: Callable[..., Any]) -> Tool:
        return Tool(
            body,
            name=name,
            description=description,
            parameters=parameters,
            policy=policy,
            timeout=timeout,
            max_chars=max_chars,
        )

    return made if function is None else made(function)


def as_tool(value: Any) -> Tool:
    """A Tool from a Tool, a function, a class, an object to call, or a dict with a handler.

    A class that has an `as_tool` of its own, as agents do, says itself what it is as a tool.
    """
    if isinstance(value, type) and callable(own := getattr(value, "as_tool", None)):
        value = own()
    if isinstance(value, type) and issubclass(value, Tool):
        value = instance_of(value)
    if isinstance(value, Tool):
        value.check()
        return value
    if isinstance(value, Mapping):
        function, keywords = keywords_of(value)
        return Tool(function, **keywords)
    if value is None:
        raise ConfigError("None is not a function. A tool is a function with types.")
    return Tool(value)


def by_name(tools: Iterable[Any] | None) -> dict[str, Tool]:
    """The tools by name, in order; a later one replaces an earlier one of the same name."""
    is_list = tools is None or isinstance(tools, Iterable)
    if not is_list or callable(tools) or isinstance(tools, str | Mapping):
        raise ConfigError(f"tools={short(tools)} is not a list. Write tools=[...].")
    return {made.name: made for made in map(as_tool, tools or ())}
