"""The store: the DuckDB file that holds every chat. The only room that knows DuckDB.

`open_store` gives one `Store` per file and process; everything else reads and writes
through its transactions.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from nbchat.errors import ConfigError, StoreError
from nbchat.messages import Message
from nbchat.store import spool
from nbchat.store.file import MEMORY, Cursor, StoreFile
from nbchat.store.names import TableNames, table_names_of
from nbchat.store.schema import apply_schema, is_current
from nbchat.store.sql import ask_sql, run_sql
from nbchat.store.turns import RequestRow, recover

if TYPE_CHECKING:
    import pandas

T = TypeVar("T")

_files: dict[str, StoreFile] = {}
_stores: dict[tuple[str, TableNames], "Store"] = {}
_opening = threading.Lock()
if hasattr(os, "register_at_fork"):
    # a child must not inherit it locked by a thread that it does not have
    os.register_at_fork(
        before=_opening.acquire, after_in_parent=_opening.release, after_in_child=_opening.release
    )


class Store:
    """A DuckDB file of chats, shared with every other process that opens it.

    A context manager; closing is optional and lets go of the file, which is attached again
    when it is next used. `":memory:"` keeps nothing.
    """

    def __init__(self, file: StoreFile, names: TableNames) -> None:
        self.path = file.path
        self.names = names
        self._file = file
        self._prepared_at = 0

    def transact(self, work: Callable[[Cursor], T]) -> T:
        """What `work` returns, all of its writes committed or none.

        In the first transaction of every attachment the schema is applied and what dead
        processes left is ended.
        """
        file = self._file

        def prepared(cursor: Cursor) -> tuple[T, int]:
            named = self.names.over(cursor)
            if file.attachments != self._prepared_at:
                # another process may have upgraded or replaced the file meanwhile
                if not is_current(named, self.names):
                    apply_schema(named, self.names, self.path)
                recover(named)
            return work(named), file.attachments

        self._take_in()
        result, self._prepared_at = file.transact(prepared)
        return result

    def _take_in(self) -> None:
        """Store answers that wait beside the file; one that cannot be must not be in the way."""
        for place in spool.waiting(self._spool) if self._spool.is_dir() else ():
            with contextlib.suppress(StoreError):
                if self._file.transact(partial(self._take, place)):
                    spool.remove(place)

    def _take(self, place: Path, cursor: Cursor) -> bool:
        named = self.names.over(cursor)
        known = is_current(named, self.names)
        return known and spool.take_in(named, place, self.names.of("chats"))

    @property
    def _spool(self) -> Path:
        return Path(f"{self.path}.spool")

    def keep(self, message: Message, requests: Sequence[RequestRow]) -> Path | None:
        """Put an answer that could not be stored beside the file, for the next open to take in.

        None for an in-memory store. Raises OSError where nothing can be written.
        """
        if self.path == MEMORY:
            return None
        return spool.keep(self._spool, self.names.of("chats"), message, requests)

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
        self.transact(lambda cursor: None)
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


def open_store(
    path: "Store | str | os.PathLike[str] | None" = None,
    *,
    table_names: Mapping[str, str] | None = None,
) -> Store:
    """The store at `path`, created if there is none: NBCHAT_DB, else ./nbchat.duckdb.

    Turns that dead processes left are ended here. `":memory:"` is a new store every time.
    `table_names` maps chat, message, tool_call, request and agent_session onto names of your
    own; views are then named after the chats table. Raises NotAStore for a file that is not
    a store, StoreTooNew for a newer nbchat's.
    """
    if isinstance(path, Store):
        if table_names is None:
            return path
        store = _store_on(path._file, table_names_of(table_names))
    else:
        store = _store_on(_file_at(path), table_names_of(table_names))
    store.transact(recover)  # as after a fresh attachment, also while the lease lasts
    return store


def _file_at(path: "str | os.PathLike[str] | None") -> StoreFile:
    place = path if path is not None else os.environ.get("NBCHAT_DB", "nbchat.duckdb")
    place = os.fspath(place) if isinstance(place, os.PathLike) else place
    if not isinstance(place, str) or not place:
        raise ConfigError(f"{place!r} is not a path for a store. Give a file name, or ':memory:'.")
    if place == MEMORY:
        return StoreFile(MEMORY)
    place = str(Path(place).expanduser().resolve())
    with _opening:
        return _files.get(place) or _files.setdefault(place, StoreFile(place))


def _store_on(file: StoreFile, names: TableNames) -> Store:
    if file.path == MEMORY:
        return Store(file, names)
    with _opening:
        key = (file.path, names)
        return _stores.get(key) or _stores.setdefault(key, Store(file, names))
