"""What a user hangs on a turn: hooks that watch it, middleware that may change it.

Values and checks only; the engine calls them, on a thread of their own if they are not async.
Nothing here does I/O.
"""

import inspect
import logging
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, Self

from nbchat.errors import ConfigError

HOOKS = ("tool_start", "tool_end", "request", "response", "message", "error")
MIDDLEWARE = ("on_request", "on_response", "on_error", "on_tool_start", "on_tool_end", "on_store")

WITHHELD = "[not stored: on_store failed]"
LOG = logging.getLogger("nbchat")

Hook = Callable[..., Any]


class Decision(StrEnum):
    """What an error hook may decide; for None things go on as they would without it."""

    STOP = "stop"
    CONTINUE = "continue"
    RETRY = "retry"


STOP, CONTINUE, RETRY = Decision.STOP, Decision.CONTINUE, Decision.RETRY


class TurnState(dict[str, Any]):
    """What the middleware of one turn share: a dict of their own, and where the turn runs.

    `store`, `chat_id`, `message_id` and `inputs` never change; `attempt` is the row of the last
    attempt to get a reply, as it will be stored: model, tokens, cost_usd, duration_ms.
    """

    def __init__(
        self, store: Any, chat_id: str, message_id: str, inputs: Mapping[str, Any]
    ) -> None:
        super().__init__()
        self.store = store
        self.chat_id = chat_id
        self.message_id = message_id
        self.inputs = inputs
        self.attempt: Any = None


class Hooks:
    """A chat's hooks by kind, each kind in the order in which they were added."""

    def __init__(self, given: Mapping[str, Any] | None = None) -> None:
        self.by_kind: dict[str, list[Hook]] = {kind: [] for kind in HOOKS}
        if given is not None and not isinstance(given, Mapping):
            raise ConfigError(f"hooks={given!r} is not a dict. Write hooks={{'on_tool_end': f}}.")
        for name, hooks in (given or {}).items():
            kind = str(name).removeprefix("on_")
            for hook in hooks if isinstance(hooks, list | tuple) else [hooks]:
                self.add(kind, hook)

    def add(self, kind: str, hook: Hook) -> None:
        """One more hook of that kind; raises ConfigError for what cannot be called."""
        if kind not in HOOKS:
            known = ", ".join(f"on_{name}" for name in HOOKS)
            raise ConfigError(f"There is no hook 'on_{kind}'. Hooks: {known}.")
        if not callable(hook):
            raise ConfigError(f"on_{kind} got {hook!r}, which is not a function.")
        self.by_kind[kind].append(hook)

    def copy(self) -> "Hooks":
        """These hooks as they are now."""
        same = Hooks()
        same.by_kind = {kind: list(hooks) for kind, hooks in self.by_kind.items()}
        return same


class Hooked:
    """What hooks and middleware can be put around: a chat, or an agent's session.

    They are kept by this object and stored nowhere; each method returns the object.
    """

    _hooks: Hooks
    _middleware: list[Any]

    def on_tool_start(self, hook: Hook) -> Self:
        """Call `hook(event)` when a tool call is stored and about to run.

        A ToolError that it raises keeps the call from running and tells the model why; any other
        error of a hook ends the turn.
        """
        return self._on("tool_start", hook)

    def on_tool_end(self, hook: Hook) -> Self:
        """Call `hook(event, text)` when a tool call's end is stored; the model reads `text`."""
        return self._on("tool_end", hook)

    def on_request(self, hook: Hook) -> Self:
        """Call `hook(request)` before every attempt, with what is about to be sent."""
        return self._on("request", hook)

    def on_response(self, hook: Hook) -> Self:
        """Call `hook(reply, row)` when a reply and the row of its request are stored."""
        return self._on("response", hook)

    def on_message(self, hook: Hook) -> Self:
        """Call `hook(message)` when a turn's message is stored, once a turn, however it ended.

        A turn that failed at the provider leaves no message: that is on_error's.
        """
        return self._on("message", hook)

    def on_error(self, hook: Hook) -> Self:
        """Call `hook(error, about)` for every failed attempt and every exception of a tool.

        `about` is the Request, or the call's event. It may decide: STOP ends the turn with that
        error, RETRY tries once more, CONTINUE tells the model of a tool's error even if it is
        fatal; None leaves it as it is.
        """
        return self._on("error", hook)

    def _on(self, kind: str, hook: Hook) -> Self:
        self._hooks.add(kind, hook)
        return self

    def use(self, middleware: Any) -> Self:
        """Put middleware around every turn, inside what was put there before.

        An object with any of on_request(request, state), on_response(reply, state),
        on_error(error, about, state), on_tool_start(event, state), on_tool_end(event, text, state)
        and on_store(text). What they give back takes the place of what they got, None changes
        nothing; `state` is a dict that the middleware of one turn share. on_store may get again
        what it gave back, and must leave that as it is.
        """
        self._middleware.append(checked_one(middleware))
        return self


def checked_middleware(given: Iterable[Any] | None) -> list[Any]:
    """The middleware, classes made into objects; raises ConfigError for what has no hook."""
    if given is not None and (isinstance(given, str | Mapping) or not isinstance(given, Iterable)):
        raise ConfigError(f"middleware={given!r} is not a list. Write middleware=[...].")
    return [checked_one(one) for one in given or ()]


def checked_one(middleware: Any) -> Any:
    """The middleware, an object; raises ConfigError if it has none of the hooks."""
    made = middleware() if isinstance(middleware, type) else middleware
    if not any(callable(getattr(made, name, None)) for name in MIDDLEWARE):
        raise ConfigError(
            f"{middleware!r} is no middleware. Give an object with one or more of the methods "
            f"{', '.join(MIDDLEWARE)}."
        )
    if inspect.iscoroutinefunction(getattr(made, "on_store", None)):
        raise ConfigError(f"on_store of {made!r} cannot be async: it runs inside a transaction.")
    return made


def taken(hook: Hook, given: tuple[Any, ...]) -> tuple[Any, ...]:
    """As many of the arguments as the hook takes: `lambda call: ...` need not name the rest."""
    try:
        parameters = inspect.signature(hook).parameters.values()
    except (TypeError, ValueError):  # some builtins do not tell
        return given
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return given
    positional = [
        parameter
        for parameter in parameters
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    return given[: len(positional)]


def decided(value: Any, hook: Hook) -> Decision | None:
    """The hook's decision, also said as a word; raises ConfigError for anything else."""
    if value is None:
        return None
    try:
        return Decision(str(value).lower())
    except ValueError:
        raise ConfigError(
            f"The error hook {hook!r} gave {value!r}. Give STOP, CONTINUE, RETRY or None."
        ) from None


def redact_of(middleware: Iterable[Any]) -> Callable[[str], str] | None:
    """What all `on_store` hooks leave of a text that is about to be stored; None without any."""
    found = [hook for one in middleware if callable(hook := getattr(one, "on_store", None))]

    def redact(text: str) -> str:
        for hook in found:
            text = _kept(hook, text)
        return text

    return redact if found else None


def _kept(hook: Hook, text: str) -> str:
    """Text that may not be judged is not stored: a failing filter must let nothing through."""
    try:
        kept = hook(text)
    except Exception:
        LOG.exception("on_store failed; the text is not stored")
        return WITHHELD
    if kept is None:
        return text
    return kept if isinstance(kept, str) else WITHHELD
