"""Calls what the user hung on a turn, each hook where it belongs and in its order.

Middleware is an onion: requests and tools pass it from the first to the last, what comes back
from the last to the first. Hooks come after, when what they are told of is stored. What a hook
raises ends the turn; it is carried in a `HookRaised`.
"""

import asyncio
import contextlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from nbchat.engine.loop import contained, in_thread
from nbchat.engine.plan import Plan
from nbchat.errors import ConfigError, Halt
from nbchat.events import ToolEndEvent, ToolStartEvent
from nbchat.exchange import Reply, Request
from nbchat.hooks import Decision, Hook, TurnState, decided, taken
from nbchat.messages import Message
from nbchat.store.rows import RequestRow

T = TypeVar("T")


class HookRaised(Exception):
    """A hook or middleware raised `error`; never seen outside the engine."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


async def call_user(function: Hook, *given: Any) -> Any:
    """What the user's function gives; one that is not async runs on a thread of its own."""
    arguments = taken(function, given)
    call = getattr(function, "__call__", function)  # noqa: B004  an object's own
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call):
        return await contained(function(*arguments))
    value = await in_thread(lambda: function(*arguments))
    return await contained(value) if inspect.isawaitable(value) else value


class Around:
    """The hooks and middleware of one turn, with the state that they share."""

    def __init__(self, plan: Plan, message_id: str) -> None:
        self._hooks = plan.hooks.by_kind
        self._middleware = plan.middleware
        self.state = TurnState(plan.store, plan.chat_id, message_id, plan.inputs)

    async def request(self, request: Request) -> Request:
        """The request as it will be sent; the hooks see that one."""
        for hook in self._layers("on_request"):
            request = expected(Request, await self._call(hook, request), request, hook)
        await self.tell("request", request)
        return request

    async def reply(self, reply: Reply, row: RequestRow) -> Reply:
        """The reply as it will be stored and acted on."""
        self.state.attempt = row
        for hook in self._layers("on_response", back=True):
            reply = expected(Reply, await self._call(hook, reply), reply, hook)
        return reply

    async def tool_start(self, event: ToolStartEvent) -> None:
        """Let everybody look at a call that is about to run; what is raised keeps it from that."""
        for hook in self._layers("on_tool_start"):
            await self._call(hook, event)
        await self.tell("tool_start", event)

    async def tool_result(self, event: ToolEndEvent, text: str) -> str:
        """What a call came to, as it will be told to the model and stored."""
        for hook in self._layers("on_tool_end", back=True):
            text = expected(str, await self._call(hook, event, text), text, hook)
        return text

    async def error(self, error: Exception, about: Any) -> Decision | None:
        """What the first hook that decides says of an error; the others are told all the same."""
        said: list[Decision] = []
        for hook in self._layers("on_error", back=True):
            said += _decision(await self._call(hook, error, about), hook)
        for hook in self._hooks["error"]:
            said += _decision(await _raised(hook, error, about), hook)
        return said[0] if said else None

    async def message(self, message: Message) -> None:
        """Tell of a message that is stored: neither Halt nor a stop changes it any more."""
        for hook in self._hooks["message"]:
            with contextlib.suppress(Halt, asyncio.CancelledError):
                await _raised(hook, message)

    async def tell(self, kind: str, *what: Any) -> None:
        """Call the hooks of that kind, in their order."""
        for hook in self._hooks[kind]:
            await _raised(hook, *what)

    def _layers(self, name: str, *, back: bool = False) -> Iterator[Hook]:
        layers: Sequence[Any] = self._middleware[::-1] if back else self._middleware
        hooks = (getattr(layer, name, None) for layer in layers)
        return (hook for hook in hooks if callable(hook))

    async def _call(self, hook: Hook, *given: Any) -> Any:
        return await _raised(hook, *given, self.state)


async def _raised(hook: Hook, *given: Any) -> Any:
    try:
        return await call_user(hook, *given)
    except Halt:
        raise
    except Exception as error:
        raise HookRaised(error) from error


def _decision(value: Any, hook: Hook) -> list[Decision]:
    try:
        found = decided(value, hook)
    except ConfigError as error:
        raise HookRaised(error) from error
    return [found] if found is not None else []


def expected(kind: type[T], value: Any, unchanged: T, hook: Callable[..., Any]) -> T:
    """What a hook gave back in place of what it got; None changes nothing."""
    if value is None:
        return unchanged
    if not isinstance(value, kind):
        raise HookRaised(
            ConfigError(f"{hook!r} gave {value!r:.100}. Give a {kind.__name__}, or None.")
        )
    return value
