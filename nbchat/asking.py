"""What a chat asks, as a plan for the engine: what it is, what it was given, what this turn wants.

Checks and composition only; nothing runs here.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from nbchat.attachments import attachments_of
from nbchat.default_model import key_of
from nbchat.engine.plan import Again, Confirm, Plan, Target, Toolbox
from nbchat.errors import ConfigError
from nbchat.hooks import Hooks, checked_middleware, redact_of
from nbchat.messages import Attachment, Message, Text
from nbchat.options import (
    ChatSettings,
    changed,
    checked_confirm,
    checked_inputs,
    checked_key,
    checked_rounds,
    checked_timeout,
    checked_tool_policy,
    is_near,
)
from nbchat.providers import find_provider, split_model
from nbchat.store.persist import Persist
from nbchat.store.values import clean
from nbchat.tools import Tool, by_name

# what an agent's class says before a turn: its tools, and the turn's inputs
Configure = Callable[[Mapping[str, Any]], tuple[Mapping[str, Tool], Mapping[str, Any]]]


@dataclass(slots=True)
class Unstored:
    """What a chat has that cannot be stored: it is this object's, and gone with it.

    `said_url`: the base URL was given here, not by the store. `always` are the tools that need
    no approval any more, `turns` those that run, `remembered` and `files` what the store does not
    keep.
    `planning` is held while an ask is worked out, lest another one's inputs get into it.
    """

    key: str | None = field(repr=False)
    tools: dict[str, Tool]
    respond: Callable[..., Any] | None
    confirm: Confirm
    hooks: Hooks
    middleware: list[Any]
    said_url: bool
    always: set[str]
    turns: set[Any] = field(default_factory=set)
    remembered: dict[str, Message] = field(default_factory=dict, repr=False)
    configure: Configure | None = None
    files: dict[str, bytes] = field(default_factory=dict, repr=False)
    planning: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @classmethod
    def given(
        cls,
        settings: ChatSettings,
        *,
        api_key: str | None = None,
        tools: Iterable[Any] | None = None,
        respond: Callable[..., Any] | None = None,
        confirm: Any = None,
        hooks: Mapping[str, Any] | None = None,
        middleware: Iterable[Any] | None = None,
        said_url: bool = False,
    ) -> Self:
        """What was given, each of it checked."""
        if respond is not None and not callable(respond):
            raise ConfigError(f"respond={respond!r} is not a function from a request to a reply.")
        return cls(
            checked_key(api_key), by_name(tools), respond, checked_confirm(confirm), Hooks(hooks),
            checked_middleware(middleware), said_url, set(settings.always_allow),
        )  # fmt: skip


def asked(text: Any) -> str:
    """The text, if it asks something; None does not, and would mean to resume."""
    if not isinstance(text, str) or not text.strip():
        raise ConfigError(f"There is nothing to ask in {text!r}. Give some text.")
    return text


def plan_of(
    chat: Any,
    own: Unstored,
    text: str | None,
    *,
    attachments: Iterable[Any] = (),
    stream: bool = False,
    one_move: bool = False,
    again: Again | None = None,
    tools: Iterable[Any] | None = None,
    tool_policy: Any = None,
    confirm: Any = None,
    inputs: Mapping[str, Any] | None = None,
    max_tool_rounds: int | None = None,
    timeout: float | None = None,
    wait: bool = True,
    **answer: Any,
) -> Plan:
    """One turn of this chat; without text the last goes on, or one is asked `again`.

    Raises ConfigError.
    """
    if text is not None:
        asked(text)
    of_class: Mapping[str, Tool] = {}
    given: Mapping[str, Any] = checked_inputs(inputs)
    if own.configure is not None:
        of_class, given = own.configure(given)
    held: ChatSettings = chat._settings
    redact = redact_of(own.middleware)
    sent = tuple(without_secrets(item, redact) for item in attachments_of(attachments))
    rounds = held.max_tool_rounds if max_tool_rounds is None else max_tool_rounds
    return Plan(
        store=chat.store,
        chat_id=chat.id,
        content=text or "",
        parts=(*(item.part for item in sent), *((Text(text),) if text else ())),
        attachments=sent,
        files=own.files,
        target=target_of(chat.model, held.base_url, own),
        instructions=chat.instructions,
        settings=changed(held.answer, answer),
        toolbox=toolbox_of(
            held, own, {**of_class, **own.tools, **by_name(tools)}, tool_policy, confirm
        ),
        max_tool_rounds=checked_rounds(rounds),
        stream=stream,
        one_move=one_move,
        again=again,
        wait=wait,
        idle_s=checked_timeout(timeout),
        persist=kept_of(held, own),
        hooks=own.hooks.copy(),
        middleware=tuple(own.middleware),
        inputs=given,
        chat=chat,
        remembered=own.remembered,
        turns=own.turns,
    )


def toolbox_of(
    held: ChatSettings, own: Unstored, tools: Mapping[str, Tool], tool_policy: Any, confirm: Any
) -> Toolbox:
    """The tools of a turn and how they may run: as this turn says, else as the chat does."""
    return Toolbox(
        tools,
        held.tool_policy if tool_policy is None else checked_tool_policy(tool_policy),
        own.always,
        own.confirm if confirm is None else checked_confirm(confirm),
        held.tool_concurrency,
        held.max_result_chars,
    )


def without_secrets(item: Attachment, redact: Callable[[str], str] | None) -> Attachment:
    """A text as it may be stored, which is what is sent; what is no text stays as it is."""
    if item.media_type != "text/plain":
        return item
    text = clean(item.data.decode("utf-8-sig"))
    return replace(item, data=(redact(text) if redact else text).encode())


def kept_of(held: ChatSettings, own: Unstored) -> Persist:
    """What of a turn, or of a note, may be stored."""
    return replace(held.persist, redact=redact_of(own.middleware))


def copied(own: Unstored) -> Unstored:
    """The same for another chat: what one of the two is given later the other has not."""
    return replace(
        own, tools=dict(own.tools), hooks=own.hooks.copy(), middleware=list(own.middleware),
        always=set(own.always), turns=set(), remembered={}, configure=None,
        files=dict(own.files), planning=threading.RLock(),
    )  # fmt: skip


def target_of(model: str, url: str | None, own: Unstored) -> Target:
    """Where the requests of this model go, with the key that may go there."""
    name, bare = split_model(model)
    provider, key = find_provider(name), own.key
    # a stranger's store may name any address: the environment's key is not for that one
    known = url in (None, provider.base_url) or is_near(url)
    if key is None and (known or own.said_url):
        key = checked_key(key_of(provider))
    return Target(provider, bare, url, key, own.respond)
