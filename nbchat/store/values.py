"""Values to columns and back: JSON text, times, and rows as Messages.

What DuckDB cannot hold (half of a surrogate pair, NaN in JSON) is made harmless here, on
the one way in.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from nbchat.messages import JSON, Message, Part, part_from_json, part_to_json

LONE_SURROGATE = re.compile("[\ud800-\udfff]")

MESSAGE_COLUMNS = (
    "id",
    "chat_id",
    "role",
    "content",
    "parent_id",
    "seq",
    "turn",
    "status",
    "parts",
    "thinking_text",
    "thinking_signature",
    "thinking_tokens",
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "model",
    "provider",
    "finish_reason",
    "raw",
    "error",
    "created_at",
    "finished_at",
)


def clean(text: str) -> str:
    """The text with lone surrogates replaced, as UTF-8 can hold it."""
    return LONE_SURROGATE.sub("\ufffd", text)


def dump_json(value: JSON) -> str:
    """The value as JSON text that DuckDB takes; what JSON has no form for becomes its text."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=str)
    except ValueError:
        text = json.dumps(_finite(value), ensure_ascii=False, default=str)
    return clean(text)


def _finite(value: JSON) -> JSON:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def dump_parts(parts: Sequence[Part]) -> str:
    """The parts as a JSON array."""
    return dump_json([part_to_json(part) for part in parts])


def utc_now() -> datetime:
    """Now in UTC, without a zone, as TIMESTAMP columns hold it."""
    return datetime.now(UTC).replace(tzinfo=None)


def aware(time: datetime | None) -> datetime | None:
    """A column's time with its zone said."""
    return time and time.replace(tzinfo=UTC)


def message_of(row: Sequence[Any]) -> Message:
    """The Message in a row of MESSAGE_COLUMNS, its ids as text."""
    fields = dict(zip(MESSAGE_COLUMNS, row, strict=True))
    fields["parts"] = tuple(part_from_json(part) for part in json.loads(fields["parts"]))
    fields["raw"] = tuple(json.loads(fields["raw"] or "[]"))
    fields["error"] = fields["error"] and json.loads(fields["error"])
    fields["created_at"] = aware(fields["created_at"])
    fields["finished_at"] = aware(fields["finished_at"])
    return Message(**fields)
