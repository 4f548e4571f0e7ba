"""What a stream yields while a turn runs.

Every event has a `kind`, the `message_id` of the assistant's message, and `content`:
the text of a text event, None for all others. Joined, the content is the message's, but for
a turn that a tool ended with Halt: its content is the value alone.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from nbchat.messages import Attachment, Message


@dataclass(frozen=True, slots=True)
class TextEvent:
    """More text of the answer."""

    message_id: str
    content: str
    kind: ClassVar[str] = "text"


@dataclass(frozen=True, slots=True)
class ThinkingEvent:
    """More of the model's thinking."""

    message_id: str
    thinking: str
    kind: ClassVar[str] = "thinking"
    content: ClassVar[None] = None


@dataclass(frozen=True, slots=True)
class ToolStartEvent:
    """A tool's row is stored and its body is about to run; `call_id` is the row's id."""

    message_id: str
    name: str
    arguments: dict[str, Any] | str
    tool_call_id: str
    call_id: str = ""
    attempt: int = 1
    kind: ClassVar[str] = "tool_start"
    content: ClassVar[None] = None


@dataclass(frozen=True, slots=True)
class ToolEndEvent:
    """A tool's outcome is stored; `result` is what the model will see.

    `value` is what the tool returned, as it was: a frame, say, of which `is_table` says that the
    result is its CSV. `images` are the pictures in it, with `media_type`, `data` and `digest`.
    """

    message_id: str
    name: str
    tool_call_id: str
    status: str
    result: str | None
    error: str | None
    duration_ms: float | None
    call_id: str = ""
    attempt: int = 1
    arguments: dict[str, Any] | str = field(default_factory=dict)
    value: Any = field(default=None, repr=False, compare=False)
    images: tuple[Attachment, ...] = field(default=(), repr=False, compare=False)
    is_table: bool = field(default=False, compare=False)
    kind: ClassVar[str] = "tool_end"
    content: ClassVar[None] = None


@dataclass(frozen=True, slots=True)
class ToolProgressEvent:
    """What a running tool says of how far it is; shown, never stored, never told to the model."""

    message_id: str
    name: str
    tool_call_id: str
    call_id: str
    progress: Any
    kind: ClassVar[str] = "tool_progress"
    content: ClassVar[None] = None


@dataclass(frozen=True, slots=True)
class ApprovalEvent:
    """A tool call needs somebody's approval; its row is stored and waits.

    `chat.approve(event.call_id)` or `chat.deny(event.call_id)` decides where the turn waits.
    `question` is what a running tool asks, None for the question whether it may run.
    """

    message_id: str
    name: str
    arguments: dict[str, Any] | str
    tool_call_id: str
    call_id: str
    question: str | None = None
    kind: ClassVar[str] = "approval"
    content: ClassVar[None] = None


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """Tokens of one request, as far as the provider told; None is unknown."""

    message_id: str
    input_tokens: int | None
    output_tokens: int | None
    cached_input_tokens: int | None
    cache_write_tokens: int | None
    thinking_tokens: int | None
    kind: ClassVar[str] = "usage"
    content: ClassVar[None] = None


@dataclass(frozen=True, slots=True)
class RetryEvent:
    """A request failed and is sent again after `wait_s` seconds."""

    message_id: str
    attempt: int
    wait_s: float
    error: str
    kind: ClassVar[str] = "retry"
    content: ClassVar[None] = None


@dataclass(frozen=True, slots=True)
class DoneEvent:
    """The turn's message is stored; the last event of a turn that has one."""

    message_id: str
    message: Message
    kind: ClassVar[str] = "done"
    content: ClassVar[None] = None


Event = (
    TextEvent
    | ThinkingEvent
    | ToolStartEvent
    | ToolProgressEvent
    | ApprovalEvent
    | ToolEndEvent
    | UsageEvent
    | RetryEvent
    | DoneEvent
)
