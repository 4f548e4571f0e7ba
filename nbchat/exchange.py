"""One request to a model and its reply, in neutral words.

A wire turns a `Request` into bytes and bytes into `Delta`s and a `Reply`; the engine
sees only these. Frozen values, no I/O.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from nbchat.messages import JSON, Message, Part, ToolCall, text_of


class Secret(str):
    """Text that no repr shows, so that no traceback with its variables does either."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "[secret]"


FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "refusal", "other"]


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """What a model is told about a tool; `parameters` is JSON Schema."""

    name: str
    description: str
    parameters: Mapping[str, JSON]


@dataclass(frozen=True, slots=True)
class Settings:
    """How the model shall answer; None leaves it to the provider.

    `thinking` is `{"budget": tokens}` and/or `{"effort": "low"|"medium"|"high"}`.
    `params` is merged into the request body last, as it is.
    """

    temperature: float | None = None
    max_tokens: int | None = None
    thinking: Mapping[str, JSON] | None = None
    tool_choice: str | None = None
    params: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """Everything one request says: `model` is the bare name, history comes first to last.

    `attachments` are the bytes of the messages' images and files, by digest.
    """

    provider: str
    model: str
    messages: tuple[Message, ...]
    instructions: str | None = None
    tools: tuple[ToolSpec, ...] = ()
    settings: Settings = Settings()
    stream: bool = False
    attachments: Mapping[str, bytes] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request; None is unknown.

    `input_tokens` is all that went in; cached and cache-write tokens are disjoint parts of
    it. `output_tokens` is all that came out; thinking is a part of it. `cost_usd` only when
    the provider itself says what it charged. `raw` is its usage object, verbatim.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    thinking_tokens: int | None = None
    cost_usd: Decimal | None = None
    raw: Mapping[str, JSON] | None = None


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of a streamed answer, to be shown as it comes."""

    kind: Literal["text", "thinking"]
    text: str


@dataclass(frozen=True, slots=True)
class Reply:
    """A model's answer to one request, whole or as far as it came.

    `blocks` are the provider's own blocks, nulls left out, the same for a plain and a
    streamed answer. A tool call whose arguments could not be read has them as text.
    """

    parts: tuple[Part, ...] = ()
    blocks: JSON = None
    usage: Usage = Usage()
    finish_reason: FinishReason | None = None
    model: str | None = None

    @property
    def text(self) -> str:
        """The reply's text, '' when there is none."""
        return text_of(self.parts)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The reply's tool calls, in order."""
        return tuple(part for part in self.parts if isinstance(part, ToolCall))
