"""Ad hoc SQL: exactly one harmless question, checked before it runs and locked down then.

DuckDB's own lock-down is not enough: with the store attached read-only and external access
off, a COPY hidden in a SELECT overwrote the store's file. So the statement's tree is read
first and only query nodes pass; then it runs in a fresh instance, on a read-only attachment.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar
from unicodedata import category

import duckdb

from nbchat.errors import SqlRefused, StoreError
from nbchat.store.file import LOCKDOWN, MAIN, MEMORY, Cursor, StoreFile, place_of
from nbchat.store.frames import frame_of

if TYPE_CHECKING:
    import pandas

T = TypeVar("T")

NODES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
# every other table function reads files, runs SQL hidden in a string, or has an effect
TABLE_FUNCTIONS = {
    "duckdb_columns", "duckdb_databases", "duckdb_functions", "duckdb_keywords", "duckdb_schemas",
    "duckdb_tables", "duckdb_types", "duckdb_views", "generate_series", "histogram",
    "histogram_values", "json_each", "json_tree", "pragma_table_info", "pragma_version", "range",
    "repeat", "repeat_row", "summary", "unnest",
}  # fmt: skip
# functions and views that tell or change what belongs to the instance, not to the store
SETTINGS = {"current_setting", "duckdb_settings", "getenv", "pg_settings", "write_log"}
# categories of characters that DuckDB may take for a space
BLANK = {"Cc", "Cf", "Zl", "Zp", "Zs"}
WRITERS = {"insert", "update", "delete", "truncate", "create", "attach", "install", "load", "set"}
# only what is sure to be EXPLAIN's own may be cut off before the rest is checked
EXPLAIN = re.compile(
    r"\s*explain\b(\s*analyze\b|\s*\((\s*,?\s*(analyze|format\s+\w+))+\s*\))?", re.IGNORECASE
)


def ask_sql(
    file: StoreFile,
    sql: str,
    frames: Mapping[str, Any] | None = None,
    params: Any = None,
    schema: str = MAIN,
) -> "pandas.DataFrame":
    """The answer to one read-only question about the store, as a frame.

    Raises SqlRefused for anything that is not one SELECT, EXPLAIN, DESCRIBE, SHOW,
    SUMMARIZE or PIVOT, or that would write, reach files or run hidden SQL.
    """
    sql = plain(sql)  # what is checked is what runs
    check_sql(sql)
    if file.path == MEMORY:
        return file.transact(
            lambda cursor: _run_beside(cursor, sql, frames or {}, params, schema), schema
        )
    with file.set_aside(), file.fresh_instance(read_only=True) as database:
        database.execute(f"use {place_of(schema)}")
        database.execute(LOCKDOWN)
        database.execute("begin transaction read only")
        return _run(database, sql, frames or {}, params)


def _run_beside(
    cursor: Cursor, sql: str, frames: Mapping[str, Any], params: Any, schema: str
) -> "pandas.DataFrame":
    """As `_run`, for an in-memory store, whose whole instance was locked down when it began."""
    with cursor.cursor() as database:
        database.execute(f"use {place_of(schema)}")
        database.execute("begin transaction read only")
        return _run(database, sql, frames, params)


def _run(database: Cursor, sql: str, frames: Mapping[str, Any], params: Any) -> "pandas.DataFrame":
    taken = {
        name.lower()
        for (name,) in database.execute(
            "select table_name from duckdb_tables() union all select view_name from duckdb_views() "
            "where not internal"
        ).fetchall()
    }
    for name, frame in frames.items():
        if name.lower() in taken:
            raise SqlRefused(f"A frame named {name!r} would hide the store's own. Rename it.")
        try:
            database.register(name, frame)
        except duckdb.Error as error:
            raise SqlRefused(f"{name!r} is not a frame: {error}") from error
    try:
        return interruptible(database, lambda: frame_of(database, sql, params))
    except duckdb.Error as error:
        raise SqlRefused(f"The store cannot answer this: {error}") from error


def interruptible(database: Cursor, work: Callable[[], T]) -> T:
    """What `work` returns; Ctrl-C stops the query, which DuckDB itself does not hear."""
    outcome: list[T | BaseException] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=run, name="nbchat-sql", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(0.2)
    except BaseException:
        while thread.is_alive():  # the first may come before the query has begun
            database.interrupt()
            thread.join(0.05)
        raise
    result = outcome[0]
    if isinstance(result, BaseException):
        raise result
    return result


def check_sql(sql: str) -> None:
    """Raise SqlRefused unless this is one question that only reads; `sql` is plain."""
    # not duckdb's own functions, whose hidden instance would outlive a fork badly
    with duckdb.connect(MEMORY) as database:
        kind = _only_kind(database, sql)
        if ("copy", False) in _words(sql):
            raise SqlRefused("COPY is not allowed here: questions only read.")
        if settings := SETTINGS & {word for word, _ in _words(sql)}:
            raise SqlRefused(f"{min(settings)} is not allowed here: settings are not the store's.")
        if kind == "MULTI":
            _check_pivot(database, sql)
        elif kind == "EXPLAIN":
            _check_tree(database, sql[_explained_at(sql) :])
        elif kind == "SELECT":
            _check_tree(database, sql)
        else:
            raise SqlRefused(
                f"This is not a question but {kind}. Write one SELECT, EXPLAIN, DESCRIBE, SHOW, "
                "SUMMARIZE or PIVOT; in Python, nbchat.sql(..., write=True) runs anything."
            )


def _only_kind(database: Cursor, sql: str) -> str:
    """The kind of the only statement."""
    try:
        statements = database.extract_statements(sql)
    except duckdb.Error as error:
        raise SqlRefused(f"This is not SQL that DuckDB can read: {error}") from error
    if len(statements) != 1:
        raise SqlRefused(f"Ask one question at a time; this is {len(statements)} statements.")
    try:
        return statements[0].type.name
    except ValueError:  # a kind that DuckDB's Python side has no name for
        return "another statement"


def _tokens(sql: str) -> Iterator[tuple[str, duckdb.token_type]]:
    """The statement in pieces that add up to it, each with its kind."""
    held = sql.encode()  # DuckDB counts bytes
    tokens = [(0, duckdb.token_type.operator), *duckdb.tokenize(sql)]
    ends = [*(start for start, _ in tokens[1:]), len(held)]
    for (start, kind), end in zip(tokens, ends, strict=True):
        yield held[start:end].decode(), kind


def plain(sql: str) -> str:
    """The same SQL with blanks for comments and odd spaces, so that nothing hides in them."""
    try:
        return "".join(_plain_piece(text, kind) for text, kind in _tokens(sql))
    except UnicodeError as error:
        raise SqlRefused(f"This is not SQL that DuckDB can read: {error}") from error


def _plain_piece(text: str, kind: duckdb.token_type) -> str:
    if kind == duckdb.token_type.comment:
        return re.sub(r"\S", " ", text)
    if kind == duckdb.token_type.string_const or text.startswith('"'):
        return text
    return "".join(" " if category(char) in BLANK and char != "\n" else char for char in text)


def _words(sql: str) -> list[tuple[str, bool]]:
    """Every piece that is no string, lower case, without its quotes, and whether it had any."""
    pieces = [(text.strip(), kind) for text, kind in _tokens(sql)]
    return [
        (piece.strip('"').lower(), piece.startswith('"'))
        for piece, kind in pieces
        if kind != duckdb.token_type.string_const
    ]


def _explained_at(sql: str) -> int:
    match = EXPLAIN.match(sql)
    if match is None:
        raise SqlRefused("Write EXPLAIN, EXPLAIN ANALYZE or EXPLAIN (FORMAT json) before a SELECT.")
    return match.end()


def _check_pivot(database: Cursor, sql: str) -> None:
    """Check the words, for a PIVOT whose columns are data has no tree to look at."""
    words = [word for word, _ in _words(sql)]
    writers = WRITERS & set(words)
    if writers:
        raise SqlRefused(
            f"{min(writers).upper()} is not allowed beside PIVOT: questions only read."
        )
    called = {word for word, after in pairwise(words) if after == "("}
    known = database.execute(
        "select function_name from duckdb_functions() "
        "where function_type in ('table', 'table_macro', 'pragma')"
    ).fetchall()
    for (name,) in known:
        if name in called:
            _check_function(name)


def _check_tree(database: Cursor, sql: str) -> None:
    row = database.execute("select json_serialize_sql(?::varchar)", [sql]).fetchone()
    tree = json.loads(row[0]) if row else {"error": True}
    if tree["error"]:
        raise SqlRefused(f"This cannot be checked, so it is not run: {tree.get('error_message')}")
    for node in _objects(tree):
        kind = str(node.get("type", ""))
        if kind.endswith("_NODE") and kind not in NODES:
            raise SqlRefused(
                f"{kind.partition('_')[0]} is hidden in this statement; questions only read."
            )
        if kind == "TABLE_FUNCTION":
            _check_function(node["function"]["function_name"])


def _check_function(name: str) -> None:
    if name.lower() not in TABLE_FUNCTIONS:
        raise SqlRefused(
            f"{name}() is not allowed here: questions read the store's tables, no files and no "
            "settings, and run no other SQL."
        )


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _objects(item)


def run_sql(
    file: StoreFile, sql: str, params: Any = None, schema: str = MAIN
) -> "pandas.DataFrame":
    """Run any SQL on the store in one transaction; the rows of its last statement."""
    if not sql.strip():
        raise StoreError("There is no SQL to run.")
    return file.transact(lambda cursor: frame_of(cursor, sql, params), schema)
