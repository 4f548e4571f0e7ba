"""How much of a turn may be stored, and what is left of a value that may not be stored whole.

Invariant: what these functions give back holds nothing that was said unless `content` is kept,
and every metric in any case. Pure: turns.py applies them on the one way into the store.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from nbchat.messages import JSON, Message, part_from_json
from nbchat.store.rows import RequestRow, ToolCallRow
from nbchat.store.values import aware, clean, dump_json, dump_parts, utc_now


@dataclass(frozen=True, slots=True)
class Persist:
    """Whether a chat keeps rows of its tool calls and requests, and what is said in any row."""

    tool_calls: bool = True
    requests: bool = True
    content: bool = True

    def message(self, message: Message) -> Message:
        """The message as it may be stored; a placeholder that has nothing yet loses nothing."""
        if self.content or (message.status == "pending" and not message.parts):
            return message
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
        return error if self.content or not error else {"type": error["type"]}

    def request(self, row: RequestRow) -> RequestRow:
        """The attempt as it may be stored."""
        return row if self.content else replace(row, error_message=None)

    def tool_call(self, row: ToolCallRow) -> ToolCallRow:
        """The tool call as it may be stored."""
        if self.content:
            return row
        return replace(
            row, call=replace(row.call, arguments={}, signature=None), error=None, thought=None
        )

    def text(self, text: str | None) -> str | None:
        """What a tool call came to, as it may be stored."""
        return text if self.content else None

    def answer(
        self, message: Message, requests: Sequence[RequestRow]
    ) -> tuple[Message, list[RequestRow]]:
        """An answer and its attempts as they may wait beside the file."""
        kept = requests if self.requests else ()
        return self.message(message), [self.request(row) for row in kept]


WHOLE = Persist()


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
