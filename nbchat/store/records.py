"""What the store recorded of a chat beside its messages: its tool calls and its requests.

Every column of a row is there as it is stored, columns of the user's own too. Reads only.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from nbchat.store.file import Cursor
from nbchat.store.values import aware

Record = Mapping[str, Any]


def load_tool_calls(cursor: Cursor, chat_id: str) -> tuple[Record, ...]:
    """The chat's tool calls, of all branches, in the order of the turns."""
    return _load(
        cursor,
        'select * from "tool_calls" where "chat_id" = ? '
        'order by "turn", "round", "seq", "attempt", "id"',
        chat_id,
    )


def load_requests(cursor: Cursor, chat_id: str) -> tuple[Record, ...]:
    """The chat's requests, of all branches, in the order of the turns."""
    return _load(
        cursor,
        'select * from "requests" where "chat_id" = ? order by "turn", "round", "attempt", "id"',
        chat_id,
    )


def _load(cursor: Cursor, sql: str, chat_id: str) -> tuple[Record, ...]:
    result = cursor.execute(sql, [chat_id])
    columns = [(column[0], str(column[1])) for column in result.description or ()]
    return tuple(
        {name: _value(value, type_) for (name, type_), value in zip(columns, row, strict=True)}
        for row in result.fetchall()
    )


def _value(value: Any, type_: str) -> Any:
    if type_ == "JSON" and isinstance(value, str):
        return json.loads(value)
    if isinstance(value, datetime) and value.tzinfo is None:
        return aware(value)
    return str(value) if isinstance(value, UUID) else value
