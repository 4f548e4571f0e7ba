"""Rows of `chats`: create, find, list, change, delete. Each function is one transaction's work."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nbchat.errors import StoreError
from nbchat.messages import JSON
from nbchat.store.file import Cursor
from nbchat.store.identity import is_id
from nbchat.store.values import aware, clean, dump_json, utc_now

COLUMNS = """
  "id", "name", "model", "provider", "instructions", "settings", "metadata",
  "head_message_id", "created_at", "updated_at"
"""
CHANGEABLE = ("name", "model", "provider", "instructions", "settings", "metadata")


@dataclass(frozen=True, slots=True)
class ChatRow:
    """A chat as the store knows it."""

    id: str
    name: str | None
    model: str
    provider: str
    instructions: str | None
    settings: Mapping[str, JSON]
    metadata: Mapping[str, JSON]
    head_message_id: str | None
    created_at: datetime | None
    updated_at: datetime | None


def save_chat(cursor: Cursor, chat: ChatRow) -> None:
    """Insert a new chat."""
    now = utc_now()
    cursor.execute(
        f'insert into "chats" ({COLUMNS}) values (?, ?, ?, ?, ?, ?, ?, null, ?, ?)',
        [
            chat.id,
            _held(chat.name),
            chat.model,
            chat.provider,
            _held(chat.instructions),
            _held(chat.settings),
            _held(chat.metadata),
            now,
            now,
        ],
    )


def _held(value: Any) -> Any:
    """The value as its column holds it."""
    if isinstance(value, Mapping):
        return dump_json(value)
    return clean(value) if isinstance(value, str) else value


def load_chat_row(cursor: Cursor, id_or_name: str) -> ChatRow | None:
    """The chat with this id, else the latest one of this name, else None."""
    by_id = is_id(id_or_name)
    rows = cursor.execute(
        f'select {COLUMNS} from "chats" where "id" = ?'
        if by_id
        else f'select {COLUMNS} from "chats" where "name" = ? order by "updated_at" desc limit 1',
        [clean(id_or_name)],
    ).fetchall()
    return _chat_of(rows[0]) if rows else None


def _chat_of(row: tuple[Any, ...]) -> ChatRow:
    id_, name, model, provider, instructions, settings, metadata, head, created, updated = row
    return ChatRow(
        str(id_),
        name,
        model,
        provider,
        instructions,
        json.loads(settings),
        json.loads(metadata),
        head and str(head),
        aware(created),
        aware(updated),
    )


def update_chat(cursor: Cursor, chat_id: str, changes: Mapping[str, Any]) -> None:
    """Change some columns of a chat; mappings are stored as JSON."""
    columns = [column for column in CHANGEABLE if column in changes]
    values = [changes[column] for column in columns]
    assignments = ", ".join(f'"{column}" = ?' for column in columns)
    count = cursor.execute(
        f'update "chats" set {assignments} where "id" = ?',
        [*map(_held, values), chat_id],
    ).fetchall()
    if count != [(1,)]:
        raise StoreError(f"Chat {chat_id} is no longer in the store. Create a new one.")


def merge_metadata(cursor: Cursor, chat_id: str, patch: Mapping[str, JSON]) -> Mapping[str, JSON]:
    """The chat's metadata with the patch merged in, key by key, in the store itself."""
    chat = load_chat_row(cursor, chat_id)
    if chat is None:
        raise StoreError(f"Chat {chat_id} is no longer in the store. Create a new one.")
    merged = {**chat.metadata, **patch}
    update_chat(cursor, chat_id, {"metadata": merged})
    return merged


def delete_chat_rows(cursor: Cursor, chat_id: str) -> None:
    """Delete a chat and all that hangs on it, children first."""
    for table in ("tool_calls", "requests", "messages", "agent_sessions"):
        cursor.execute(f'delete from "{table}" where "chat_id" = ?', [chat_id])
    cursor.execute('delete from "chats" where "id" = ?', [chat_id])
