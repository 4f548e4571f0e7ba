"""The store: the DuckDB file that holds every chat. The only room that knows DuckDB.

`open_store` gives one `Store` per file and process; everything else reads and writes
through its transactions.
"""

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from nbchat.errors import ConfigError
from nbchat.store.file import MEMORY, Cursor, StoreFile
from nbchat.store.schema import apply_schema, is_current
from nbchat.store.sql import ask_sql, run_sql
from nbchat.store.turns import recover

if TYPE_CHECKING:
    import pandas

T = TypeVar("T")
StoreLike = "Store | str | os.PathLike[str] | None"

_stores: dict[str, "Store"] = {}
_stores_lock = threading.Lock()


class Store:
    """A DuckDB file of chats, shared with every other process that opens it.

    A context manager; closing is optional and lets go of the file, which is attached again
    when it is next used. `":memory:"` keeps nothing.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._file = StoreFile(path, self._prepare)

    def _prepare(self, cursor: Cursor, fresh: bool) -> None:
        # another process may have upgraded or replaced the file since this one last had it
        if fresh or not is_current(cursor):
            apply_schema(cursor, self.path)
        recover(cursor)

    def transact(self, work: Callable[[Cursor], T]) -> T:
        """What `work` returns, all of its writes committed or none."""
        return self._file.transact(work)

    def sql(
        self,
        sql: str,
        params: Any = None,
        *,
        frames: Mapping[str, Any] | None = None,
        write: bool = False,
    ) -> "pandas.DataFrame":
        """The answer to one read-only question about the store, as a frame.

        `frames` are pandas frames the SQL may name. `write=True` runs any SQL instead, in
        one transaction, without the lock-down. Raises SqlRefused.
        """
        if write:
            return run_sql(self._file, sql, params)
        return ask_sql(self._file, sql, frames, params)

    def close(self) -> None:
        """Let go of the file now."""
        self._file.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Store({self.path!r})"


def open_store(path: "Store | str | os.PathLike[str] | None" = None) -> Store:
    """The store at `path`, created if there is none: NBCHAT_DB, else ./nbchat.duckdb.

    Turns that dead processes left are ended here. `":memory:"` is a new store every time.
    Raises NotAStore for a file that is not one, StoreTooNew for a newer nbchat's.
    """
    if isinstance(path, Store):
        return path
    place = path if path is not None else os.environ.get("NBCHAT_DB", "nbchat.duckdb")
    place = os.fspath(place) if isinstance(place, os.PathLike) else place
    if not isinstance(place, str) or not place:
        raise ConfigError(f"{place!r} is not a path for a store. Give a file name, or ':memory:'.")
    if place == MEMORY:
        store = Store(MEMORY)
    else:
        place = str(Path(place).expanduser().resolve())
        with _stores_lock:
            store = _stores.get(place) or _stores.setdefault(place, Store(place))
    store.transact(recover)
    return store
