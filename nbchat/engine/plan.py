"""What one turn needs to know, fixed when it is asked; and what its chat remembers of others."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nbchat.exchange import Settings
from nbchat.messages import Message, Part
from nbchat.providers import Provider
from nbchat.store import Store
from nbchat.store.persist import WHOLE, Persist, read_back
from nbchat.tools import Tool

MAX_TOOL_ROUNDS = 10


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go: a provider, its bare model name, and what overrides its own address.

    The key is kept out of every repr.
    """

    provider: Provider
    model: str
    base_url: str | None = None
    key: str | None = field(default=None, repr=False)
    respond: Callable[..., Any] | None = field(default=None, repr=False)

    @property
    def full_model(self) -> str:
        """`provider/name`."""
        return f"{self.provider.name}/{self.model}"


@dataclass(frozen=True, slots=True)
class Plan:
    """One turn of one chat; `idle_s` is how long the provider may be silent, in seconds.

    `remembered` is the chat's: whole messages by id, of which the store may keep the metrics
    only. Each turn of the chat adds its own. `turns` are the chat's, too: those that it can
    stop.
    """

    store: Store
    chat_id: str
    content: str
    parts: tuple[Part, ...]
    target: Target
    instructions: str | None = None
    settings: Settings = field(default_factory=Settings)
    tools: Mapping[str, Tool] = field(default_factory=dict)
    max_tool_rounds: int = MAX_TOOL_ROUNDS
    stream: bool = False
    wait: bool = True
    idle_s: float | None = None
    persist: Persist = WHOLE
    remembered: dict[str, Message] = field(default_factory=dict, repr=False)
    turns: set[Any] = field(default_factory=set, repr=False)

    def remember(self, message: Message) -> None:
        """Have later turns of the chat know this message, if the store does not keep it whole."""
        if not self.persist.content:
            self.remembered[message.id] = read_back(message)
