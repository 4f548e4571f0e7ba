"""What a caller gives a chat, checked before anything is stored or sent.

Each check gives back what will be used, in the form in which the store will hold it, so
that a chat says the same before and after a reload. Raises ConfigError, never loses text.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Self
from urllib.parse import urlsplit

from nbchat.engine.plan import MAX_TOOL_ROUNDS, Confirm
from nbchat.errors import ConfigError
from nbchat.exchange import Secret, Settings
from nbchat.http import LOOPBACK
from nbchat.store.persist import WHOLE, Persist
from nbchat.store.values import clean, hide
from nbchat.tools.policies import checked_policy

OTHER_OPTIONS = (
    "confirm", "inputs", "max_tool_rounds", "timeout", "tool_policy", "tools", "wait"
)  # fmt: skip
CONFIRMS = ("deny", "wait", "later")


@dataclass(frozen=True, slots=True)
class ChatSettings:
    """What of a chat survives a restart beside its name, model, instructions and metadata.

    `overrides` are what was chosen for an agent's session in place of its class's own.
    """

    answer: Settings = field(default_factory=Settings)
    max_tool_rounds: int = MAX_TOOL_ROUNDS
    base_url: str | None = None
    persist: Persist = WHOLE
    tool_policy: Any = None
    tool_concurrency: int | None = None
    max_result_chars: int | None = None
    always_allow: tuple[str, ...] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As the column `chats.settings` holds it: nothing that is as it would be anyway."""
        settings = {key: value for key, value in asdict(self.answer).items() if value}
        if self.answer.temperature is not None:
            settings["temperature"] = self.answer.temperature
        own = {
            "base_url": self.base_url,
            "tool_policy": self.tool_policy,
            "tool_concurrency": self.tool_concurrency,
            "max_result_chars": self.max_result_chars,
            "always_allow": list(self.always_allow),
            "overrides": dict(self.overrides),
        }
        said = {key: value for key, value in own.items() if value}
        rounds = {"max_tool_rounds": self.max_tool_rounds}
        return settings | rounds | persist_settings(self.persist) | said

    def since(self, before: "ChatSettings") -> dict[str, Any]:
        """What differs from before, as JSON; None for what is said no more."""
        was, now = before.to_json(), self.to_json()
        return {key: now.get(key) for key in was | now if was.get(key) != now.get(key)}

    @classmethod
    def of_json(cls, stored: Mapping[str, Any]) -> Self:
        """What `to_json` wrote, whatever else is there."""
        known = {item.name for item in fields(Settings)}
        own = {item.name for item in fields(cls)} - {"answer", "persist"}
        held = {key: value for key, value in stored.items() if key in own}
        held["always_allow"] = tuple(held.get("always_allow", ()))
        answer = Settings(**{key: stored[key] for key in known & stored.keys()})
        return cls(answer, persist=stored_persist(stored), **held)


def settings_of(
    *,
    max_tool_rounds: int | None = None,
    base_url: str | None = None,
    tool_policy: Any = None,
    tool_concurrency: int | None = None,
    max_result_chars: int | None = None,
    persist: Persist = WHOLE,
    always_allow: tuple[str, ...] = (),
    overrides: Mapping[str, Any] | None = None,
    **answer: Any,
) -> ChatSettings:
    """A chat's settings, each of them checked; None is what nobody chose."""
    said = {name: value for name, value in answer.items() if value is not None}
    return ChatSettings(
        checked(Settings(**said)),
        checked_rounds(MAX_TOOL_ROUNDS if max_tool_rounds is None else max_tool_rounds),
        checked_url(base_url),
        persist,
        checked_tool_policy(tool_policy),
        checked_count(tool_concurrency, "tool_concurrency"),
        checked_count(max_result_chars, "max_result_chars"),
        always_allow,
        overrides or {},
    )


