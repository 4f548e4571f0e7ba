"""A turn that goes on: its stored messages are its state, so another process can take it up.

Invariant: what was whole stays as it is, a reply that was cut off is said anew, and the turn
is pending again, owned by this process, before anything runs.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from nbchat.errors import ConfigError
from nbchat.exchange import Usage
from nbchat.messages import Message, Part, ToolCall
from nbchat.store.chats import load_chat_row
from nbchat.store.file import Cursor
from nbchat.store.identity import new_id, this_owner
from nbchat.store.rows import RequestRow
from nbchat.store.tool_calls import latest_tool_calls
from nbchat.store.turns import Begun, insert_messages, load_branch, recover
from nbchat.store.values import aware, utc_now

COUNTS = (
    "input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "thinking_tokens"
)  # fmt: skip
READ = (
    "id", "round", "attempt", "provider", "model", "started_at", "duration_ms", "status_code",
    "error_type", "cost_usd", *COUNTS,
)  # fmt: skip
SELECTED = ", ".join(f'"{name}"::varchar' if name == "id" else f'"{name}"' for name in READ)


def resume_turn(
    cursor: Cursor,
    chat_id: str,
    *,
    model: str,
    provider: str,
    instructions_version: str | None,
    recall: Callable[[Message], Message],
) -> Begun:
    """The chat's last turn, pending again; raises ConfigError if it owes nothing.

    `recall` fills in what was said and is not stored.
    """
    recover(cursor, chat_id=chat_id)
    row = load_chat_row(cursor, chat_id)
    head = row.head_message_id if row else None
    branch = [recall(message) for message in load_branch(cursor, chat_id, head)]
    if not branch:
        raise ConfigError("This chat has no turn to resume. Ask something first.")
    now: dict[str, Any] = {
        "model": model,
        "provider": provider,
        "instructions_version": instructions_version,
    }
    if branch[-1].role == "user":
        return _begun_anew(cursor, branch, now)
    *history, user, last = branch
    parts = whole_parts(last)
    _refuse_unsaid(user, last)
    if last.status == "complete" and not _owes(parts):
        raise ConfigError("The last turn is complete: there is nothing to resume. Ask again.")
    assistant = replace(
        last, status="pending", parts=parts, raw=_raw_of(last, parts), finished_at=None, **now
    )
    _reopen(cursor, assistant)
    requests = _load_requests(cursor, last.id) or _unrecorded(last)
    return Begun(
        user, assistant, tuple(history), requests, latest_tool_calls(cursor, last.id),
        cut_off=last.parts[len(parts) :],
    )  # fmt: skip


def _refuse_unsaid(*messages: Message) -> None:
    if any(message.content_removed_at is not None for message in messages):
        raise ConfigError("What was said in the last turn is not stored, so it cannot go on.")


def whole_parts(message: Message) -> tuple[Part, ...]:
    """The parts of a message but for a last reply that was cut off: it called no tools."""
    last = message.parts[-1].round if message.parts else 0
    calls = any(isinstance(part, ToolCall) and part.round == last for part in message.parts)
    if calls or message.status == "complete":
        return message.parts
    return tuple(part for part in message.parts if part.round < last)


def _owes(parts: Sequence[Part]) -> bool:
    """Whether the last round asked for tools: without their results nothing is complete."""
    last = parts[-1].round if parts else 0
    return any(isinstance(part, ToolCall) and part.round == last for part in parts)


def _raw_of(message: Message, parts: Sequence[Part]) -> tuple[Any, ...]:
    rounds = {part.round for part in parts}
    return tuple(raw for raw in message.raw if raw["round"] in rounds)


def _begun_anew(cursor: Cursor, branch: Sequence[Message], now: dict[str, Any]) -> Begun:
    """A fresh placeholder for a question whose process died before anything was answered."""
    *history, user = branch
    if user.status == "failed":
        raise ConfigError("The last turn failed, which ended it. Ask again.")
    _refuse_unsaid(user)
    rows = cursor.execute(
        'select max("seq") from "messages" where "chat_id" = ?', [user.chat_id]
    ).fetchall()
    assistant = Message(
        id=_earlier_id(cursor, user) or new_id(), chat_id=user.chat_id, role="assistant",
        status="pending", parent_id=user.id, seq=rows[0][0] + 1, turn=user.turn,
        created_at=aware(utc_now()), **now,
    )  # fmt: skip
    insert_messages(cursor, (assistant, this_owner()))
    cursor.execute(
        'update "chats" set "head_message_id" = ?, "updated_at" = ? where "id" = ?',
        [assistant.id, utc_now(), user.chat_id],
    )
    return Begun(user, assistant, tuple(history), _load_requests(cursor, assistant.id))


def _earlier_id(cursor: Cursor, user: Message) -> str | None:
    """The id of the turn's placeholder that was deleted, if requests were made for it.

    They count as this turn's, and their attempts go on, where it comes back under its id.
    """
    rows = cursor.execute(
        """
        select r."message_id"::varchar
        from "requests" as r
        anti join "messages" as m on m."id" = r."message_id"
        where r."chat_id" = ? and r."turn" = ?
        order by r."started_at" desc
        limit 1
        """,
        [user.chat_id, user.turn],
    ).fetchall()
    return rows[0][0] if rows else None


def _reopen(cursor: Cursor, message: Message) -> None:
    """Pending as if it had just been asked; what is no longer part of it is written later."""
    cursor.execute(
        """
        update "messages" set
          "status" = 'pending', "owner" = ?, "finished_at" = null, "error" = null, "model" = ?,
          "provider" = ?, "instructions_version" = ?
        where "id" = ?
        """,
        [
            this_owner(), message.model, message.provider, message.instructions_version,
            message.id,
        ],
    )  # fmt: skip
    cursor.execute(
        'update "chats" set "updated_at" = ? where "id" = ?', [utc_now(), message.chat_id]
    )


def _load_requests(cursor: Cursor, message_id: str) -> tuple[RequestRow, ...]:
    """What the message's requests took, as far as its sums need it."""
    rows = cursor.execute(
        f"""
        select {SELECTED}
        from "requests"
        where "message_id" = ?
        order by "round", "attempt"
        """,
        [message_id],
    ).fetchall()
    return tuple(_request_of(dict(zip(READ, row, strict=True))) for row in rows)


def _unrecorded(message: Message) -> tuple[RequestRow, ...]:
    """What a chat that records no requests used until now, as one that is never stored."""
    usage = Usage(**{name: getattr(message, name) for name in COUNTS})
    if usage == Usage() or message.created_at is None:
        return ()
    provider, model = message.provider or "", message.model or ""
    return (RequestRow(0, 0, provider, model, message.created_at, 0.0, usage=usage),)


def _request_of(row: dict[str, Any]) -> RequestRow:
    usage = Usage(**{name: row.pop(name) for name in COUNTS})
    return RequestRow(**row, usage=usage)
