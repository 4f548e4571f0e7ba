"""Rows of a turn: messages and requests, from placeholder to final answer.

Invariant: a turn that began is pending until its end is written, only a pending row is ever
finalized, and no value reaches a row before `persist` has said what of it may be stored. Each
function is part of one transaction's work.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from nbchat.errors import ChatBusy, StoreError
from nbchat.messages import JSON, Message, Part
from nbchat.store.file import Cursor
from nbchat.store.identity import is_alive, new_id, this_owner
from nbchat.store.persist import WHOLE, Persist
from nbchat.store.rows import RequestRow, ToolCallRow
from nbchat.store.tool_calls import stop_tool_calls
from nbchat.store.values import (
    MESSAGE_COLUMNS,
    aware,
    clean,
    dump_json,
    dump_parts,
    message_of,
    utc_now,
)

NO_COSTS: Mapping[str, Decimal] = {}
IDS = {"id", "chat_id", "parent_id", "parent_tool_call_id"}
SELECTED = ", ".join(
    f'"{column}"::varchar' if column in IDS else f'"{column}"' for column in MESSAGE_COLUMNS
)


@dataclass(frozen=True, slots=True)
class Begun:
    """A turn that has its two rows; `history` is what came before it, first to last.

    `files` are the bytes that its messages name, by digest. One that goes on has `requests` and
    tool `calls` already, the latest of each call, and maybe a reply that was `cut_off`, which is
    not part of the assistant's message any more.
    """

    user: Message
    assistant: Message
    history: tuple[Message, ...]
    requests: tuple[RequestRow, ...] = ()
    calls: tuple[ToolCallRow, ...] = ()
    cut_off: tuple[Part, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class After:
    """The message that a turn comes after, if that is not the branch's last; None for none."""

    message_id: str | None


def load_messages(cursor: Cursor, chat_id: str, head: str | None) -> list[Message]:
    """The messages of the branch that ends at `head`, first to last, with what they cost."""
    costs = dict(
        cursor.execute(
            """
            select "message_id"::varchar, sum("cost_usd")
            from "requests_priced"
            where "chat_id" = ?
            group by "message_id"
            having bool_and("is_priced")
            """,
            [chat_id],
        ).fetchall()
    )
    return load_branch(cursor, chat_id, head, costs)


def load_branch(
    cursor: Cursor, chat_id: str, head: str | None, costs: Mapping[str, Decimal] = NO_COSTS
) -> list[Message]:
    """The messages of the branch that ends at `head`, first to last."""
    rows = cursor.execute(
        f'select {SELECTED} from "messages" where "chat_id" = ?', [chat_id]
    ).fetchall()
    found = {row[0]: row for row in rows}
    branch = []
    row = found.get(head)
    while row is not None:
        branch.append(message_of(row, costs.get(row[0])))
        row = found.get(branch[-1].parent_id)
    return branch[::-1]


def begin_turn(
    cursor: Cursor,
    chat_id: str,
    parts: Sequence[Part],
    content: str,
    *,
    model: str,
    provider: str,
    persist: Persist,
    instructions_version: str | None = None,
    parent_tool_call_id: str | None = None,
    after: After | None = None,
) -> Begun:
    """The user's message and an empty pending one, whole, after the branch's last message.

    With `after` they come after that one, and the chat goes on with a branch of their own.

    Raises ChatBusy while a living process has a turn of this chat pending; one that a dead
    process left, or this one lost, is ended first.
    """
    recover(cursor, chat_id=chat_id)
    head, seq, turn = _place(cursor, chat_id)
    head = after.message_id if after else head
    history = tuple(load_branch(cursor, chat_id, head))
    _close_left(cursor, history)
    common: dict[str, Any] = {"chat_id": chat_id, "model": model, "provider": provider}
    common["turn"] = turn + 1
    now = utc_now()
    user = Message(
        id=new_id(), role="user", content=clean(content), parts=tuple(parts), parent_id=head,
        seq=seq + 1, created_at=aware(now), finished_at=aware(now),
        parent_tool_call_id=parent_tool_call_id, **common,
    )  # fmt: skip
    assistant = Message(
        id=new_id(), role="assistant", status="pending", parent_id=user.id,
        seq=seq + 2, created_at=aware(now), instructions_version=instructions_version, **common,
    )  # fmt: skip
    insert_messages(cursor, (persist.message(user), None), (assistant, this_owner()))
    cursor.execute(
        'update "chats" set "head_message_id" = ?, "updated_at" = ? where "id" = ?',
        [assistant.id, now, chat_id],
    )
    return Begun(user, assistant, history)


