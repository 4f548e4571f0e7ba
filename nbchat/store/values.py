"""Values to columns and back: JSON text, times, and rows as Messages.

What DuckDB cannot hold (half of a surrogate pair, NaN in JSON) is made harmless here, on
the one way in.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from nbchat.messages import (
    JSON,
    Message,
    Part,
    Text,
    Thinking,
    part_from_json,
    part_to_json,
)

LONE_SURROGATE = re.compile("[\ud800-\udfff]")
SHORTEST_SECRET = 12  # placeholders such as lm-studio are words that people use
HIDDEN = "[key]"
# the one redactor, on the one way into the store: keys that this process was given
_secrets: set[str] = set()

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
    "content_removed_at",
    "instructions_version",
    "parent_tool_call_id",
)


def hide(secret: str) -> None:
    """Never store this text from now on; one that is too short to be a key is let be."""
    if len(secret) >= SHORTEST_SECRET:
        _secrets.add(secret)


def clean(text: str) -> str:
    """The text as it may be stored: no lone surrogates, no secrets."""
    for secret in _secrets:
        text = text.replace(secret, HIDDEN)
    return LONE_SURROGATE.sub("\ufffd", text)


def clean_part(part: Part) -> Part:
    """The part with its text as it may be stored."""
    return replace(part, text=clean(part.text)) if isinstance(part, Text | Thinking) else part


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


def message_of(row: Sequence[Any], cost_usd: Decimal | None = None) -> Message:
    """The Message in a row of MESSAGE_COLUMNS, its ids as text."""
    fields = dict(zip(MESSAGE_COLUMNS, row, strict=True))
    fields["parts"] = tuple(part_from_json(part) for part in json.loads(fields["parts"]))
    fields["raw"] = tuple(json.loads(fields["raw"] or "[]"))
    fields["error"] = fields["error"] and json.loads(fields["error"])
    fields["created_at"] = aware(fields["created_at"])
    fields["finished_at"] = aware(fields["finished_at"])
    fields["content_removed_at"] = aware(fields["content_removed_at"])
    return Message(**fields, cost_usd=cost_usd)
