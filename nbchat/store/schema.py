"""schema.sql meets a file: applied when it opens, unless the file already has this one.

A file of a newer nbchat is refused before anything is written, and tables that only share
our names are never touched. Nothing here knows what a row means.
"""

import hashlib
from functools import cache
from pathlib import Path

from nbchat.errors import NotAStore, StoreTooNew
from nbchat.store.file import Cursor
from nbchat.store.names import KEYS, VIEWS, TableNames
from nbchat.store.values import utc_now

VERSION = 1
# enough of each table to tell it from somebody else's of the same name
MARKS = {
    "nbchat_version": {"tables", "version", "schema_hash"},
    "chats": {"id", "model", "settings", "head_message_id"},
    "messages": {"id", "chat_id", "seq", "turn", "parts"},
    "tool_calls": {"id", "message_id", "tool_call_id", "round"},
    "requests": {"id", "message_id", "attempt", "cost_usd"},
    "agent_sessions": {"id", "agent_class", "chat_id"},
}


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


def apply_schema(cursor: Cursor, names: TableNames, path: str) -> None:
    """Leave the file with the current schema under these names; a current one is only read."""
    columns = _columns(cursor)
    _check_marks(columns, names, path)
    version, applied = _version(cursor, names) if "nbchat_version" in columns else (0, "")
    if version > VERSION:
        raise StoreTooNew(
            f"{path!r} has schema version {version}, this nbchat knows {VERSION}. "
            "Upgrade nbchat, or choose another store; the file was not touched."
        )
    _check_whole(columns, names, path)
    if applied == schema_hash():
        return
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
        "select lower(table_name) from duckdb_tables() where database_name = current_database()"
    ).fetchall()
    present = {table for (table,) in rows}
    if not {names.of(name).lower() for name in MARKS} <= present:
        return False
    return _version(cursor, names) == (VERSION, schema_hash())


def _columns(cursor: Cursor) -> dict[str, set[str]]:
    rows = cursor.execute(
        "select table_name, column_name from duckdb_columns() "
        "where database_name = current_database() and schema_name = current_schema()"
    ).fetchall()
    columns: dict[str, set[str]] = {}
    for table, column in rows:
        columns.setdefault(table.lower(), set()).add(column.lower())
    return columns


def _version(cursor: Cursor, names: TableNames) -> tuple[int, str]:
    """The newest schema version in the file, and the hash that this set of tables has."""
    rows = cursor.execute(
        'select "version", "schema_hash", "tables" = ? from "nbchat_version"',
        [names.of("chats")],
    ).fetchall()
    newest = max((version for version, _, _ in rows), default=0)
    return newest, next((applied for _, applied, mine in rows if mine), "")


def _check_marks(columns: dict[str, set[str]], names: TableNames, path: str) -> None:
    """Refuse what only has our names: in a file without our tables, our views' names too."""
    marks = {names.of(name): marked for name, marked in MARKS.items()}
    found = {name: columns[name.lower()] for name in marks if name.lower() in columns}
    foreign = [name for name in found if not marks[name] <= found[name]]
    if not found:
        foreign += [names.of(view) for view in VIEWS if names.of(view).lower() in columns]
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