def _close_left(cursor: Cursor, history: Sequence[Message]) -> None:
    """End the calls that the last turn left to be approved: another question takes their place."""
    last = history[-1] if history else None
    if last is not None and last.status in ("stopped", "interrupted") and last.tool_calls:
        stop_tool_calls(cursor, last.id, waiting=True)


def _place(cursor: Cursor, chat_id: str) -> tuple[str | None, int, int]:
    rows = cursor.execute(
        """
        select
          c."head_message_id",
          coalesce((select max("seq") from "messages" where "chat_id" = $id), 0),
          -- the requests of a deleted turn stay, and must not become another one's
          greatest(
            coalesce((select max("turn") from "messages" where "chat_id" = $id), 0),
            coalesce((select max("turn") from "requests" where "chat_id" = $id), 0)
          )
        from "chats" as c
        where c."id" = $id
        """,
        {"id": chat_id},
    ).fetchall()
    if not rows:
        raise StoreError(f"Chat {chat_id} is no longer in the store. Create a new one.")
    head, seq, turn = rows[0]
    return head and str(head), seq, turn


def insert_messages(cursor: Cursor, *messages: tuple[Message, str | None]) -> None:
    """Insert messages, each with its owner."""
    values: list[Any] = []
    for message, owner in messages:
        values += [
            message.id, message.chat_id, message.parent_id, message.seq, message.turn,
            message.role, message.status, message.content, dump_parts(message.parts),
            message.model, message.provider, _bare(message.created_at),
            _bare(message.finished_at), owner, _bare(message.content_removed_at),
            message.instructions_version, message.parent_tool_call_id,
        ]  # fmt: skip
    row = f"({', '.join('?' * 17)})"
    cursor.execute(
        f"""
        insert into "messages" (
          "id", "chat_id", "parent_id", "seq", "turn", "role", "status", "content", "parts",
          "model", "provider", "created_at", "finished_at", "owner", "content_removed_at",
          "instructions_version", "parent_tool_call_id"
        ) values {", ".join([row] * len(messages))}
        """,
        values,
    )


def _bare(time: datetime | None) -> datetime | None:
    return time and time.replace(tzinfo=None)


def update_assistant(cursor: Cursor, whole: Message, persist: Persist) -> None:
    """Write what has arrived, or the end of the turn when its status says so."""
    message = persist.message(whole)
    count = cursor.execute(
        """
        update "messages" set
          "status" = ?, "content" = ?, "parts" = ?, "thinking_text" = ?,
          "thinking_signature" = ?, "thinking_tokens" = ?, "input_tokens" = ?,
          "output_tokens" = ?, "cached_input_tokens" = ?, "cache_write_tokens" = ?,
          "finish_reason" = ?, "raw" = ?, "error" = ?, "finished_at" = ?,
          "content_removed_at" = ?, "owner" = case when ? then null else "owner" end
        where "id" = ? and "status" = 'pending'
        """,
        [
            message.status,
            clean(message.content),
            dump_parts(message.parts),
            message.thinking_text and clean(message.thinking_text),
            message.thinking_signature,
            message.thinking_tokens,
            message.input_tokens,
            message.output_tokens,
            message.cached_input_tokens,
            message.cache_write_tokens,
            message.finish_reason,
            None if message.content_removed_at else dump_json(message.raw),
            message.error and dump_json(message.error),
            _bare(message.finished_at),
            _bare(message.content_removed_at),
            message.status != "pending",
            message.id,
        ],
    ).fetchall()
    if count != [(1,)]:
        raise StoreError(
            f"Message {message.id} is no longer pending: another process ended or deleted it."
        )


def put_message(cursor: Cursor, message: Message) -> None:
    """Store an assistant's message as it is given, whatever became of its row meanwhile."""
    stop_tool_calls(cursor, message.id)
    cursor.execute('delete from "messages" where "id" = ?', [message.id])
    insert_messages(cursor, (replace(message, status="pending"), None))
    update_assistant(cursor, message, WHOLE)
    cursor.execute(
        'update "chats" set "head_message_id" = ? where "id" = ? and "head_message_id" = ?',
        [message.id, message.chat_id, message.parent_id],
    )


