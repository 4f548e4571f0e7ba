"""Rows of `chats`: create, find, list, change, delete. Each function is one transaction's work."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb

from nbchat.errors import ConfigError, StoreError
from nbchat.messages import JSON, Message
from nbchat.store.attachments import drop_unused
from nbchat.store.file import Cursor
from nbchat.store.identity import is_id
from nbchat.store.values import aware, clean, dump_json, utc_now

COLUMNS = """
  "id", "name", "model", "provider", "instructions", "settings", "metadata",
  "head_message_id", "created_at", "updated_at"
"""
OWN = {*re.findall(r"\w+", COLUMNS), "archived_at", "pinned_at"}
# what DuckDB says of a value that a column cannot hold
UNFIT = (
    duckdb.ConversionException,
    duckdb.NotImplementedException,
    duckdb.InvalidInputException,
    duckdb.BinderException,
)
CHANGEABLE = (
    "name", "model", "provider", "instructions", "settings", "metadata", "archived_at",
    "pinned_at",
)  # fmt: skip


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


def save_chat(cursor: Cursor, chat: ChatRow, table: str, columns: Mapping[str, Any]) -> None:
    """Insert a new chat; `columns` are the user's own, which `table` must have."""
    now = utc_now()
    values: dict[str, Any] = {
        "id": chat.id,
        "name": _held(chat.name),
        "model": chat.model,
        "provider": chat.provider,
        "instructions": _held(chat.instructions),
        "settings": _held(chat.settings),
        "metadata": _held(chat.metadata),
        "created_at": now,
        "updated_at": now,
        **{column: _held(value) for column, value in columns.items()},
    }
    _check_columns(cursor, table, columns)
    listed = ", ".join('"' + column.replace('"', '""') + '"' for column in values)
    marks = ", ".join("?" for _ in values)
    try:
        cursor.execute(f'insert into "chats" ({listed}) values ({marks})', list(values.values()))
    except UNFIT as error:
        if not columns:
            raise
        said = str(error).partition("\n")[0]
        raise ConfigError(f"columns={dict(columns)!r} do not fit the table: {said}") from error


def _held(value: Any) -> Any:
    """The value as its column holds it."""
    if isinstance(value, Mapping):
        return dump_json(value)
    if isinstance(value, list | tuple):
        return [_held(item) for item in value]
    return clean(value) if isinstance(value, str) else value


def _check_columns(cursor: Cursor, table: str, columns: Mapping[str, Any]) -> None:
    if not columns:
        return
    rows = cursor.execute(
        "select column_name from duckdb_columns() "
        "where database_name = current_database() and schema_name = current_schema() "
        "and lower(table_name) = lower(?)",
        [table],
    ).fetchall()
    there = {column.lower() for (column,) in rows}
    for column in columns:
        if column.lower() in OWN:
            raise ConfigError(f"columns={{{column!r}: ...}} is nbchat's own. Choose another name.")
        if column.lower() not in there:
            raise ConfigError(
                f"The table {table!r} has no column {column!r}. Add it first: nbchat.sql("
                f"'alter table ... add column ...', write=True)."
            )


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


def is_deleted(cursor: Cursor, message: Message) -> bool:
    """Whether the message's chat was deleted; a store made since then never had it."""
    if message.created_at is None or load_chat_row(cursor, message.chat_id) is not None:
        return False
    made = cursor.execute('select min("applied_at") from "nbchat_version"').fetchall()[0][0]
    return made is not None and made < message.created_at.replace(tzinfo=None)


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
    """Change some columns of a chat; mappings are stored as JSON.

    Settings are merged key by key, None removes one: another object of the chat, in whatever
    process, may have changed the others.
    """
    if "settings" in changes and (chat := load_chat_row(cursor, chat_id)) is not None:
        merged = {**chat.settings, **changes["settings"]}
        kept = {key: value for key, value in merged.items() if value is not None}
        changes = {**changes, "settings": kept}
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


def allow_always(cursor: Cursor, chat_id: str, tool: str) -> None:
    """Have a tool need no approval in this chat from now on."""
    chat = load_chat_row(cursor, chat_id)
    if chat is None:
        raise StoreError(f"Chat {chat_id} is no longer in the store. Create a new one.")
    allowed = sorted({*chat.settings.get("always_allow", ()), tool})
    update_chat(cursor, chat_id, {"settings": {"always_allow": allowed}})


def always_allowed(cursor: Cursor, chat_id: str) -> Sequence[str]:
    """The tools that need no approval in this chat any more, by whoever said so."""
    chat = load_chat_row(cursor, chat_id)
    return chat.settings.get("always_allow", ()) if chat else ()


def archive_chat(cursor: Cursor, chat_id: str, *, archived: bool) -> None:
    """Put a chat away, or take it out again; nothing else about it changes."""
    update_chat(cursor, chat_id, {"archived_at": utc_now() if archived else None})


def pin_chat(cursor: Cursor, chat_id: str, *, pinned: bool) -> None:
    """Pin a chat above the others, or take it down again; nothing else about it changes."""
    update_chat(cursor, chat_id, {"pinned_at": utc_now() if pinned else None})


def delete_chat_rows(cursor: Cursor, chat_id: str) -> None:
    """Delete a chat and all that hangs on it, children first."""
    for table in ("tool_calls", "requests", "feedback", "messages", "agent_sessions"):
        cursor.execute(f'delete from "{table}" where "chat_id" = ?', [chat_id])
    drop_unused(cursor)
    cursor.execute('delete from "chats" where "id" = ?', [chat_id])
