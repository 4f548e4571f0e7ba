"""Whether a store is whole: every check, what it found, and the repair of what can be repaired.

DuckDB keeps no foreign keys here, so integrity is the store's own and is looked at here. Each
check is one .sql file that selects the rows that are wrong; a repair acts on just those rows.
Money is never changed, and nothing is deleted that belongs to something.
"""

import json
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from nbchat.errors import StoreError
from nbchat.store import spool
from nbchat.store.file import MEMORY, Cursor, StoreFile
from nbchat.store.identity import is_alive
from nbchat.store.trouble import DAMAGED
from nbchat.store.turns import recover
from nbchat.store.values import utc_now

if TYPE_CHECKING:
    import pandas

    from nbchat.store import Store

CHECKS = Path(__file__).with_name("checks")
IDS = 20
CLOCK_LEEWAY = timedelta(minutes=5)
LEFT_BEHIND_S = 3600.0
DTYPES = {
    "check": "string", "rows": "Int64", "repaired": "Int64", "what": "string", "ids": "string",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Check:
    """A question with a .sql file of its name; `repair` is SQL around the rows it finds."""

    name: str
    found: str
    advice: str
    repair: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found; `rows` is None where it could not look."""

    check: str
    rows: int | None
    repaired: int
    what: str
    ids: tuple[str, ...] = ()


class _Damaged(StoreError):
    """A table that cannot be read to its end."""


def _deletes(table: str, column: str = "id") -> str:
    return f"""
    delete from "{table}"
    where "id" in (select "id" from ({{rows}}) as "found" where "{column}" is not null)
    """


def _sets(table: str, column: str, source: str) -> str:
    return f"""
    update "{table}" set "{column}" = "found"."{source}"
    from ({{rows}}) as "found"
    where "{table}"."id" = "found"."id"
    """


ORPHANED = "they belong to nothing, and repair=True deletes them"
DUPLICATE = "repair=True deletes those that are the same, look at the others yourself"
SKEWED = "nothing needs repair, because order is by seq, but look at this machine's clock"
SPOOLED = (
    "their chat is gone or they cannot be read, so take what you need out of them and delete them"
)
CUT = "repair=True removes them"
COPIES = (
    "they hold a copy of everything, also of what was deleted since, so keep only those you need"
)
RECOVER = "recover"
# what is written before it is whole, and what a migration keeps
TEMPORARY = re.compile(r"\.v\d+(\.\d+)?\.part|\.compact(\.wal)?|(\.compact)?\.new")
BACKUP = re.compile(r"\.v\d+(\.\d+)?\.bak")

# duplicates before parents and heads, which may point at what is deleted
IN_THE_STORE = (
    Check("orphaned_messages", "messages without a chat", ORPHANED, _deletes("messages")),
    Check("orphaned_tool_calls", "tool calls without a turn", ORPHANED, _deletes("tool_calls")),
    Check("orphaned_requests", "requests without a chat", ORPHANED, _deletes("requests")),
    Check(
        "orphaned_agent_sessions",
        "sessions of agents without a chat",
        ORPHANED,
        _deletes("agent_sessions"),
    ),
    Check(
        "duplicate_messages",
        "messages in the place of another one",
        DUPLICATE,
        _deletes("messages", "same_as"),
    ),
    Check(
        "duplicate_tool_calls",
        "tool calls in the place of another one",
        DUPLICATE,
        _deletes("tool_calls", "same_as"),
    ),
    Check(
        "duplicate_requests",
        "requests in the place of another one",
        DUPLICATE,
        _deletes("requests", "same_as"),
    ),
    Check(
        "lost_parents",
        "messages that follow none of their chat",
        "repair=True has them follow the message before",
        _sets("messages", "parent_id", "before_id"),
    ),
    Check(
        "lost_heads",
        "chats that go on after a message that is not theirs",
        "repair=True has them go on after their last one",
        _sets("chats", "head_message_id", "last_id"),
    ),
    Check(
        "abandoned_turns",
        "turns that a dead process left pending",
        "repair=True ends them, as opening the store does",
        RECOVER,
    ),
    Check(
        "running_turns",
        "turns that a living process is running",
        "nothing is wrong, they end by themselves",
    ),
    Check(
        "pending_tool_calls",
        "tool calls left pending by a turn that has ended",
        "repair=True marks them as stopped",
        """
        update "tool_calls" set "status" = 'stopped'
        where "id" in (select "id" from ({rows}) as "found")
        """,
    ),
    Check(
        "missing_attachments",
        "messages that name images or files which are gone",
        "nothing can bring them back, so these messages are sent with their words alone",
    ),
    Check(
        "unpriced_requests",
        "requests of unknown cost",
        "money is frozen when it is written and never repaired, so sums leave them out and say so",
    ),
    Check("times_ahead", "rows from the future", SKEWED),
    Check("times_backwards", "rows that ended before they began", SKEWED),
    Check("times_out_of_order", "messages older than the one before them", SKEWED),
)
# worth knowing, but a store that has them is whole
INFORMATION = frozenset(
    {
        "running_turns",
        "unpriced_requests",
        "times_ahead",
        "times_backwards",
        "times_out_of_order",
        "backups",
    }
)


def examine(store: "Store", *, repair: bool = False) -> "pandas.DataFrame":
    """One row per check, always all of them in one order: check, rows, repaired, what, ids.

    `rows` is how many rows are wrong (0 is healthy, NA could not be checked because the file
    is damaged), `repaired` how many of them this call repaired, `what` a sentence with what to
    do, `ids` a JSON list of up to 20 ids (of tables or files where there are no rows).
    """
    try:
        unreadable = _unreadable(store._file, store.schema)
        found = [] if unreadable else _examined(store, repair)
    except StoreError as error:
        unreadable, found = {Path(store.path).name: _damage_in(error, store.path)}, []
    found = found or [_unchecked(check.name) for check in IN_THE_STORE]
    beside = _beside(store, repair=repair and not unreadable)
    return _frame([_damage_finding(unreadable), *found, *beside])


def _frame(findings: Iterable[Finding]) -> "pandas.DataFrame":
    import pandas as pd  # takes longer to load than all of nbchat

    rows = [{**asdict(found), "ids": json.dumps(found.ids)} for found in findings]
    return pd.DataFrame(rows, columns=list(DTYPES)).astype(DTYPES)


@cache
def sql_of(name: str) -> str:
    """The text of a check."""
    return (CHECKS / f"{name}.sql").read_text(encoding="utf-8")


def _unreadable(file: StoreFile, schema: str) -> dict[str, str]:
    """The tables that cannot be read to their end, with what DuckDB said of each.

    Each is read in a transaction of its own, because DuckDB's error ends it.
    """
    tables = file.transact(
        lambda cursor: cursor.execute(sql_of("damage")).fetchall(), schema, writes=False
    )
    unreadable = {}
    for table, statement in tables:
        try:
            file.transact(partial(_read, statement), schema, writes=False)
        except _Damaged as error:
            unreadable[str(table)] = str(error)
            file.release()  # a fatal error leaves DuckDB unusable until the file is opened anew
    return unreadable


def _read(statement: str, cursor: Cursor) -> None:
    try:
        cursor.execute(statement).fetchall()
    except duckdb.Error as error:
        raise _Damaged(str(error).partition("\n")[0]) from error


def _damage_in(error: StoreError, path: str) -> str:
    """What DuckDB said of the damage; any other trouble is raised as it is."""
    said = str(error.__cause__).partition("\n")[0].replace(path, "the file")
    if not any(damaged in said for damaged in DAMAGED):
        raise error
    return said


def _damage_finding(unreadable: Mapping[str, str]) -> Finding:
    if not unreadable:
        return Finding("damage", 0, 0, "Every table can be read to its end.")
    said = next(iter(unreadable.values())).rstrip(".")
    what = (
        f"Tables that cannot be read: {len(unreadable)}; restore a backup, or copy what can still "
        f"be read with COPY FROM DATABASE in DuckDB, which said: {said}."
    )
    return Finding("damage", len(unreadable), 0, what, tuple(unreadable)[:IDS])


def _unchecked(name: str) -> Finding:
    return Finding(name, None, 0, "Not checked, because the file is damaged: see damage.")


def _examined(store: "Store", repair: bool) -> list[Finding]:
    """Every check of the tables in one transaction, each repaired before the next one looks."""

    def look(cursor: Cursor) -> list[Finding]:
        known = {"ended": _ended(cursor), "latest": utc_now() + CLOCK_LEEWAY}
        return [_finding(cursor, check, known, repair) for check in IN_THE_STORE]

    return store.transact(look, writes=repair)


def _ended(cursor: Cursor) -> list[str]:
    """The owners of pending turns whose process has ended."""
    owners = cursor.execute(
        """
        select distinct "owner" from "messages" where "status" = 'pending' and "owner" is not null
        """
    ).fetchall()
    return [owner for (owner,) in owners if not is_alive(owner)]


def _finding(cursor: Cursor, check: Check, known: Mapping[str, Any], repair: bool) -> Finding:
    rows = sql_of(check.name)
    params = {name: value for name, value in known.items() if f"${name}" in rows} or None
    [(count,)] = cursor.execute(f'select count(*) from ({rows}) as "found"', params).fetchall()
    ids: tuple[str, ...] = ()
    repaired = 0
    if count:
        listed = f'select "id"::varchar from ({rows}) as "found" order by "id" limit {IDS}'
        ids = tuple(id_ for (id_,) in cursor.execute(listed, params).fetchall())
        if repair and check.repair is not None:
            repaired = _repair(cursor, check.repair, rows, count)
    return Finding(check.name, count, repaired, _sentence(check, count, repaired), ids)


def _repair(cursor: Cursor, repair: str, rows: str, count: int) -> int:
    if repair == RECOVER:
        recover(cursor)
        return count
    [(repaired,)] = cursor.execute(repair.format(rows=rows)).fetchall()
    return int(repaired)


def _sentence(check: Check, rows: int, repaired: int) -> str:
    if rows == 0:
        return f"No {check.found}."
    found = check.found.capitalize()
    if repaired == rows:
        return f"{found}: {rows}, repaired."
    done = f" ({repaired} repaired)" if repaired else ""
    return f"{found}: {rows}{done}; {check.advice}."


def _beside(store: "Store", *, repair: bool) -> list[Finding]:
    """What lies beside the file: answers, temporary files, backups."""
    tables = store.names.of("chats")
    answers = [place for place in spool.waiting(store._spool) if _is_ours(place, tables)]
    halves = [*_siblings(store.path, TEMPORARY), *sorted(store._spool.glob("*.tmp"))]
    old = [place for place in halves if _is_old(place)]
    backups = _siblings(store.path, BACKUP)
    removed = sum(_is_removed(place) for place in old) if repair else 0
    return [
        _files(Check("spooled_answers", "answers beside the store", SPOOLED), answers),
        _files(Check("temporary_files", "temporary files of a dead process", CUT), old, removed),
        _files(Check("backups", "backups beside the store", COPIES), backups),
    ]


def _files(check: Check, places: list[Path], removed: int = 0) -> Finding:
    names = tuple(str(place) for place in places)[:IDS]
    what = _sentence(check, len(places), removed)
    return Finding(check.name, len(places), removed, what, names)


def _siblings(path: str, ending: re.Pattern[str]) -> list[Path]:
    """The files beside the store that have its name and this ending."""
    if path == MEMORY:
        return []
    place = Path(path)
    return sorted(
        other
        for other in place.parent.iterdir()
        if other.name.startswith(place.name) and ending.fullmatch(other.name[len(place.name) :])
    )


def _is_ours(answer: Path, tables: str) -> bool:
    """Whether this one is for these tables; one that cannot be read is everybody's."""
    try:
        record = json.loads(answer.read_text(encoding="utf-8"))
        return bool(record["tables"] == tables)
    except (OSError, ValueError, KeyError, TypeError):
        return True


def _is_old(place: Path) -> bool:
    """Whether nobody can be at work on it any more; a file that has gone is not."""
    try:
        return time.time() - place.stat().st_mtime > LEFT_BEHIND_S
    except OSError:
        return False


def _is_removed(place: Path) -> bool:
    try:
        if place.is_dir():
            place.joinpath("store.duckdb").unlink(missing_ok=True)
            place.rmdir()
        else:
            place.unlink()
    except OSError:
        return False
    return True