def drop_assistant(cursor: Cursor, message: Message) -> None:
    """Delete a placeholder; the user's message becomes the branch's last again."""
    cursor.execute(
        """delete from "messages" where "id" = ? and "status" = 'pending'""", [message.id]
    )
    cursor.execute('delete from "feedback" where "message_id" = ?', [message.id])
    cursor.execute(
        'update "chats" set "head_message_id" = ? where "id" = ? and "head_message_id" = ?',
        [message.parent_id, message.chat_id, message.id],
    )


def fail_user(cursor: Cursor, message_id: str, error: JSON, persist: Persist) -> None:
    """Mark a user's message as failed, with the error and the text that had arrived."""
    cursor.execute(
        """update "messages" set "status" = 'failed', "error" = ? where "id" = ?""",
        [dump_json(persist.error(error)), message_id],
    )


def save_request(cursor: Cursor, message: Message, whole: RequestRow, persist: Persist) -> None:
    """Insert one attempt, made for this message; one that is already there stays as it is."""
    if not persist.requests:
        return
    row = persist.request(whole)
    usage = row.usage
    cursor.execute(
        """
        insert into "requests" (
          "id", "chat_id", "message_id", "turn", "round", "attempt", "provider", "model",
          "answered_model", "status_code", "started_at", "duration_ms", "ttft_ms",
          "input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens",
          "thinking_tokens", "usage", "cost_usd", "cost_source", "price", "finish_reason",
          "provider_request_id", "error_type", "error_message", "dropped"
        )
        select ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
        where not exists (select 1 from "requests" where "id" = ?)
        """,
        [
            row.id,
            message.chat_id,
            message.id,
            message.turn,
            row.round,
            row.attempt,
            row.provider,
            row.model,
            row.answered_model,
            row.status_code,
            row.started_at,
            row.duration_ms,
            row.ttft_ms,
            usage.input_tokens,
            usage.output_tokens,
            usage.cached_input_tokens,
            usage.cache_write_tokens,
            usage.thinking_tokens,
            usage.raw and dump_json(usage.raw),
            row.cost_usd,
            row.cost_source,
            row.price and dump_json(row.price),
            row.finish_reason,
            row.provider_request_id,
            row.error_type,
            row.error_message and clean(row.error_message),
            row.dropped and dump_json(row.dropped),
            row.id,
        ],
    )


def recover(cursor: Cursor, chat_id: str | None = None) -> None:
    """End the pending turns that dead processes left; a living one's are untouched.

    With `chat_id` the caller is about to begin a turn there: a pending one of this very
    process is ended too, because nothing runs it any more, and one of another living
    process raises ChatBusy.
    """
    rows = cursor.execute(
        """
        select "id", "chat_id", "parent_id", "owner",
          "parts" = '[]' and "content_removed_at" is null, "seq", "turn"
        from "messages"
        where "status" = 'pending'
        """
    ).fetchall()
    for id_, chat, parent, owner, empty, seq, turn in rows:
        mine = owner == this_owner()
        if str(chat) == chat_id and not mine and is_alive(owner):
            raise ChatBusy(
                f"Chat {chat_id} is answering in another process ({owner.rsplit(' ', 1)[0]}). "
                "Wait for it, or ask with wait=True."
            )
        if not is_alive(owner) or (mine and str(chat) == chat_id):
            left = Message(
                id=str(id_), chat_id=str(chat), role="assistant", parent_id=str(parent),
                seq=seq, turn=turn,
            )  # fmt: skip
            _interrupt(cursor, left, empty=empty)


def _interrupt(cursor: Cursor, message: Message, *, empty: bool) -> None:
    stop_tool_calls(cursor, message.id)
    if empty:
        drop_assistant(cursor, message)
        return
    cursor.execute(
        """
        update "messages" set "status" = 'interrupted', "owner" = null, "finished_at" = ?,
          "error" = case
            when "content_removed_at" is null
            then '{"type": "Interrupted", "message": "the process that asked ended"}'
            else '{"type": "Interrupted"}'
          end
        where "id" = ?
        """,
        [utc_now(), message.id],
    )
