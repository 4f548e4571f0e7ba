"""Ad hoc SQL: exactly one harmless question, checked before it runs and locked down then.

DuckDB's own lock-down is not enough: with the store attached read-only and external access
off, a COPY hidden in a SELECT overwrote the store's file. So the statement's tree is read
first and only query nodes pass; then it runs in a fresh instance, on a read-only attachment.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb

from nbchat.errors import SqlRefused, StoreError
from nbchat.store.file import LOCKDOWN, MEMORY, Cursor, StoreFile
from nbchat.store.frames import frame_of

if TYPE_CHECKING:
    import pandas

T = TypeVar("T")

NODES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
# functions that run SQL hidden in a string
EVALUATORS = {"query", "json_execute_serialized_sql"}
EXPLAIN = re.compile(r"\s*explain\s+(analyze\s+|\([^)]*\)\s*)?", re.IGNORECASE)


def ask_sql(
    file: StoreFile, sql: str, frames: Mapping[str, Any] | None = None, params: Any = None
) -> "pandas.DataFrame":
    """The answer to one read-only question about the store, as a frame.

    Raises SqlRefused for anything that is not one SELECT, EXPLAIN, DESCRIBE, SHOW,
    SUMMARIZE or PIVOT, or that would write, reach files or run hidden SQL.
    """
    check_sql(sql)
    if file.path == MEMORY:
        return file.transact(lambda cursor: _run_beside(cursor, sql, frames or {}, params))
    with file.set_aside(), duckdb.connect(MEMORY) as database:
        place = file.path.replace("'", "''")
        database.execute(f"attach '{place}' as store (read_only)")
        database.execute("use store")
        database.execute(LOCKDOWN)
        database.execute("begin transaction read only")
        return _run(database, sql, frames or {}, params)


def _run_beside(
    cursor: Cursor, sql: str, frames: Mapping[str, Any], params: Any
) -> "pandas.DataFrame":
    """As `_run`, for an in-memory store, whose whole instance was locked down when it began."""
    with cursor.cursor() as database:
        database.execute("use store")
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
        database.register(name, frame)
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
        database.interrupt()
        thread.join()
        raise
    result = outcome[0]
    if isinstance(result, BaseException):
        raise result
    return result


def check_sql(sql: str) -> None:
    """Raise SqlRefused unless this is exactly one question that only reads."""
    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as error:
        raise SqlRefused(f"This is not SQL that DuckDB can read: {error}") from error
    if len(statements) != 1:
        raise SqlRefused(f"Ask one question at a time; this is {len(statements)} statements.")
    kind = statements[0].type.name
    words = set(_words(sql))
    if hidden := words & {"copy", *EVALUATORS}:
        raise SqlRefused(f"{sorted(hidden)[0]!r} is not allowed here: questions only read.")
    if kind == "MULTI":
        _check_pivot(words)
    elif kind == "EXPLAIN":
        _check_tree(sql[_explained_at(sql) :])
    elif kind == "SELECT":
        _check_tree(sql)
    else:
        raise SqlRefused(
            f"A {kind} statement is not a question. Write one SELECT, EXPLAIN, DESCRIBE, SHOW, "
            "SUMMARIZE or PIVOT; in Python, nbchat.sql(..., write=True) runs anything."
        )


def _words(sql: str) -> Iterator[str]:
    """Every name and keyword of the statement, lower case, quotes taken off."""
    tokens = duckdb.tokenize(sql)
    for (start, kind), (end, _) in zip(tokens, [*tokens[1:], (len(sql), None)], strict=True):
        if kind != duckdb.token_type.comment:
            yield sql[start:end].strip().strip("\"'").lower()


def _explained_at(sql: str) -> int:
    match = EXPLAIN.match(sql)
    if match is None:
        raise SqlRefused("Start with EXPLAIN itself; a comment before it is not read.")
    return match.end()


def _check_pivot(words: set[str]) -> None:
    # a PIVOT whose columns are data cannot be serialized; its words are all there is to check
    for word in ("insert", "update", "delete", "create", "attach", "install", "load", "set"):
        if word in words:
            raise SqlRefused(f"{word.upper()} is not allowed beside PIVOT: questions only read.")


def _check_tree(sql: str) -> None:
    with duckdb.connect(MEMORY) as database:
        row = database.execute("select json_serialize_sql(?::varchar)", [sql]).fetchone()
    tree = json.loads(row[0]) if row else {"error": True}
    if tree["error"]:
        raise SqlRefused(f"This cannot be checked, so it is not run: {tree.get('error_message')}")
    for node in _objects(tree):
        kind = str(node.get("type", ""))
        if kind.endswith("_NODE") and kind not in NODES:
            raise SqlRefused(
                f"A {kind.partition('_')[0]} is hidden in this statement; questions only read."
            )
        if str(node.get("function_name", "")).lower() in EVALUATORS:
            raise SqlRefused(f"{node['function_name']}() runs hidden SQL and is not allowed here.")


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _objects(item)


def run_sql(file: StoreFile, sql: str, params: Any = None) -> "pandas.DataFrame":
    """Run any SQL on the store in one transaction; the rows of its last statement."""
    if not sql.strip():
        raise StoreError("There is no SQL to run.")
    return file.transact(lambda cursor: frame_of(cursor, sql, params))
