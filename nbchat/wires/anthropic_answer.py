"""What Anthropic has said so far, streamed or whole.

Blocks are kept as they are, unknown kinds too, for only the provider can vouch for them.
Invariant: a plain answer and a stream of the same content leave the same blocks.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from nbchat.errors import BrokenStream
from nbchat.exchange import Delta, FinishReason, Reply, Usage
from nbchat.messages import JSON, Part, Text, Thinking, ToolCall
from nbchat.wires.failures import stream_error
from nbchat.wires.fragments import (
    TextPieces,
    compact,
    count,
    first_count,
    mended,
    parse_arguments,
    storable,
    text_or_empty,
    without_nulls,
)

FINISH_REASONS: Mapping[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "refusal",
}
SHOWN: Mapping[str, Literal["text", "thinking"]] = {"text": "text", "thinking": "thinking"}


class GrowingBlock:
    """One content block and what its stream has added."""

    def __init__(self, block: Mapping[str, Any]) -> None:
        self.fields = without_nulls(dict(block))
        self.closed = False
        self._texts: dict[str, list[str]] = {}
        self._pieces = TextPieces()
        for key in SHOWN:
            if key == self.kind:
                self._texts[key] = []

    @property
    def kind(self) -> str:
        """The block's type, as the provider calls it."""
        return text_or_empty(self.fields.get("type"))

    def open(self) -> Iterator[Delta]:
        """Text that came with the block itself."""
        if self.kind in SHOWN:
            yield from self._show(self.fields.get(self.kind))

    def take(self, delta: Mapping[str, Any]) -> Iterator[Delta]:
        """Adds one delta; kinds that are not known are joined on by their values' types."""
        kind = delta.get("type")
        if kind == f"{self.kind}_delta" and self.kind in SHOWN:
            yield from self._show(delta.get(self.kind))
        elif kind == "input_json_delta":
            self._texts.setdefault("input", []).append(text_or_empty(delta.get("partial_json")))
        elif kind == "signature_delta":
            self.fields["signature"] = text_or_empty(delta.get("signature"))
        elif kind == "citations_delta":
            known = self.fields.get("citations")
            earlier = known if isinstance(known, list) else []
            self.fields["citations"] = [*earlier, delta.get("citation")]
        else:
            self._join(delta)

    def flush(self) -> Iterator[Delta]:
        """Half a character that was waiting."""
        yield from self._append(self._pieces.flush())

    def block(self, *, whole: bool) -> dict[str, Any]:
        """The block as a plain answer holds it; unreadable input stays text."""
        fields = self.fields
        if self.kind in SHOWN:
            fields = {**fields, self.kind: "".join(self._texts[self.kind])}
        text = "".join(self._texts.get("input", []))
        if text or (self.kind == "tool_use" and not whole and not fields.get("input")):
            fields = {**fields, "input": parse_arguments(text, whole=whole)}
        return fields

    def _show(self, text: JSON) -> Iterator[Delta]:
        if isinstance(text, str) and text:
            yield from self._append(self._pieces.push(text))

    def _append(self, text: str) -> Iterator[Delta]:
        if text:
            self._texts[self.kind].append(text)
            yield Delta(SHOWN[self.kind], text)

    def _join(self, delta: Mapping[str, Any]) -> None:
        for key, value in delta.items():
            known = self.fields.get(key)
            if key == "type" or value is None:
                continue
            if isinstance(value, str) and isinstance(known, str):
                self.fields[key] = mended(known + value)
            elif isinstance(value, list) and isinstance(known, list):
                self.fields[key] = known + value
            else:
                self.fields[key] = value


