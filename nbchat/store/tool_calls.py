"""Rows of tool calls: written before the body runs, ended after, decided by a person in between.

Invariant: a call that waits for approval stays pending whatever becomes of its turn, until
somebody decides, the turn goes on, or another question takes its place. Each function is part
of one transaction's work.
"""

import json
from collections.abc import Mapping
from typing import Any

from nbchat.errors import ConfigError, StoreError
from nbchat.messages import Message, ToolCall
from nbchat.store.file import Cursor
from nbchat.store.identity import is_id
from nbchat.store.persist import Persist
from nbchat.store.rows import ToolCallRow, ToolOutcome
from nbchat.store.values import clean, dump_json, utc_now

DECISIONS = ("approved", "denied", "always")


def save_tool_call(cursor: Cursor, message: Message, whole: ToolCallRow, persist: Persist) -> None:
    """Insert a tool call before its body runs."""
    if not persist.tool_calls:
        return
    row = persist.tool_call(whole)
    call = row.call
    cursor.execute(
        """
        insert into "tool_calls" (
          "id", "chat_id", "message_id", "turn", "round", "seq", "tool_call_id", "name",
          "arguments", "status", "error", "thought", "thought_signature", "attempt", "approval",
          "repeats", "started_at"
        ) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        [
            row.id,
            message.chat_id,
            message.id,
            message.turn,
            call.round,
            row.seq,
            clean(call.tool_call_id),
            clean(call.name),
            dump_json(call.arguments),
            row.status,
            row.error and clean(row.error),
            row.thought and clean(row.thought),
            call.signature,
            row.attempt,
            row.approval,
            row.repeats,
            utc_now(),
        ],
    )


def end_tool_call(cursor: Cursor, id_: str, outcome: ToolOutcome, *, persist: Persist) -> None:
    """Write how a tool call ended: its result if it is ok, else its error."""
    told = persist.text(outcome.text)
    result, error = (told, None) if outcome.status == "ok" else (None, told)
    cursor.execute(
        """
        update "tool_calls" set
          "status" = ?, "result" = ?, "error" = ?, "duration_ms" = ?, "full_chars" = ?,
          "sent_chars" = ?
        where "id" = ?
        """,
        [
            outcome.status,
            result and clean(result),
            error and clean(error),
            outcome.duration_ms,
            outcome.full_chars,
            len(outcome.text) if outcome.status == "ok" and outcome.text is not None else None,
            id_,
        ],
    )


def stop_tool_calls(cursor: Cursor, message_id: str, *, waiting: bool = False) -> None:
    """End the message's pending tool calls; those that wait for approval only if `waiting`."""
    cursor.execute(
        """
        update "tool_calls" set "status" = 'stopped'
        where "message_id" = ? and "status" = 'pending'
          and (? or coalesce("approval", '') <> 'waiting')
        """,
        [message_id, waiting],
    )


def begin_tool_call(cursor: Cursor, id_: str) -> None:
    """Have a call that was approved begin now."""
    cursor.execute('update "tool_calls" set "started_at" = ? where "id" = ?', [utc_now(), id_])


def latest_tool_calls(cursor: Cursor, message_id: str) -> tuple[ToolCallRow, ...]:
    """The last execution of each of the message's calls, in their order."""
    rows = cursor.execute(
        """
        select
          "id"::varchar, "name", "arguments", "tool_call_id", "round", "seq", "status", "attempt",
          "approval", "repeats"
        from "tool_calls"
        where "message_id" = ?
        qualify row_number() over (partition by "round", "seq" order by "attempt" desc) = 1
        order by "round", "seq"
        """,
        [message_id],
    ).fetchall()
    return tuple(
        ToolCallRow(
            id_, ToolCall(name, json.loads(arguments), tool_call_id, round=number), seq, status,
            attempt=attempt, approval=approval, repeats=repeats or 0,
        )
        for id_, name, arguments, tool_call_id, number, seq, status, attempt, approval, repeats
        in rows
    )  # fmt: skip


def ask_approval(cursor: Cursor, id_: str) -> None:
    """Have a call wait for a person."""
    cursor.execute(
        """update "tool_calls" set "approval" = 'waiting', "decided_at" = null where "id" = ?""",
        [id_],
    )


def approval_of(cursor: Cursor, id_: str) -> str | None:
    """What was decided about a call, or that it waits; None if nobody was asked."""
    rows = cursor.execute('select "approval" from "tool_calls" where "id" = ?', [id_]).fetchall()
    if not rows:
        raise StoreError(f"The tool call {id_} is no longer in the store.")
    found: str | None = rows[0][0]
    return found


def decide_approval(cursor: Cursor, chat_id: str, id_: str, decision: str) -> str:
    """Decide about a call of this chat that waits; the tool's name.

    Raises ConfigError for one that does not wait (any more): the first decision counts.
    """
    rows = (
        cursor.execute(
            """
            select "name", "approval", "status" from "tool_calls" where "id" = ? and "chat_id" = ?
            """,
            [id_, chat_id],
        ).fetchall()
        if is_id(str(id_))
        else []
    )
    if not rows:
        raise ConfigError(f"No tool call of this chat has the id {id_!r}. See chat.approvals().")
    name, approval, status = rows[0]
    if approval != "waiting" or status != "pending":
        was = f"was decided already: {approval}" if approval else "needs no approval"
        was = "waits no more: it has ended" if approval == "waiting" else was
        raise ConfigError(f"The call of {name!r} {was}. chat.approvals() shows what waits.")
    cursor.execute(
        """
        update "tool_calls" set "approval" = ?, "decided_at" = ?
        where "id" = ? and "approval" = 'waiting'
        """,
        [decision, utc_now(), id_],
    )
    return str(name)


def waiting_calls(cursor: Cursor, chat_id: str) -> list[Mapping[str, Any]]:
    """The calls of the chat's last turn that wait for approval, in their order."""
    rows = cursor.execute(
        """
        select t."message_id"::varchar, t."name", t."arguments", t."tool_call_id", t."id"::varchar
        from "tool_calls" as t
        join "chats" as c on c."id" = t."chat_id" and c."head_message_id" = t."message_id"
        where t."chat_id" = ? and t."status" = 'pending' and t."approval" = 'waiting'
        order by t."round", t."seq"
        """,
        [chat_id],
    ).fetchall()
    return [
        {"message_id": message_id, "name": name, "arguments": json.loads(arguments),
         "tool_call_id": tool_call_id, "call_id": id_}
        for message_id, name, arguments, tool_call_id, id_ in rows
    ]  # fmt: skip
