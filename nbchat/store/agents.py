"""Rows of agent sessions, and what their chats used. Each function is one transaction's work."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nbchat.errors import StoreError
from nbchat.exchange import Usage
from nbchat.messages import JSON
from nbchat.store.file import Cursor
from nbchat.store.identity import is_id
from nbchat.store.values import dump_json, utc_now


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session as the store knows it; `agent_class` is the name of the class that made it."""

    id: str
    agent_class: str
    chat_id: str
    metadata: Mapping[str, JSON]


def save_session(cursor: Cursor, session: SessionRow) -> None:
    """Insert a new session."""
    now = utc_now()
    cursor.execute(
        """
        insert into "agent_sessions" (
          "id", "agent_class", "chat_id", "metadata", "created_at", "updated_at"
        ) values (?, ?, ?, ?, ?, ?)
        """,
        [
            session.id, session.agent_class, session.chat_id, dump_json(session.metadata),
            now, now,
        ],
    )  # fmt: skip


def load_session(cursor: Cursor, id_: str) -> SessionRow | None:
    """The session with this id, None when there is none."""
    if not is_id(id_):
        return None
    rows = cursor.execute(
        """
        select "id"::varchar, "agent_class", "chat_id"::varchar, "metadata"
        from "agent_sessions"
        where "id" = ?
        """,
        [id_],
    ).fetchall()
    if not rows:
        return None
    found, agent_class, chat_id, metadata = rows[0]
    return SessionRow(found, agent_class, chat_id, json.loads(metadata))


def require_session(cursor: Cursor, id_: str) -> SessionRow:
    """The session with this id; raises StoreError when it is gone."""
    session = load_session(cursor, id_)
    if session is None:
        raise StoreError(f"The agent session {id_} is no longer in the store. Create a new one.")
    return session


def merge_session_metadata(
    cursor: Cursor, id_: str, patch: Mapping[str, JSON]
) -> Mapping[str, JSON]:
    """The session's metadata with the patch merged in, key by key, in the store itself."""
    merged = {**require_session(cursor, id_).metadata, **patch}
    cursor.execute(
        'update "agent_sessions" set "metadata" = ?, "updated_at" = ? where "id" = ?',
        [dump_json(merged), utc_now(), id_],
    )
    return merged


def load_usage(cursor: Cursor, chat_id: str) -> Usage:
    """What all requests of a chat used; zeros where there were none, None for what is unknown."""
    rows: list[Any] = cursor.execute(
        """
        with "_sent" as (select * from "requests_priced" where "chat_id" = ?)
        select
          coalesce(sum("input_tokens"), case when count(*) = 0 then 0 end)::bigint,
          coalesce(sum("output_tokens"), case when count(*) = 0 then 0 end)::bigint,
          coalesce(sum("cached_input_tokens"), case when count(*) = 0 then 0 end)::bigint,
          coalesce(sum("cache_write_tokens"), case when count(*) = 0 then 0 end)::bigint,
          coalesce(sum("thinking_tokens"), case when count(*) = 0 then 0 end)::bigint,
          case
            when coalesce(bool_and("is_priced"), true) then coalesce(sum("cost_usd"), 0)
            else sum("cost_usd")
          end::decimal(18, 12)
        from "_sent"
        """,
        [chat_id],
    ).fetchall()
    return Usage(*rows[0])