def changed(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    """The settings with some replaced; raises ConfigError for one that does not exist."""
    known = [field.name for field in fields(Settings)]
    for name in changes:
        if name not in known:
            options = ", ".join(sorted([*known, *OTHER_OPTIONS]))
            raise ConfigError(f"There is no option {name!r}. Options: {options}.")
    return checked(replace(settings, **changes))


def checked(settings: Settings) -> Settings:
    """The settings, if every one of them can be meant."""
    temperature, tokens = settings.temperature, settings.max_tokens
    if temperature is not None and not _is_number(temperature):
        raise ConfigError(f"temperature={temperature!r} is not a number.")
    if tokens is not None and not _is_count(tokens):
        raise ConfigError(f"max_tokens={tokens!r} is not a positive number of tokens.")
    if settings.tool_choice is not None and not isinstance(settings.tool_choice, str):
        raise ConfigError(f"tool_choice={settings.tool_choice!r}: auto, none, required or a name.")
    params = checked_mapping(settings.params, "params")
    return replace(settings, params=params, thinking=_checked_thinking(settings.thinking))


def _checked_thinking(thinking: Any) -> Mapping[str, Any] | None:
    if thinking is None:
        return None
    fits = isinstance(thinking, Mapping) and set(thinking) <= {"budget", "effort"}
    if not fits or not all(
        value is None or (_is_count(value) if name == "budget" else isinstance(value, str))
        for name, value in thinking.items()
    ):
        raise ConfigError(
            f"thinking={thinking!r}: give {{'budget': tokens}} or {{'effort': 'low'}}."
        )
    return dict(thinking)


def _is_number(value: Any) -> bool:
    is_bool = isinstance(value, bool)
    return isinstance(value, int | float) and not is_bool and math.isfinite(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def checked_text(text: Any, name: str) -> str | None:
    """The text as it will be stored, or None."""
    if text is None:
        return None
    if not isinstance(text, str):
        raise ConfigError(f"{name}={text!r} is not text.")
    return clean(text)


def checked_mapping(value: Any, name: str) -> dict[str, Any]:
    """The mapping as it will be read back from the store; None is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConfigError(f"{name}={value!r} is not a mapping.")
    try:
        held: dict[str, Any] = json.loads(
            clean(json.dumps(dict(value), ensure_ascii=False, allow_nan=False))
        )
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name} cannot be written as JSON: {error}.") from error
    return held


def checked_inputs(inputs: Any) -> dict[str, Any]:
    """What the caller gives tools and dynamic instructions besides words; None is nothing."""
    if inputs is not None and not isinstance(inputs, Mapping):
        raise ConfigError(f"inputs={inputs!r} is not a mapping from names to values.")
    return dict(inputs or {})


def checked_columns(columns: Any) -> dict[str, Any]:
    """The user's own columns and what to put there; None is none."""
    if columns is None:
        return {}
    if not isinstance(columns, Mapping) or not all(isinstance(name, str) for name in columns):
        raise ConfigError(f"columns={columns!r} is not a mapping from column names to values.")
    return dict(columns)


def checked_rounds(rounds: int) -> int:
    """The limit, if it is one."""
    if not isinstance(rounds, int) or isinstance(rounds, bool) or rounds < 0:
        raise ConfigError(f"max_tool_rounds={rounds!r} is not a number of rounds, 0 or more.")
    return rounds


def checked_tool_policy(policy: Any) -> Any:
    """One policy for all tools, or policies by tool name; None leaves it to the tools."""
    if isinstance(policy, Mapping):
        return {
            str(name): checked_policy(value, f"tool_policy[{name!r}]")
            for name, value in policy.items()
        }
    return None if policy is None else checked_policy(policy, "tool_policy")


def checked_confirm(confirm: Any) -> Confirm:
    """Who approves calls that need it: a function, somebody who may come, or nobody."""
    if confirm is None:
        return "deny"
    if callable(confirm) or confirm in CONFIRMS:
        return confirm  # type: ignore[no-any-return]  # just checked
    raise ConfigError(
        f"confirm={confirm!r}: give a function that gets the call, or 'wait' for chat.approve(), "
        "'later' to end the turn until somebody has decided, or 'deny'."
    )


def checked_count(count: Any, name: str) -> int | None:
    """The count, if it is one above 0; None is no limit, or the default one."""
    if count is not None and not _is_count(count):
        raise ConfigError(f"{name}={count!r} is not a number above 0.")
    return count  # type: ignore[no-any-return]  # just checked


def checked_persist(persist: Any, log_content: Any) -> Persist:
    """What of a turn is kept; what is not said is."""
    rows = {} if persist is None else persist
    if (
        not isinstance(rows, Mapping)
        or not set(rows) <= {"tool_calls", "requests"}
        or not all(isinstance(value, bool) for value in rows.values())
    ):
        raise ConfigError(
            f"persist={persist!r} is not a choice. Say True or False for its keys tool_calls and "
            "requests."
        )
    if not isinstance(log_content, bool):
        raise ConfigError(f"log_content={log_content!r} is neither True nor False.")
    return Persist(**rows, content=log_content)


def persist_settings(persist: Persist) -> dict[str, Any]:
    """What is switched off, as a chat's settings hold it; `stored_persist` is its inverse."""
    rows = {"tool_calls": persist.tool_calls, "requests": persist.requests}
    off = {name: value for name, value in rows.items() if not value}
    content: dict[str, Any] = {} if persist.content else {"log_content": False}
    return content | ({"persist": off} if off else {})


def stored_persist(settings: Mapping[str, Any]) -> Persist:
    """What of a turn is kept, as a chat's settings have it."""
    return checked_persist(settings.get("persist"), settings.get("log_content", True))


def checked_timeout(timeout: float | None) -> float | None:
    """The seconds, if a provider can be silent for so long."""
    if timeout is not None and not (_is_number(timeout) and timeout > 0):
        raise ConfigError(f"timeout={timeout!r} is not a number of seconds above 0.")
    return timeout


def checked_url(url: str | None) -> str | None:
    """The base URL, if it is one and holds no secret: it will be stored."""
    if url is None:
        return None
    try:
        place = urlsplit(url)
        usable = place.scheme in ("http", "https") and place.hostname and place.port != 0
    except (ValueError, AttributeError):
        usable = None
    if not usable:
        raise ConfigError(f"base_url={url!r} is not an http(s) address.")
    if place.password or place.username:
        raise ConfigError("base_url holds a password. Give it as api_key=, which is never stored.")
    if place.query or place.fragment:
        raise ConfigError("base_url has more than an address. Give a key as api_key= instead.")
    return url.rstrip("/")


def is_near(url: str | None) -> bool:
    """Whether the address is on this machine."""
    return url is not None and urlsplit(url).hostname in LOOPBACK


def checked_key(key: str | None) -> str | None:
    """The key, if it can be sent; the error does not say it."""
    if key is None:
        return None
    stripped = key.strip() if isinstance(key, str) else ""
    if not stripped or not stripped.isascii() or not stripped.isprintable() or " " in stripped:
        raise ConfigError("The API key has characters that no key has. Copy it again.")
    hide(stripped)
    return Secret(stripped)