class AnthropicAnswer:
    """An `Answer` in the words of the Messages API."""

    def __init__(self) -> None:
        self.done = False
        self._model: str | None = None
        self._reason: str | None = None
        self._usage: dict[str, Any] = {}
        self._blocks: list[GrowingBlock] = []
        self._open: dict[int, GrowingBlock] = {}

    @property
    def finished(self) -> bool:
        """Whether the stop reason or the last event was seen."""
        return self.done or self._reason is not None

    def take_event(self, event: dict[str, Any]) -> Iterator[Delta]:
        """Adds one event; kinds that are not known are skipped."""
        match event.get("type"):
            case "message_start":
                yield from self._begin(mapping(event, "message"))
            case "content_block_start":
                yield from self._open_block(event.get("index"), mapping(event, "content_block"))
            case "content_block_delta":
                yield from self._block_at(event.get("index")).take(mapping(event, "delta"))
            case "content_block_stop":
                block = self._block_at(event.get("index"))
                block.closed = True
                yield from block.flush()
            case "message_delta":
                self._end(mapping(event, "delta"), mapping(event, "usage"))
            case "message_stop":
                self.done = True
            case kind if kind == "error" or event.get("error"):
                raise stream_error(event)

    def take_body(self, body: dict[str, Any]) -> Iterator[Delta]:
        """Adds a plain answer; without content it is an error or nonsense."""
        if body.get("type") == "error" or body.get("error"):
            raise stream_error(body)
        blocks = body.get("content")
        if not isinstance(blocks, list):
            raise BrokenStream("The provider's answer holds no content.")
        self._model = text_or_empty(body.get("model"))
        yield from self._take_whole_blocks(blocks)
        self._end(body, mapping(body, "usage"))
        self.done = True

    def flush(self) -> Iterator[Delta]:
        """Halves of characters that were waiting."""
        for block in self._blocks:
            if block.kind in SHOWN:
                yield from block.flush()

    def reply(self) -> Reply:
        """The reply as far as it has come."""
        blocks = storable([block.block(whole=self._whole(block)) for block in self._blocks])
        parts = tuple(part for block in blocks for part in parts_of(block))
        calls = any(isinstance(part, ToolCall) for part in parts)
        reason = finish_reason_of(self._reason, calls=calls) if self.finished else None
        return Reply(parts, blocks, usage_of(self._usage), reason, self._model or None)

    def _whole(self, block: GrowingBlock) -> bool:
        """Whether nothing of the block can be missing: not the last one of a cut answer."""
        cut = self._reason in ("max_tokens", "model_context_window_exceeded")
        return block.closed and not (cut and block is self._blocks[-1])

    def _begin(self, message: Mapping[str, Any]) -> Iterator[Delta]:
        if self._model is not None:
            # a proxy that asked again: what was shown stays, the rest was never finished
            self._blocks = [block for block in self._blocks if block.kind == "text"]
        self._open = {}
        self._model = text_or_empty(message.get("model"))
        self._usage = without_nulls(dict(mapping(message, "usage")))
        self._reason = text_or_empty(message.get("stop_reason")) or None
        yield from self._take_whole_blocks(message.get("content"))

    def _take_whole_blocks(self, blocks: JSON) -> Iterator[Delta]:
        for index, block in enumerate(blocks if isinstance(blocks, list) else []):
            if isinstance(block, dict):
                yield from self._open_block(index, block)
                self._open[index].closed = True

    def _open_block(self, index: JSON, block: Mapping[str, Any]) -> Iterator[Delta]:
        growing = GrowingBlock(block)
        if isinstance(index, int):
            self._open[index] = growing
        self._blocks.append(growing)
        yield from growing.open()

    def _block_at(self, index: JSON) -> GrowingBlock:
        if not isinstance(index, int) or index not in self._open:
            raise BrokenStream(f"The stream adds to block {index!r}, which never began.")
        return self._open[index]

    def _end(self, delta: Mapping[str, Any], usage: Mapping[str, Any]) -> None:
        self._reason = text_or_empty(delta.get("stop_reason")) or self._reason
        self._usage |= without_nulls(dict(usage))


def parts_of(block: Mapping[str, Any]) -> Iterator[Part]:
    """A block in neutral words, if there are any for it."""
    match block.get("type"):
        case "text" if block.get("text"):
            yield Text(block["text"])
        case "thinking":
            yield Thinking(block["thinking"], text_or_empty(block.get("signature")) or None)
        case "redacted_thinking":
            yield Thinking("", data=text_or_empty(block.get("data")))
        case "tool_use":
            given = block.get("input", {})
            arguments = given if isinstance(given, dict | str) else compact(given)
            name, call_id = text_or_empty(block.get("name")), text_or_empty(block.get("id"))
            yield ToolCall(name, arguments, call_id)


def finish_reason_of(reason: str | None, *, calls: bool) -> FinishReason:
    """The neutral reason; what the answer holds says more than what it is called."""
    known = FINISH_REASONS.get(reason or "", "other")
    return "tool_calls" if calls and (known == "stop" or not reason) else known


def usage_of(raw: Mapping[str, Any]) -> Usage:
    """What a usage object says; Anthropic counts cached input apart from the rest."""
    if not raw:
        return Usage()
    cached = count(raw.get("cache_read_input_tokens"))
    written = count(raw.get("cache_creation_input_tokens"))
    fresh = count(raw.get("input_tokens"))
    details = mapping(raw, "output_tokens_details")
    return Usage(
        input_tokens=None if fresh is None else fresh + (cached or 0) + (written or 0),
        output_tokens=count(raw.get("output_tokens")),
        cached_input_tokens=cached,
        cache_write_tokens=written,
        thinking_tokens=first_count(details.get("thinking_tokens")),
        raw=dict(raw),
    )


def mapping(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The object under that key, or an empty one."""
    found = value.get(key)
    return found if isinstance(found, dict) else {}
