"""schema.sql meets a file: applied when it opens, unless the file already has this one.

A file of a newer nbchat is refused before anything is written, one of an older version is
for `migrate`, and tables that only share our names are never touched. Nothing here knows
what a row means.
"""

import hashlib
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from nbchat.errors import NotAStore, StoreTooNew
from nbchat.store.file import Cursor
from nbchat.store.names import KEYS, SIDE_TABLES, VIEWS, TableNames
from nbchat.store.values import utc_now

VERSION = 4
# enough of each table, in every version, to tell it from somebody else's of the same name
MARKS = {
    "nbchat_version": {"tables", "version", "schema_hash"},
    "chats": {"id", "model", "settings", "head_message_id"},
    "messages": {"id", "chat_id", "seq", "turn", "parts"},
    "tool_calls": {"id", "message_id", "tool_call_id", "round"},
    "requests": {"id", "message_id", "attempt", "cost_usd"},
    "agent_sessions": {"id", "agent_class", "chat_id"},
}
# a column that each version brought, for tables made by hand from its schema.sql
BROUGHT = {2: ("chats", "archived_at"), 3: ("tool_calls", "approval"), 4: ("chats", "pinned_at")}


class MigrationDue(Exception):
    """These tables have an older schema; the store migrates them and tries again."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What the version table says: of the newest tables in the file, and of ours."""

    newest: int = 0
    version: int = 0
    schema_hash: str = ""


@cache
def schema_sql() -> str:
    """The text of schema.sql: beside this package in a wheel, at the top of a checkout."""
    package = Path(__file__).parents[1]
    packaged, checkout = package / "schema.sql", package.parent / "schema.sql"
    return (packaged if packaged.exists() else checkout).read_text(encoding="utf-8")


@cache
def schema_hash() -> str:
    """What the version row holds once this schema.sql was applied."""
    return hashlib.sha256(schema_sql().encode()).hexdigest()


def applied_to(cursor: Cursor, names: TableNames, path: str) -> Applied:
    """Which schema these tables have; version 0 when there are none.

    Raises StoreTooNew for a newer nbchat's file, NotAStore for tables that are not ours.
    """
    columns = _columns(cursor)
    _check_marks(columns, names, path)
    applied = _applied(cursor, names) if "nbchat_version" in columns else Applied()
    if applied.newest > VERSION:
        raise StoreTooNew(
            f"{path!r} has schema version {applied.newest}, this nbchat knows {VERSION}. "
            "Upgrade nbchat, or choose another store; the file was not touched."
        )
    _check_whole(columns, names, path)
    if names == TableNames() and names.of("chats") not in columns:
        _check_unnamed(cursor, path)
    if applied.version == 0 and names.of("chats").lower() in columns:
        return replace(applied, version=_version_of(columns, names))
    return applied


def _check_unnamed(cursor: Cursor, path: str) -> None:
    """Refuse to make tables beside those of a store that has them under other names only."""
    schemas = cursor.execute(
        """
        select schema_name, schema_name = current_schema() from duckdb_tables()
        where database_name = current_database() and lower(table_name) = 'nbchat_version'
          and current_schema() = 'main'
        order by all
        """
    ).fetchall()
    for schema, is_here in schemas:
        place = schema.replace('"', '""')
        rows = cursor.execute(
            f'select "tables" from "{place}"."nbchat_version" order by all'
        ).fetchall()
        if rows and is_here:
            raise NotAStore(
                f"{path!r} has its tables under names of its own: its chats are in {rows[0][0]!r}. "
                "Open it with the table_names it was made with."
            )
        if rows:
            raise NotAStore(
                f"{path!r} has its tables in the DuckDB schema {schema!r}. Open it with "
                f"schema={schema!r}."
            )


def _version_of(columns: dict[str, set[str]], names: TableNames) -> int:
    """The version that these tables have the columns of."""
    brought = [
        version
        for version, (table, column) in BROUGHT.items()
        if column in columns[names.of(table).lower()]
    ]
    return max(brought, default=1)


def apply_schema(cursor: Cursor, names: TableNames, path: str) -> None:
    """Leave the file with the current schema under these names; a current one is only read.

    Raises MigrationDue for tables of an older version.
    """
    applied = applied_to(cursor, names, path)
    if 0 < applied.version < VERSION:
        raise MigrationDue
    if applied.schema_hash != schema_hash():
        replay_schema(cursor, names)


def replay_schema(cursor: Cursor, names: TableNames) -> None:
    """Run schema.sql, whose every statement may run again, and write down that it was."""
    tables = names.of("chats")
    cursor.execute(schema_sql())
    cursor.execute('delete from "nbchat_version" where "tables" = ?', [tables])
    cursor.execute(
        'insert into "nbchat_version" values (?, ?, ?, ?)',
        [tables, VERSION, schema_hash(), utc_now()],
    )


def is_current(cursor: Cursor, names: TableNames) -> bool:
    """Whether the file has this schema.sql and all tables, without a look at every column."""
    rows = cursor.execute(
        "select lower(table_name) from duckdb_tables() "
        "where database_name = current_database() and schema_name = current_schema()"
    ).fetchall()
    present = {table for (table,) in rows}
    if not {names.of(name).lower() for name in (*MARKS, *SIDE_TABLES)} <= present:
        return False
    return _applied(cursor, names) == Applied(VERSION, VERSION, schema_hash())


def _columns(cursor: Cursor) -> dict[str, set[str]]:
    rows = cursor.execute(
        "select table_name, column_name from duckdb_columns() "
        "where database_name = current_database() and schema_name = current_schema()"
    ).fetchall()
    columns: dict[str, set[str]] = {}
    for table, column in rows:
        columns.setdefault(table.lower(), set()).add(column.lower())
    return columns


def _applied(cursor: Cursor, names: TableNames) -> Applied:
    rows = cursor.execute(
        'select "version", "schema_hash", "tables" = ? from "nbchat_version"',
        [names.of("chats")],
    ).fetchall()
    newest = max((version for version, _, _ in rows), default=0)
    mine = [(version, applied) for version, applied, is_mine in rows if is_mine]
    return Applied(newest, *mine[0]) if mine else Applied(newest)


def _check_marks(columns: dict[str, set[str]], names: TableNames, path: str) -> None:
    """Refuse what only has our names: in a file without our tables, our views' names too."""
    marks = {names.of(name): marked for name, marked in MARKS.items()}
    found = {name: columns[name.lower()] for name in marks if name.lower() in columns}
    foreign = [name for name in found if not marks[name] <= found[name]]
    if not found:
        others = map(names.of, (*VIEWS, *SIDE_TABLES))
        foreign += [name for name in others if name.lower() in columns]
    if foreign:
        raise NotAStore(
            f"{path!r} already has a table {foreign[0]!r} that is not nbchat's. "
            "Choose another path for the store, or other table_names; the file was not touched."
        )


def _check_whole(columns: dict[str, set[str]], names: TableNames, path: str) -> None:
    """All of these tables or none of them."""
    tables = [names.of(name) for name in KEYS.values()]
    missing = [table for table in tables if table.lower() not in columns]
    if missing and len(missing) < len(tables):
        raise NotAStore(
            f"{path!r} is an nbchat store without its table {missing[0]!r}. "
            "Restore it from a backup, or choose another path or other table_names."
        )
