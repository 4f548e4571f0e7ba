"""What a panel asks of the store beside the messages: small reads, each part of one transaction.

Nothing here writes, and nothing knows how it will look.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nbchat.store.file import Cursor


@dataclass(frozen=True, slots=True)
class CallShown:
    """What the row of a tool call knows beyond the message: id, status, time, a question."""

    id: str
    name: str
    tool_call_id: str
    status: str
    duration_ms: float | None
    waits: bool


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What belongs to a chat's messages and is not in them.

    `siblings` are, by the id of a user's message, the ids of all that were asked in its place;
    `ratings` a rating (0 for none) and a note by the id of an answer; `calls` the rows of its
    tool calls, in order; `context_tokens` what the last request of the branch held, None if
    nobody knows.
    """

    siblings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ratings: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    context_tokens: int | None = None
    calls: Mapping[str, tuple[CallShown, ...]] = field(default_factory=dict)


def load_surroundings(cursor: Cursor, chat_id: str, head: str | None) -> Surroundings:
    """What belongs to the messages of the branch that ends at `head`."""
    return Surroundings(
        _siblings(cursor, chat_id), _ratings(cursor, chat_id), _context(cursor, head),
        _calls(cursor, chat_id),
    )  # fmt: skip


def _siblings(cursor: Cursor, chat_id: str) -> dict[str, tuple[str, ...]]:
    rows = cursor.execute(
        """
        select "id"::varchar, "parent_id"::varchar from "messages"
        where "chat_id" = ? and "role" = 'user' order by "seq"
        """,
        [chat_id],
    ).fetchall()
    families: dict[str | None, list[str]] = {}
    for id_, parent in rows:
        families.setdefault(parent, []).append(id_)
    return {id_: tuple(family) for family in families.values() for id_ in family}


def _ratings(cursor: Cursor, chat_id: str) -> dict[str, tuple[int, str]]:
    rows = cursor.execute(
        'select "message_id"::varchar, "rating", "note" from "feedback" where "chat_id" = ?',
        [chat_id],
    ).fetchall()
    return {id_: (rating or 0, note or "") for id_, rating, note in rows}


def _context(cursor: Cursor, head: str | None) -> int | None:
    rows = cursor.execute(
        """
        select "input_tokens" + coalesce("output_tokens", 0) from "requests"
        where "message_id" = ? and "input_tokens" is not null
        order by "round" desc, "attempt" desc limit 1
        """,
        [head],
    ).fetchall()
    return rows[0][0] if rows else None


def _calls(cursor: Cursor, chat_id: str) -> dict[str, tuple[CallShown, ...]]:
    rows = cursor.execute(
        """
        select
          "message_id"::varchar, "id"::varchar, "name", "tool_call_id", "status", "duration_ms",
          "status" = 'pending' and coalesce("approval", '') = 'waiting'
        from "tool_calls" where "chat_id" = ?
        qualify row_number() over (
          partition by "message_id", "round", "seq" order by "attempt" desc
        ) = 1
        order by "message_id", "round", "seq"
        """,
        [chat_id],
    ).fetchall()
    found: dict[str, tuple[CallShown, ...]] = {}
    for message_id, *call in rows:
        found[message_id] = (*found.get(message_id, ()), CallShown(*call))
    return found


def marker(cursor: Cursor, chat_id: str) -> tuple[Any, ...] | None:
    """What differs when anybody changed the chat; None when there is no such chat any more."""
    rows = cursor.execute(
        """
        select
          c."head_message_id"::varchar, c."name", c."model", c."updated_at",
          (select count(*) from "messages" as m where m."chat_id" = c."id"),
          (
            select (m."status", length(m."parts"::varchar)) from "messages" as m
            where m."id" = c."head_message_id"
          ),
          (select (count(*), max(f."updated_at")) from "feedback" as f where f."chat_id" = c."id"),
          (
            select (count(*), count(t."duration_ms"), count(t."decided_at")) from "tool_calls" as t
            where t."message_id" = c."head_message_id"
          )
        from "chats" as c where c."id" = ?
        """,
        [chat_id],
    ).fetchall()
    return tuple(map(str, rows[0])) if rows else None


def first_questions(cursor: Cursor, chat_ids: Sequence[str]) -> dict[str, str]:
    """The beginning of what was first asked in each of these chats."""
    rows = cursor.execute(
        """
        select "chat_id"::varchar, left(arg_min("content", "seq"), 200) from "messages"
        where "role" = 'user' and list_contains(?::uuid[], "chat_id") group by "chat_id"
        """,
        [list(chat_ids)],
    ).fetchall()
    return dict(rows)
