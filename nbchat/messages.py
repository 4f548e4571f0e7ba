"""Parts and messages: frozen values, to and from plain JSON.

Invariant: `part_from_json(part_to_json(part)) == part`. Identity, time and storage
are other modules' concern; nothing here does I/O.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar, Literal

JSON = Any  # whatever json.loads returns

Role = Literal["user", "assistant"]


@dataclass(frozen=True, slots=True)
class Text:
    """Words said by the user or the model."""

    text: str
    round: int = 1
    kind: ClassVar[str] = "text"


@dataclass(frozen=True, slots=True)
class Thinking:
    """A block of thinking with the signature that lets the provider trust it again.

    `data` holds a redacted block's opaque bytes; its text is then empty.
    """

    text: str
    signature: str | None = None
    data: str | None = None
    round: int = 1
    kind: ClassVar[str] = "thinking"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model's wish to run a tool.

    `arguments` is a dict, or the raw text when it could not be read as one.
    `tool_call_id` is the provider's and may repeat.
    """

    name: str
    arguments: dict[str, Any] | str = field(default_factory=dict)
    tool_call_id: str = ""
    signature: str | None = None
    round: int = 1
    kind: ClassVar[str] = "tool_call"


@dataclass(frozen=True, slots=True)
class Image:
    """A picture that was sent or that a tool returned; its bytes are in the store by digest."""

    digest: str
    media_type: str
    name: str = ""
    width: int | None = None
    height: int | None = None
    round: int = 1
    kind: ClassVar[str] = "image"


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What the model is told a tool call came to.

    `seq` is the call's place among its round's calls, from 1: parallel calls end in any
    order and their provider's ids may repeat. `halts` says that it is the turn's answer,
    `is_table` that the content is a frame's CSV. `images` are the pictures that the tool returned.
    """

    content: str
    tool_call_id: str = ""
    name: str = ""
    is_error: bool = False
    seq: int = 1
    round: int = 1
    halts: bool | None = None
    is_table: bool | None = None
    images: tuple[Image, ...] = ()
    kind: ClassVar[str] = "tool_result"


@dataclass(frozen=True, slots=True)
class File:
    """A document or a text that was sent; its bytes are in the store under their digest."""

    digest: str
    media_type: str
    name: str = ""
    bytes: int = 0
    round: int = 1
    kind: ClassVar[str] = "file"


Part = Text | Thinking | ToolCall | ToolResult | Image | File
PART_KINDS: Mapping[str, type[Part]] = {
    part.kind: part for part in (Text, Thinking, ToolCall, ToolResult, Image, File)
}


@dataclass(frozen=True, slots=True)
class Attachment:
    """Something to be sent with a question: a picture, a PDF or a text, with its bytes."""

    name: str
    media_type: str
    data: bytes = field(repr=False)
    width: int | None = None
    height: int | None = None

    @property
    def digest(self) -> str:
        """What the bytes are stored under: their SHA-256 in hex."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def part(self) -> Image | File:
        """What the message says of it."""
        if self.media_type.startswith("image/"):
            return Image(self.digest, self.media_type, self.name, self.width, self.height)
        return File(self.digest, self.media_type, self.name, len(self.data))


def part_to_json(part: Part) -> dict[str, Any]:
    """The part as JSON: its kind first, nothing that is None."""
    fields = asdict(part)
    if isinstance(part, ToolResult):
        fields["images"] = [part_to_json(image) for image in part.images] or None
    return {"kind": part.kind, **{key: item for key, item in fields.items() if item is not None}}


def part_from_json(value: Mapping[str, Any]) -> Part:
    """The part that `part_to_json` wrote."""
    fields = {key: item for key, item in value.items() if key != "kind"}
    if "images" in fields:
        fields["images"] = tuple(map(part_from_json, fields["images"]))
    return PART_KINDS[value["kind"]](**fields)


def attached_in(parts: Iterable[Part]) -> Iterator[Image | File]:
    """The images and files that these parts name: sent, or returned by a tool."""
    for part in parts:
        if isinstance(part, ToolResult):
            yield from part.images
        elif isinstance(part, Image | File):
            yield part


def text_of(parts: Iterable[Part]) -> str:
    """All text of the parts in order, '' when there is none."""
    return "".join(part.text for part in parts if isinstance(part, Text))


@dataclass(frozen=True, slots=True)
class Message:
    """A user's or an assistant's entry in a chat.

    `raw` lists, per round, the blocks exactly as the provider sent them. Tokens are the
    sum over the turn's requests; unknown is None. A message with a `content_removed_at`
    has only its metrics left. `instructions_version` names the instructions that were sent,
    `parent_tool_call_id` the tool that asked, in another chat. `str(message)` is its text.
    """

    id: str
    chat_id: str
    role: Role
    content: str = ""
    parent_id: str | None = None
    seq: int = 0
    turn: int = 0
    status: str = "complete"
    parts: tuple[Part, ...] = ()
    thinking_text: str | None = None
    thinking_signature: str | None = None
    thinking_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    cost_usd: Decimal | None = None
    model: str | None = None
    provider: str | None = None
    finish_reason: str | None = None
    data: Any = None
    raw: tuple[Mapping[str, JSON], ...] = ()
    error: Mapping[str, JSON] | None = None
    created_at: datetime | None = None
    finished_at: datetime | None = None
    content_removed_at: datetime | None = None
    instructions_version: str | None = None
    parent_tool_call_id: str | None = None

    def __str__(self) -> str:
        return self.content

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls of all rounds, in order."""
        return tuple(part for part in self.parts if isinstance(part, ToolCall))
