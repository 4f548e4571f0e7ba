"""All rows of a chat, read back whole, with what differs from run to run made plain.

Ids become the place of the message they name, times become whether there is one.
"""

import json
from typing import Any

from nbchat import Store

TABLES = {
    "messages": '"seq"',
    "tool_calls": '"turn", "round", "seq"',
    "requests": '"turn", "round", "attempt"',
}
JSON_COLUMNS = {"parts", "raw", "error_json", "arguments", "usage", "price", "dropped"}
TIMES = {"decided_at", "created_at", "finished_at", "started_at", "content_removed_at"}


def raw_rows(store: Store, chat_id: str, table: str) -> list[dict[str, Any]]:
    """The table's rows of this chat as they are stored."""

    def read(cursor: Any) -> list[dict[str, Any]]:
        found = cursor.execute(
            f'select * from "{table}" where "chat_id" = ? order by {TABLES[table]}', [chat_id]
        )
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    return store.transact(read)


def stored_rows(store: Store, chat_id: str, *, ttft: bool = True) -> dict[str, Any]:
    """Every row of the chat in comparable form; without `ttft` streamed and plain are alike."""
    rows = {table: raw_rows(store, chat_id, table) for table in TABLES}
    places = {row["id"]: f"message {row['seq']}" for row in rows["messages"]}
    return {
        table: [plain_row(row, places, ttft=ttft) for row in found] for table, found in rows.items()
    }


def plain_row(row: dict[str, Any], places: dict[Any, str], *, ttft: bool) -> dict[str, Any]:
    """One row without what differs from run to run."""
    plain: dict[str, Any] = {}
    for name, value in row.items():
        if name in ("id", "chat_id"):
            continue
        if name in ("message_id", "parent_id"):
            value = places.get(value, "deleted") if value else None
        elif name in TIMES:
            value = value and "a time"
        elif name == "duration_ms":
            value = value and ("some" if value > 0 else value)
        elif name == "ttft_ms":
            value = value and "some"
        elif (name == "error" and "role" in row) or name in JSON_COLUMNS:
            value = value and json.loads(value)
        plain[name] = value
    return plain if ttft else {name: item for name, item in plain.items() if name != "ttft_ms"}


def pending(store: Store, chat_id: str | None = None) -> list[Any]:
    """What no turn may leave behind, in one chat or in all."""
    return store.transact(
        lambda cursor: cursor.execute(
            """
            select * from (
              select 'message' as "what", "id", "chat_id" from "messages"
              where "status" = 'pending'
              union all
              select 'tool call', "id", "chat_id" from "tool_calls" where "status" = 'pending'
            )
            where "chat_id" = coalesce($chat_id, "chat_id")
            """,
            {"chat_id": chat_id},
        ).fetchall()
    )


USER = {
    "parent_id": None, "seq": 1, "turn": 1, "role": "user", "status": "complete",
    "content": "hello", "parts": [{"kind": "text", "text": "hello", "round": 1}],
    "thinking_text": None, "thinking_signature": None, "thinking_tokens": None,
    "input_tokens": None, "output_tokens": None, "cached_input_tokens": None,
    "cache_write_tokens": None, "model": "function/x", "provider": "function",
    "finish_reason": None, "raw": None, "error": None, "created_at": "a time",
    "finished_at": "a time", "owner": None, "content_removed_at": None,
    "instructions_version": None, "parent_tool_call_id": None,
}  # fmt: skip
ASSISTANT = {**USER, "parent_id": "message 1", "seq": 2, "role": "assistant", "raw": []}
REQUEST = {
    "message_id": "message 2", "turn": 1, "round": 1, "attempt": 1, "provider": "function",
    "model": "function/x", "answered_model": None, "status_code": 200, "started_at": "a time",
    "duration_ms": "some", "ttft_ms": None, "input_tokens": None, "output_tokens": None,
    "cached_input_tokens": None, "cache_write_tokens": None, "thinking_tokens": None,
    "usage": None, "cost_usd": None, "cost_source": None, "price": None,
    "finish_reason": "stop", "provider_request_id": None, "error_type": None,
    "error_message": None, "dropped": None, "correction_rounds": 0,
}  # fmt: skip
TOOL_CALL = {
    "message_id": "message 2", "turn": 1, "round": 1, "seq": 1, "tool_call_id": "c1",
    "name": "add", "arguments": {"a": 1, "b": 2}, "status": "ok", "result": "3", "error": None,
    "thought": None, "thought_signature": None, "attempt": 1, "started_at": "a time",
    "duration_ms": "some", "approval": None, "decided_at": None, "full_chars": 1,
    "sent_chars": 1, "repeats": 0,
}  # fmt: skip
NO_RESULT = {"result": None, "full_chars": None, "sent_chars": None}
