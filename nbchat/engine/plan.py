"""What one turn needs to know, fixed when it is asked; and what its chat remembers of others."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from nbchat.exchange import Settings
from nbchat.hooks import Hooks
from nbchat.messages import Attachment, Message, Part
from nbchat.providers import Provider
from nbchat.store import Store
from nbchat.store.persist import WHOLE, Persist, read_back
from nbchat.tools import Tool
from nbchat.tools.policies import Policy

MAX_TOOL_ROUNDS = 10

Confirm = Literal["deny", "wait", "later"] | Callable[..., Any]


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
class Toolbox:
    """The tools of a turn and how they may run.

    `always` are the chat's: names that somebody has approved once and for all. `confirm` is who
    approves the other calls that need it. `concurrency` is how many calls run at once, None for
    all of a round; `max_chars` is how long a result may be for the model, None for the default.
    """

    tools: Mapping[str, Tool] = field(default_factory=dict)
    policy: Policy | Mapping[str, Policy] | None = None
    always: set[str] = field(default_factory=set)
    confirm: Confirm = "deny"
    concurrency: int | None = None
    max_chars: int | None = None


@dataclass(frozen=True, slots=True)
class Again:
    """An earlier turn asked once more: that of a message, or the last; with text, another way."""

    message_id: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """One turn of one chat; `idle_s` is how long the provider may be silent, in seconds.

    Without `parts` the chat's last turn goes on, or one is asked `again`; with `one_move` it ends
    after the next reply or round of tools.
    `attachments` are new ones, stored with the question. `remembered` is the chat's: whole
    messages by id, of which the store may keep the metrics only; so are `files`, bytes by digest
    that it does not keep. Each turn of the chat adds its own. `turns` are the chat's, too: those
    that it can stop. `chat` is what tools get that ask for it.
    """

    store: Store
    chat_id: str
    content: str
    parts: tuple[Part, ...]
    target: Target
    instructions: str | None = None
    settings: Settings = field(default_factory=Settings)
    toolbox: Toolbox = field(default_factory=Toolbox)
    max_tool_rounds: int = MAX_TOOL_ROUNDS
    stream: bool = False
    wait: bool = True
    attachments: tuple[Attachment, ...] = ()
    files: dict[str, bytes] = field(default_factory=dict, repr=False)
    one_move: bool = False
    again: Again | None = None
    idle_s: float | None = None
    persist: Persist = WHOLE
    hooks: Hooks = field(default_factory=Hooks, repr=False)
    middleware: tuple[Any, ...] = ()
    inputs: Mapping[str, Any] = field(default_factory=dict)
    chat: Any = field(default=None, repr=False)
    remembered: dict[str, Message] = field(default_factory=dict, repr=False)
    turns: set[Any] = field(default_factory=set, repr=False)

    @property
    def instructions_version(self) -> str | None:
        """The version of the instructions, by what they say."""
        if not self.instructions:
            return None
        return hashlib.sha256(self.instructions.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def remember(self, message: Message) -> None:
        """Have later turns of the chat know this message, if the store does not keep it whole."""
        if not self.persist.content:
            self.remembered[message.id] = read_back(message)

    def storable(self, attachments: Sequence[Attachment]) -> Sequence[Attachment]:
        """Those that the store may keep; of others the chat itself remembers the bytes."""
        if self.persist.content:
            return attachments
        self.files.update({item.digest: item.data for item in attachments})
        return ()
