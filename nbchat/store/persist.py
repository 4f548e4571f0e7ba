"""How much of a turn may be stored, and what is left of a value that may not be stored whole.

Invariant: what these functions give back holds nothing that was said unless `content` is kept,
and every metric in any case. Pure: turns.py applies them on the one way into the store.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from nbchat.messages import JSON, Message, Text, Thinking, part_from_json
from nbchat.redaction import redacted_json, redacted_message
from nbchat.store.rows import RequestRow, ToolCallRow
from nbchat.store.values import aware, clean, dump_json, dump_parts, utc_now

HELD_BACK = 256  # characters: longer than all that is known by its whole length only


@dataclass(frozen=True, slots=True)
class Persist:
    """Whether a chat keeps rows of its tool calls and requests, and what is said in any row.

    `redact` says what may be stored of any text that was said.
    """

    tool_calls: bool = True
    requests: bool = True
    content: bool = True
    redact: Callable[[str], str] | None = field(default=None, repr=False)

    def message(self, message: Message) -> Message:
        """The message as it may be stored; a placeholder that has nothing yet loses nothing."""
        if self.content or (message.status == "pending" and not message.parts):
            return _redacted(message, self.redact) if self.redact else message
        return replace(
            message,
            content="",
            parts=(),
            thinking_text=None,
            thinking_signature=None,
            raw=(),
            data=None,
            error=self.error(message.error),
            content_removed_at=aware(utc_now()),
        )

    def error(self, error: Mapping[str, JSON] | None) -> Mapping[str, JSON] | None:
        """The error of a message as it may be stored: only its type without content."""
        if not error or not self.content:
            return error and {"type": error["type"]}
        return redacted_json(error, self.redact) if self.redact else error

    def request(self, row: RequestRow) -> RequestRow:
        """The attempt as it may be stored."""
        if not self.content:
            return replace(row, error_message=None)
        return replace(row, error_message=self.text(row.error_message))

    def tool_call(self, row: ToolCallRow) -> ToolCallRow:
        """The tool call as it may be stored."""
        if self.content:
            return self._redacted_call(row) if self.redact else row
        return replace(
            row, call=replace(row.call, arguments={}, signature=None), error=None, thought=None
        )

    def _redacted_call(self, row: ToolCallRow) -> ToolCallRow:
        redact = self.redact
        assert redact is not None
        call = replace(row.call, arguments=redacted_json(row.call.arguments, redact))
        return replace(row, call=call, error=self.text(row.error), thought=self.text(row.thought))

    def text(self, text: str | None) -> str | None:
        """Text that was said, such as what a tool call came to, as it may be stored."""
        if text is None or not self.content:
            return None
        return self.redact(text) if self.redact else text

    def answer(
        self, message: Message, requests: Sequence[RequestRow]
    ) -> tuple[Message, list[RequestRow]]:
        """An answer and its attempts as they may wait beside the file."""
        kept = requests if self.requests else ()
        return self.message(message), [self.request(row) for row in kept]


WHOLE = Persist()


def _redacted(message: Message, redact: Callable[[str], str]) -> Message:
    """The message redacted; the end of a text that still comes in may begin what is a secret."""
    kept = redacted_message(message, redact)
    last = message.parts[-1] if message.parts else None
    if message.status == "pending" and isinstance(last, Text | Thinking):
        return _without_end(kept, type(last))
    return kept


def _without_end(message: Message, kind: type[Text] | type[Thinking]) -> Message:
    places = [at for at, part in enumerate(message.parts) if isinstance(part, kind)]
    if not places:
        return message
    last = message.parts[places[-1]]
    assert isinstance(last, Text | Thinking)
    short = replace(last, text=last.text[:-HELD_BACK])
    parts = (*message.parts[: places[-1]], *([short] if short.text else []),
             *message.parts[places[-1] + 1 :])  # fmt: skip
    if kind is Text:
        content = message.content.removesuffix(last.text) + short.text
        return replace(message, parts=parts, content=content)
    thinking = (message.thinking_text or "").removesuffix(last.text) + short.text
    return replace(message, parts=parts, thinking_text=thinking)


def read_back(message: Message) -> Message:
    """The message with what was said in it as a store would give it back that kept it whole."""
    return replace(
        message,
        content=clean(message.content),
        parts=tuple(map(part_from_json, json.loads(dump_parts(message.parts)))),
        raw=tuple(json.loads(dump_json(message.raw))),
        error=message.error and json.loads(dump_json(message.error)),
    )


def recalled(message: Message, remembered: Mapping[str, Message]) -> Message:
    """A stored message with what was said in it, if this process remembers that."""
    whole = remembered.get(message.id)
    if message.content_removed_at is None or whole is None:
        return message
    return replace(
        message,
        content=whole.content,
        parts=whole.parts,
        thinking_text=whole.thinking_text,
        thinking_signature=whole.thinking_signature,
        raw=whole.raw,
        data=whole.data,
        error=whole.error,
        content_removed_at=None,
    )
