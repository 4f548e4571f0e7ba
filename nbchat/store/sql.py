"""Ad hoc SQL: a question is checked, then run locked down and within its limits.

A question about a file runs in a fresh instance of DuckDB, on a read-only attachment, that
can open no other file. What a harmless question is, the question module knows.
"""

import contextlib
import math
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb

from nbchat.errors import ConfigError, SqlRefused, StoreError
from nbchat.store.file import LOCKDOWN, MAIN, MEMORY, Cursor, StoreFile, place_of
from nbchat.store.frames import frame_of
from nbchat.store.question import check_sql, check_whole, plain

if TYPE_CHECKING:
    import pandas

T = TypeVar("T")

# as DuckDB reads it; zero would be no memory at all
SIZE = re.compile(r"(?=.*[1-9])\d+(\.\d+)?\s*([KMGT]i?)?B", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one question may take; None is as much as it wants."""

    max_rows: int | None = None
    timeout_s: float | None = None
    max_memory: str | None = None


UNLIMITED = Limits()


def limits_of(
    max_rows: int | None = None,
    timeout: float | None = None,
    max_memory: str | int | None = None,
) -> Limits:
    """The limits a caller named. Raises ConfigError for one that makes no sense."""
    if max_rows is not None and (not _is_whole(max_rows) or not 0 < max_rows < sys.maxsize):
        raise ConfigError(f"max_rows={max_rows!r} is not a number of rows. Give 1 or more.")
    if timeout is not None and not _is_duration(timeout):
        raise ConfigError(f"timeout={timeout!r} is not a time. Give seconds, more than 0.")
    size = f"{max_memory}B" if _is_whole(max_memory) else max_memory
    if size is not None and not (isinstance(size, str) and SIZE.fullmatch(size)):
        raise ConfigError(
            f"max_memory={max_memory!r} is not a size. Give bytes, or text such as '512MB'."
        )
    return Limits(max_rows, timeout, size)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_duration(value: Any) -> bool:
    return (_is_whole(value) or isinstance(value, float)) and 0 < value < threading.TIMEOUT_MAX


def ask_sql(
    file: StoreFile,
    sql: str,
    frames: Mapping[str, Any] | None = None,
    params: Any = None,
    schema: str = MAIN,
    *,
    limits: Limits = UNLIMITED,
) -> "pandas.DataFrame":
    """The answer to one read-only question about the store, as a frame.

    Raises SqlRefused for anything that is not one SELECT, EXPLAIN, DESCRIBE, SHOW,
    SUMMARIZE or PIVOT, or that would write, reach files or run hidden SQL, and for an answer
    beyond the limits.
    """
    _check_given(sql, params)
    if frames is not None and not _is_named(frames):
        raise ConfigError("frames does not map names to frames. Give it as {'people': frame}.")
    sql = plain(sql)  # what is checked is what runs
    check_sql(sql)

    def ask(database: Cursor) -> "pandas.DataFrame":
        return _run(database, sql, frames or {}, params, limits)

    if file.path == MEMORY:
        if limits.max_memory is not None:
            raise ConfigError(
                "max_memory is for stores in files: one in memory shares its own with every "
                "question. Leave it out, or open the store at a path."
            )
        return file.transact(lambda cursor: _ask_beside(cursor, ask, schema), schema)
    with file.set_aside(), file.fresh_instance(read_only=True) as database:
        _lock_down(database, schema, limits)
        return ask(database)


def _is_named(frames: Any) -> bool:
    return isinstance(frames, Mapping) and all(isinstance(name, str) for name in frames)


def _check_given(sql: Any, params: Any) -> None:
    if not isinstance(sql, str):
        raise ConfigError(f"{sql!r} is not SQL. Give it as text.")
    if params is not None and (isinstance(params, str) or not isinstance(params, Iterable)):
        raise ConfigError(
            f"params={params!r} is no list of values. Give one for every ? in the SQL, or a "
            "mapping for $names."
        )


def _lock_down(database: Cursor, schema: str, limits: Limits) -> None:
    try:
        database.execute(f"use {place_of(schema)}")
        if limits.max_memory is not None:
            database.execute(f"set memory_limit = '{limits.max_memory}'")
        database.execute(LOCKDOWN)
        database.execute("begin transaction read only")
    except duckdb.OutOfMemoryException as error:
        raise _too_big(limits) from error


def _ask_beside(
    cursor: Cursor, ask: Callable[[Cursor], "pandas.DataFrame"], schema: str
) -> "pandas.DataFrame":
    """As in a file, for an in-memory store, whose whole instance was locked down at its start."""
    with cursor.cursor() as database:
        database.execute(f"use {place_of(schema)}")
        database.execute("begin transaction read only")
        return ask(database)


def _run(
    database: Cursor, sql: str, frames: Mapping[str, Any], params: Any, limits: Limits
) -> "pandas.DataFrame":
    try:
        _register(database, frames)
        return _within(database, sql, params, limits)
    except duckdb.OutOfMemoryException as error:
        raise _too_big(limits) from error
    except duckdb.Error as error:
        raise SqlRefused(f"The store cannot answer this: {error}") from error


def _register(database: Cursor, frames: Mapping[str, Any]) -> None:
    # of any schema: a frame comes before another schema's table too, as main.name
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


def _within(database: Cursor, sql: str, params: Any, limits: Limits) -> "pandas.DataFrame":
    """The rows, fetched within the limits; never more of them than it takes to know."""
    at_most = None if limits.max_rows is None else limits.max_rows + 1
    frame = interruptible(
        database, lambda: frame_of(database, sql, params, at_most), limits.timeout_s
    )
    if limits.max_rows is not None and len(frame) > limits.max_rows:
        raise SqlRefused(
            f"The answer has more rows than the {limits.max_rows} allowed. Add a LIMIT, or "
            "aggregate."
        )
    return frame


def _too_big(limits: Limits) -> SqlRefused:
    size = "there is" if limits.max_memory is None else f"the {limits.max_memory} allowed"
    return SqlRefused(
        f"The question needs more memory than {size}. Ask about fewer rows or columns at once."
    )


def interruptible(database: Cursor, work: Callable[[], T], timeout_s: float | None = None) -> T:
    """What `work` returns; Ctrl-C stops the query, which DuckDB itself does not hear.

    Raises SqlRefused when it takes longer than `timeout_s`, after it has stopped.
    """
    outcome: list[T | BaseException] = []
    done = threading.Event()  # a join that Ctrl-C breaks off takes the thread for ended

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:
            outcome.append(error)
        finally:
            done.set()

    thread = threading.Thread(target=run, name="nbchat-sql", daemon=True)
    end = math.inf if timeout_s is None else time.monotonic() + timeout_s
    thread.start()
    try:
        while not done.is_set():
            if time.monotonic() >= end:
                raise SqlRefused(
                    f"The question took longer than the {timeout_s:g} seconds allowed. Ask about "
                    "less, or allow more."
                )
            done.wait(min(0.2, max(end - time.monotonic(), 0)))
    except BaseException:
        _interrupt(database, done)
        raise
    result = outcome[0]
    if isinstance(result, BaseException):
        raise result
    return result


def _interrupt(database: Cursor, done: threading.Event) -> None:
    """Stop the query and wait until it has, however often Ctrl-C is pressed meanwhile."""
    while not done.is_set():
        with contextlib.suppress(KeyboardInterrupt):
            database.interrupt()  # the first may come before the query has begun
            done.wait(0.05)


def run_sql(
    file: StoreFile,
    sql: str,
    params: Any = None,
    schema: str = MAIN,
    *,
    limits: Limits = UNLIMITED,
) -> "pandas.DataFrame":
    """Run any SQL on the store in one transaction; the rows of its last statement.

    Beyond a limit nothing stays written. Raises SqlRefused for SQL that begins or ends a
    transaction itself, or detaches the store.
    """
    _check_given(sql, params)
    if not sql.strip():
        raise StoreError("There is no SQL to run.")
    if limits.max_memory is not None:
        raise ConfigError("max_memory is for questions that only read. Leave it or write out.")

    def work(cursor: Cursor) -> "pandas.DataFrame":
        check_whole(cursor, sql)
        return _within(cursor, sql, params, limits)

    return file.transact(work, schema)
