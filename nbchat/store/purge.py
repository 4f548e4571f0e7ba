"""Old turns leave the store: whole, or only what was said in them while every metric stays.

Two clocks: what was said may have to go long before what it cost. A turn's age is counted
from its beginning; one that is still running, in any process, is never touched. All of it is
one transaction, children first, and only what pointed at a row that goes is pointed elsewhere.
The same is left of a row as `persist` leaves without content.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbchat.errors import ConfigError
from nbchat.store.attachments import drop_unused
from nbchat.store.file import Cursor
from nbchat.store.values import utc_now

if TYPE_CHECKING:
    import pandas

    from nbchat.store import Store

FOLDER = Path(__file__).with_name("purges")
AGE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(min|[hdwy])\s*")
MINUTES_OR_MONTHS = re.compile(r"\s*[\d.]+\s*m\s*")
UNITS = {
    "min": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
    "y": timedelta(days=365),
}
TABLES = ("chats", "messages", "tool_calls", "requests", "agent_sessions")

# rows that still say something, and how they stop doing so
SAYING = {
    "messages": '"content_removed_at" is null',
    "tool_calls": (
        """("arguments"::varchar <> '{}'"""
        """ or coalesce("result", "error", "thought", "thought_signature") is not null)"""
    ),
    "requests": '"error_message" is not null',
}
REDUCED = {
    "messages": """
      "content" = '', "parts" = '[]', "thinking_text" = null, "thinking_signature" = null,
      "raw" = null, "content_removed_at" = $now,
      "error" = case when "error" is not null then json_object('type', "error" ->> 'type') end
    """,
    "tool_calls": """
      "arguments" = '{}', "result" = null, "error" = null, "thought" = null,
      "thought_signature" = null
    """,
    "requests": '"error_message" = null',
}


@dataclass(frozen=True, slots=True)
class Purged:
    """How many rows of each table went, or what was said in them, and which chats."""

    counts: Mapping[str, int]
    chat_ids: frozenset[str] = frozenset()


def purge_turns(
    store: "Store", older_than: timedelta | date | str, *, content_only: bool, dry_run: bool
) -> "pandas.DataFrame":
    """One row: how many rows went, by table, and the time that `older_than` meant."""
    import pandas as pd  # takes longer to load than all of nbchat

    cutoff = cutoff_of(older_than)
    work = _remove_content if content_only else _remove_turns
    purged = store.transact(lambda cursor: work(cursor, cutoff, dry_run), writes=not dry_run)
    if not dry_run:
        store.drop_kept(purged.chat_ids)
    row = {**dict.fromkeys(TABLES, 0), **purged.counts}
    frame = pd.DataFrame([row], columns=list(TABLES)).astype("Int64")
    return frame.assign(older_than=pd.Series([cutoff], dtype="datetime64[us]").dt.tz_localize(UTC))


def cutoff_of(older_than: timedelta | date | str) -> datetime:
    """The time that an age or a time means now, in UTC and without a zone.

    Raises ConfigError for what is neither, and for a time in the future.
    """
    now = utc_now()
    if isinstance(older_than, str) and MINUTES_OR_MONTHS.fullmatch(older_than):
        raise ConfigError(
            f"older_than={older_than!r} may mean minutes or months. Say 'min' for minutes, and "
            "days for months: '180d'."
        )
    try:
        cutoff = _before(now, older_than)
    except (ValueError, TypeError, OverflowError):
        raise ConfigError(
            f"older_than={older_than!r} is no age or time. Give a timedelta, a time, or text such "
            "as '30d', '12h' or '2026-01-31'."
        ) from None
    if not cutoff <= now:
        raise ConfigError(f"older_than={older_than!r} is in the future. Give a time that is past.")
    return cutoff


def _before(now: datetime, older_than: Any) -> datetime:
    if isinstance(older_than, str):
        age = AGE.fullmatch(older_than)
        if age is None:
            return _utc(datetime.fromisoformat(older_than.strip()))
        return now - float(age[1]) * UNITS[age[2]]
    if isinstance(older_than, timedelta):
        return now - older_than
    if isinstance(older_than, datetime):
        return _utc(older_than)
    return datetime.combine(older_than, time())


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


@cache
def _text(name: str) -> str:
    return (FOLDER / f"{name}.sql").read_text(encoding="utf-8")


def _in_old_turns(table: str) -> str:
    turns = (
        f'("chat_id", "turn") in (select "chat_id", "turn" from ({_text("old_turns")}) as "old")'
    )
    if table == "messages":
        return turns
    return f'({turns} or "id" in (select "id" from ({_text("old_orphans")}) as "orphan"))'


def _in_old_chats(column: str) -> str:
    return f'"{column}" in (select "id" from ({_text("old_chats")}) as "gone")'


def _remove_content(cursor: Cursor, cutoff: datetime, dry_run: bool) -> Purged:
    """Reduce the rows of old turns to their metrics; rows that are so already do not count."""
    counts = {}
    for table, saying in SAYING.items():
        where = f"{saying} and {_in_old_turns(table)}"
        counts[table] = _count(cursor, table, where, cutoff)
        if not dry_run and counts[table]:
            params: dict[str, Any] = {"cutoff": cutoff}
            if "$now" in REDUCED[table]:
                params["now"] = utc_now()
            cursor.execute(f'update "{table}" set {REDUCED[table]} where {where}', params)
    if not dry_run:
        cursor.execute(
            f"""
            update "feedback" set "note" = null
            where "note" is not null
              and "message_id" in (select "id" from "messages" where {_in_old_turns("messages")})
            """,
            {"cutoff": cutoff},
        )
    if not dry_run:
        drop_unused(cursor)
    return Purged(counts)


def _remove_turns(cursor: Cursor, cutoff: datetime, dry_run: bool) -> Purged:
    """Delete old turns, and old chats with all that hangs on them."""
    gone = {
        **{
            table: f"({_in_old_turns(table)} or {_in_old_chats('chat_id')})"
            for table in ("tool_calls", "requests", "messages")
        },
        "agent_sessions": _in_old_chats("chat_id"),
        "chats": _in_old_chats("id"),
    }
    chats = cursor.execute(
        f'select "id"::varchar from "chats" where {gone["chats"]}', {"cutoff": cutoff}
    ).fetchall()
    if not dry_run:
        _lead_past(cursor, cutoff)
        cursor.execute(
            f"""
            delete from "feedback"
            where "message_id" in (select "id" from "messages" where {gone["messages"]})
            """,
            {"cutoff": cutoff},
        )
    counts = {}
    for table, where in gone.items():
        counts[table] = _count(cursor, table, where, cutoff)
        if not dry_run and counts[table]:
            cursor.execute(f'delete from "{table}" where {where}', {"cutoff": cutoff})
    if not dry_run:
        drop_unused(cursor)
    return Purged(counts, frozenset(id_ for (id_,) in chats))


def _count(cursor: Cursor, table: str, where: str, cutoff: datetime) -> int:
    [(count,)] = cursor.execute(
        f'select count(*) from "{table}" where {where}', {"cutoff": cutoff}
    ).fetchall()
    return int(count)


def _lead_past(cursor: Cursor, cutoff: datetime) -> None:
    """Have branches and chats go on after what stays where they would after what goes."""
    heirs = _text("heirs").format(old_turns=_text("old_turns"))
    for table, column, chat, heir in (
        ("messages", "parent_id", "chat_id", '"heir_id"'),
        ("chats", "head_message_id", "id", 'coalesce("heir_id", "last_id")'),
    ):
        cursor.execute(
            f"""
            update "{table}" set "{column}" = {heir} from ({heirs}) as "_gone"
            where "{table}"."{column}" = "_gone"."id" and "{table}"."{chat}" = "_gone"."chat_id"
            """,
            {"cutoff": cutoff},
        )
