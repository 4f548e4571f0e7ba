"""Whether SQL is one harmless question, or at least one transaction, told before anything runs.

Only query nodes in the statement's tree pass. DuckDB's own lock-down is not enough: it lets
SQL write to the file that is attached, and takes a hidden COPY for a SELECT.
This module knows no store and keeps no connection.
"""

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any
from unicodedata import category

import duckdb

from nbchat.errors import SqlRefused
from nbchat.store.file import MEMORY, Cursor

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
# in characters; DuckDB's parser takes minutes over some longer or deeper ones, unstoppably
LONGEST = 100_000
DEEPEST = 100
DEEPEST_WITH = 5
# only what is sure to be EXPLAIN's own may be cut off before the rest is checked
EXPLAIN = re.compile(
    r"\s*explain\b(\s*analyze\b|\s*\((\s*,?\s*(analyze|format\s+\w+))+\s*\))?", re.IGNORECASE
)


def check_sql(sql: str) -> None:
    """Raise SqlRefused unless this is one question that only reads; `sql` is plain."""
    _check_nesting(sql)
    # not duckdb's own functions, whose hidden instance would outlive a fork badly
    with duckdb.connect(MEMORY) as database:
        kind = _only_kind(database, sql)
        if ("copy", False) in _words(sql):
            raise SqlRefused("COPY is not allowed here: questions only read.")
        if settings := _settings(database, [word for word, _ in _words(sql)]):
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


def check_whole(cursor: Cursor, sql: str) -> None:
    """Raise SqlRefused if SQL that may write would end its transaction or let go of the store."""
    for statement in cursor.extract_statements(sql):
        kind = _kind_of(statement)
        if kind == "TRANSACTION":
            raise SqlRefused(
                "BEGIN, COMMIT and ROLLBACK are not allowed here: write=True is one transaction. "
                "Leave them out, or call once for each."
            )
        if kind == "DETACH" and "store" in {word for word, _ in _words(statement.query)}:
            raise SqlRefused("DETACH of the store is not allowed here: close() lets go of it.")


def _check_nesting(sql: str) -> None:
    # whether a WITH was seen, for each bracket that is open
    withs = [False]
    for word, is_quoted in _words(sql):
        if word in {"(", "[", "{"}:
            withs.append(False)
        elif word in {")", "]", "}"} and len(withs) > 1:
            withs.pop()
        elif word == "with" and not is_quoted:
            withs[-1] = True
        if len(withs) > DEEPEST + 1 or sum(withs) > DEEPEST_WITH:
            raise SqlRefused(
                f"This is nested too deep: at most {DEEPEST} brackets, and {DEEPEST_WITH} WITHs."
            )


def _only_kind(database: Cursor, sql: str) -> str:
    """The kind of the only statement."""
    try:
        statements = database.extract_statements(sql)
    except duckdb.Error as error:
        raise SqlRefused(f"This is not SQL that DuckDB can read: {error}") from error
    if len(statements) != 1:
        raise SqlRefused(f"Ask one question at a time; this is {len(statements)} statements.")
    return _kind_of(statements[0])


def _kind_of(statement: duckdb.Statement) -> str:
    try:
        return statement.type.name
    except ValueError:  # a kind that DuckDB's Python side has no name for
        return "another statement"


def _settings(database: Cursor, words: list[str]) -> set[str]:
    """What these words name of the settings, for SHOW takes their names as well as tables'."""
    shown = {after for word, after in pairwise(words) if word == "show"}
    if shown:
        known = database.execute(
            "select lower(unnest([name] || aliases)) from duckdb_settings()"
        ).fetchall()
        shown &= {name for (name,) in known}
    return shown | SETTINGS & set(words)


def _tokens(sql: str) -> Iterator[tuple[str, duckdb.token_type]]:
    """The statement in pieces that add up to it, each with its kind."""
    held = sql.encode()  # DuckDB counts bytes
    tokens = [(0, duckdb.token_type.operator), *duckdb.tokenize(sql)]
    ends = [*(start for start, _ in tokens[1:]), len(held)]
    for (start, kind), end in zip(tokens, ends, strict=True):
        yield held[start:end].decode(), kind


def plain(sql: str) -> str:
    """The same SQL with blanks for comments and odd spaces, so that nothing hides in them."""
    if len(sql) > LONGEST:
        raise SqlRefused(
            f"This SQL has {len(sql):,} characters; at most {LONGEST:,} are read. Give long "
            "values as params, and lists as frames."
        )
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
    pieces = _words(sql)
    words = [word for word, _ in pieces]
    writers = WRITERS & {word for word, is_quoted in pieces if not is_quoted}
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
    try:
        tree = json.loads(row[0]) if row else {"error": True}
    except RecursionError as error:
        raise SqlRefused("This has too many parts inside one another to be checked.") from error
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


def _objects(tree: Any) -> Iterator[dict[str, Any]]:
    left = [tree]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            yield value
            left.extend(value.values())
        elif isinstance(value, list):
            left.extend(value)
