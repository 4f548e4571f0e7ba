"""HOW to talk: one file per protocol, pure.

A wire is a frozen value: a `Request` in, a JSON body out; response bytes in, `Delta`s and a
`Reply` out. What differs between services that speak the same protocol is a field of the
wire, set by the provider's file. Nothing here knows HTTP clients, providers or the store.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from nbchat.errors import ProviderError
from nbchat.exchange import Delta, Reply, Request
from nbchat.messages import JSON, Message, Part, ToolCall, ToolResult

UNAVAILABLE = "result unavailable"


@dataclass(frozen=True, slots=True)
class Rendered:
    """A body to send, and how many parts of the history it could not carry, by kind."""

    body: dict[str, Any]
    dropped: Mapping[str, int] = field(default_factory=dict)


class Decoder(Protocol):
    """Turns the bytes of one response into deltas and a reply, however they are cut.

    It goes by what the answer is: a JSON body and an event stream are told apart by their
    first byte, whatever was asked for.
    """

    @property
    def done(self) -> bool:
        """Whether the last event was seen: what follows is ignored, reading can stop."""
        ...

    def feed(self, data: bytes) -> Iterator[Delta]:
        """Deltas in these bytes; raises ProviderError for an error inside the stream."""
        ...

    def finish(self) -> Iterator[Delta]:
        """Deltas left at the end; raises BrokenStream if the answer is not whole."""
        ...

    def reply(self) -> Reply:
        """The reply as far as it has come."""
        ...


class Wire(Protocol):
    """One protocol's rendering and parsing."""

    @property
    def name(self) -> str:
        """The protocol's name, as stored beside verbatim blocks."""
        ...

    @property
    def path(self) -> str:
        """What follows the base URL."""
        ...

    def headers(self, key: str | None) -> dict[str, str]:
        """The headers that carry the key and the protocol's version."""
        ...

    def render_request(self, request: Request) -> Rendered:
        """The JSON body for this request."""
        ...

    def decoder(self) -> Decoder:
        """A fresh decoder for one response."""
        ...

    def parse_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """The typed error for an answer with a failing status."""
        ...

    def amended(self, error: ProviderError) -> "Wire | None":
        """The wire without an extra that the server just refused; None if it refused none."""
        ...


@dataclass(frozen=True, slots=True)
class Round:
    """One model reply inside an assistant message, with the results of its tool calls."""

    parts: tuple[Part, ...]
    results: tuple[ToolResult, ...]
    raw: Mapping[str, JSON] | None


def rounds_of(message: Message) -> Iterable[Round]:
    """The rounds of an assistant message in order, every tool call with a result.

    A call left without one is answered with a neutral sentence, so that no chat is
    poisoned by an interrupted tool.
    """
    raws = {raw["round"]: raw for raw in message.raw}
    # a round may hold nothing but blocks that only its provider can read
    spoken: dict[int, list[Part]] = {number: [] for number in raws}
    for part in message.parts:
        spoken.setdefault(part.round, []).append(part)
    for number, parts in sorted(spoken.items()):
        said = tuple(part for part in parts if not isinstance(part, ToolResult))
        found = {part.seq: part for part in parts if isinstance(part, ToolResult)}
        calls = (part for part in said if isinstance(part, ToolCall))
        results = tuple(
            found.get(seq) or unavailable(call, seq) for seq, call in enumerate(calls, start=1)
        )
        yield Round(said, results, raws.get(number))


def unavailable(call: ToolCall, seq: int) -> ToolResult:
    """The neutral answer to a call that has none."""
    return ToolResult(UNAVAILABLE, call.tool_call_id, call.name, True, seq, call.round)


def is_own(spoken: Round, wire: str, provider: str) -> bool:
    """Whether the round's own blocks mean something to that provider over that wire."""
    raw = spoken.raw or {}
    same = raw.get("wire") == wire and raw.get("provider") == provider
    return same and bool(raw.get("blocks"))
