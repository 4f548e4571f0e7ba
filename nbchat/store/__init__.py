"""The store: the DuckDB file that holds every chat. The only room that knows DuckDB.

`open_store` gives one `Store` per file and process; everything else reads and writes
through its transactions.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from nbchat.errors import ConfigError, StoreBusy, StoreError
from nbchat.exchange import Secret
from nbchat.messages import Attachment, Message
from nbchat.store import spool
from nbchat.store.compact import compact_file
from nbchat.store.doctor import examine
from nbchat.store.file import MAIN, MEMORY, Cursor, StoreFile
from nbchat.store.migrate import Migration, due, migrate_file
from nbchat.store.names import TableNames, table_names_of
from nbchat.store.network import warn_of_network
from nbchat.store.parquet import export_parquet
from nbchat.store.purge import purge_turns
from nbchat.store.rows import RequestRow
from nbchat.store.schema import MigrationDue, apply_schema, is_current, replay_schema
from nbchat.store.sets import TableSet, sets_in
from nbchat.store.sql import ask_sql, limits_of, run_sql
from nbchat.store.trust import has_own_views, refuse_shadows
from nbchat.store.turns import recover
from nbchat.store.values import hide

if TYPE_CHECKING:
    import pandas

T = TypeVar("T")

_files: dict[str, StoreFile] = {}
_stores: dict[tuple[str, TableNames, str], "Store"] = {}
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

    def __init__(self, file: StoreFile, names: TableNames, schema: str = MAIN) -> None:
        self.path = file.path
        self.names = names
        self.schema = schema
        self._file = file
        self._prepared_at = 0
        self._trusted: tuple[int, int] | None = None
        self._refused: set[tuple[Path, int]] = set()

    def read(self, work: Callable[[Cursor], T]) -> T:
        """What `work`, which only reads, returns."""
        return self.transact(work, writes=False)

    def transact(self, work: Callable[[Cursor], T], *, writes: bool = True) -> T:
        """What `work` returns, all of its writes committed or none.

        In the first transaction of every attachment the schema is applied, after a migration
        if one is due, and what dead processes left is ended.
        """
        file = self._file

        def prepared(cursor: Cursor) -> tuple[T, int]:
            named = self.names.over(cursor)
            if file.attachments != self._prepared_at:
                self._prepare(named)
            return work(named), file.attachments

        self._take_in()
        try:
            result, self._prepared_at = file.transact(prepared, self.schema, writes=writes)
        except MigrationDue:
            migrate_file(file, self.names, self.schema)
            result, self._prepared_at = file.transact(prepared, self.schema, writes=writes)
        return result

    def _prepare(self, cursor: Cursor) -> None:
        """After attaching: another process may have upgraded or replaced the file meanwhile."""
        known = self.path == MEMORY or self._trusted == self._file.identity
        if not known:
            refuse_shadows(cursor, self.path)
        if not is_current(cursor, self.names):
            apply_schema(cursor, self.names, self.path)
        elif not known and not has_own_views(cursor, self.names):
            replay_schema(cursor, self.names)
        self._trusted = self._file.identity
        recover(cursor)

    def _take_in(self) -> None:
        """Store answers that wait beside the file; one that cannot be must not be in the way."""
        for place in spool.waiting(self._spool) if self._spool.is_dir() else ():
            with contextlib.suppress(OSError):
                found = (place, place.stat().st_mtime_ns)
                if found not in self._refused:
                    self._take_one(*found)

    def _take_one(self, place: Path, written_ns: int) -> None:
        try:
            taken = self._file.transact(partial(self._take, place), self.schema)
        except StoreBusy:
            raise  # the others would wait as long again
        except StoreError:
            return  # such as a full disk: the next call tries again
        if taken:
            spool.remove(place)
        elif taken is not None:
            self._refused.add((place, written_ns))

    def _take(self, place: Path, cursor: Cursor) -> bool | None:
        """Whether it was taken in; None while these tables are not current."""
        if self._trusted != self._file.identity:
            refuse_shadows(cursor, self.path)
        named = self.names.over(cursor)
        if not is_current(named, self.names):
            return None
        return spool.take_in(named, place, self.names.of("chats"))

    @property
    def _spool(self) -> Path:
        return Path(f"{self.path}.spool")

    def keep(
        self,
        message: Message,
        requests: Sequence[RequestRow],
        pictures: Sequence[Attachment] = (),
    ) -> Path | None:
        """Put an answer that could not be stored beside the file, for the next open to take in.

        None for an in-memory store, and for an encrypted one, whose text must not lie about in
        the clear. Raises OSError where nothing can be written.
        """
        if self.path == MEMORY or self._file.key is not None:
            return None
        return spool.keep(self._spool, self.names.of("chats"), message, requests, pictures)

    def drop_kept(self, chat_ids: Collection[str]) -> None:
        """Remove the answers of deleted chats that wait beside the file."""
        spool.drop_chats(self._spool, chat_ids)

    def sql(
        self,
        sql: str,
        params: Any = None,
        *,
        frames: Mapping[str, Any] | None = None,
        write: bool = False,
        max_rows: int | None = None,
        timeout: float | None = None,
        max_memory: str | int | None = None,
    ) -> "pandas.DataFrame":
        """The answer to one read-only question about the store, as a frame.

        `frames` are pandas frames the SQL may name. `write=True` runs any SQL instead, in
        one transaction of its own (so no BEGIN or COMMIT), without the lock-down.
        A running question keeps every other notebook out of the store, for `timeout` seconds
        of running at most; only a single huge value can hold it longer, until it is computed.
        `max_rows` is how many rows the answer may have. `max_memory` (bytes, or "512MB") is
        what DuckDB's buffers may take, for a question about a store in a file; the frame and
        single huge values are not counted. None of them is no limit.
        Raises SqlRefused, and beyond a limit nothing was written; ConfigError for a limit that
        makes no sense.
        """
        limits = limits_of(max_rows, timeout, max_memory)
        self.read(lambda cursor: None)
        if write:
            try:
                return run_sql(self._file, sql, params, self.schema, limits=limits)
            finally:
                self._file.forget_schema()
        return ask_sql(self._file, sql, frames, params, self.schema, limits=limits)

    def compact(self) -> "pandas.DataFrame":
        """Write the file anew, so that what was deleted or removed is no longer in its bytes.

        One row: bytes_before, bytes_after. Other notebooks wait meanwhile. Backups beside the
        file, snapshots and the disk's own free space are not touched: they may still hold it.
        """
        return _compacted(self._file)

    def export(
        self, folder: "str | os.PathLike[str]", *, overwrite: bool = False
    ) -> "pandas.DataFrame":
        """Write the whole store to `folder` as Parquet, one file per table; one row for each.

        Columns: table (its default name), rows, path. The folder is made if there is none, for
        its owner only. The files are not encrypted, whatever the store is. Raises ConfigError
        for a file that is there already, unless `overwrite=True`.
        """
        import pandas as pd  # takes longer to load than all of nbchat

        self.read(lambda cursor: None)
        place = Path(folder).expanduser()
        written = export_parquet(self._file, self.names, self.schema, place, overwrite=overwrite)
        return pd.DataFrame(map(asdict, written)).astype(
            {"table": "string", "rows": "Int64", "path": "string"}
        )

    def doctor(self, *, repair: bool = False) -> "pandas.DataFrame":
        """What is wrong in the store: one row per check, always all of them, in one order.

        Columns: check, rows (how many are wrong; NA if damage kept it from looking), repaired
        (how many of them this call repaired), what (a sentence with what to do), ids (JSON
        list of up to 20 ids, or names of tables or files). `repair=True` repairs what can be
        without a person, in one transaction. Money is never changed.
        """
        return examine(self, repair=repair)

    def purge(
        self,
        older_than: timedelta | date | str,
        *,
        content_only: bool = False,
        dry_run: bool = False,
    ) -> "pandas.DataFrame":
        """Delete turns that began before a time, and chats whose last turn was before it.

        One row: chats, messages, tool_calls, requests, agent_sessions (rows deleted) and
        older_than, the time. `older_than` is an age (a timedelta, or "90min", "12h", "30d",
        "8w", "1y") or a time (ISO text, a date; UTC unless it says otherwise). A chat that was
        never asked anything holds only settings and goes by its creation, whatever was changed
        in it since. What follows a turn that goes then follows what came before that turn.
        Tool calls and requests whose turn has no message go by their own beginning.
        `content_only=True`
        removes only what was said in the turns and keeps every metric; the counts are then of
        rows that said something, and a chat's name, instructions and metadata stay.
        `dry_run=True` counts the same and changes nothing. A running turn is never touched.
        The text leaves the bytes of the file only with compact(), and backups never. Raises
        ConfigError for what is no age or time, or is in the future.
        """
        return purge_turns(self, older_than, content_only=content_only, dry_run=dry_run)

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


StorePlace = Store | str | os.PathLike[str] | None


def open_store(
    path: "Store | str | os.PathLike[str] | None" = None,
    *,
    table_names: Mapping[str, str] | None = None,
    schema: str | None = None,
    encryption_key: str | None = None,
) -> Store:
    """The store at `path`, created if there is none: NBCHAT_DB, else ./nbchat.duckdb.

    One of an older nbchat is migrated, after a backup copy; turns that dead processes left
    are ended. `":memory:"` is a new store every time. `table_names` maps chat, message,
    tool_call, request and agent_session onto names of your own; views are then named after
    the chats table. `schema` is the DuckDB schema the tables are in, main by default.
    `encryption_key` encrypts a new file and opens an encrypted one; the key is never stored.
    Raises NotAStore for a file that is not a store, StoreTooNew for a newer nbchat's.
    """
    names = table_names_of(table_names)
    # the plain one stays in no variable, which a traceback would show
    encryption_key = key = _checked_key(encryption_key)
    if key is not None and (isinstance(path, Store) or path == MEMORY):
        raise ConfigError("encryption_key is for a file that is opened here. Leave it out.")
    if isinstance(path, Store):
        if table_names is None and schema is None:
            return path
        store = _store_on(path._file, names, _checked_schema(schema, path.schema))
    else:
        file = _file_at(path, key)
        store = _store_on(file, names, _checked_schema(schema, MAIN))
    try:
        store.read(recover)  # as after a fresh attachment, also while the lease lasts
    except StoreError:
        if store._file.attachments == 0:
            _forget(store._file)  # another try may come with another key
        raise
    return store


def _forget(file: StoreFile) -> None:
    with _opening:
        _files.pop(file.path, None)
        for key in [key for key in _stores if key[0] == file.path]:
            del _stores[key]


def compact_at(place: StorePlace) -> "pandas.DataFrame":
    """As Store.compact, whatever the names of its tables are: none is read, none is made."""
    return _compacted(place._file if isinstance(place, Store) else _file_at(place, None))


def _compacted(file: StoreFile) -> "pandas.DataFrame":
    import pandas as pd  # takes longer to load than all of nbchat

    return pd.DataFrame([asdict(compact_file(file))]).astype("Int64")


def default_place() -> str:
    """Where the store is when nobody says: NBCHAT_DB, else nbchat.duckdb in this folder."""
    place = os.environ.get("NBCHAT_DB", "nbchat.duckdb")
    if not place:
        raise ConfigError("NBCHAT_DB is empty. Give it the path of a store, or unset it.")
    return place


def table_sets(path: "str | os.PathLike[str]") -> tuple[TableSet, ...]:
    """Which sets of tables are in this file; none in one that is no store. Changes nothing."""
    return sets_in(_file_at(path, None))


def migration_due(path: "str | os.PathLike[str]") -> Migration | None:
    """What opening this store would migrate first; None for a current one. Changes nothing."""
    return due(_file_at(path, None), TableNames())


def _file_at(path: "str | os.PathLike[str] | None", key: str | None) -> StoreFile:
    place = path if path is not None else default_place()
    place = os.fspath(place) if isinstance(place, os.PathLike) else place
    if not isinstance(place, str) or not place:
        raise ConfigError(f"{place!r} is not a path for a store. Give a file name, or ':memory:'.")
    if place == MEMORY:
        return StoreFile(MEMORY)
    place = str(Path(place).expanduser().resolve())
    with _opening:
        file = _files.get(place)
        if file is None:
            warn_of_network(place)
            file = _files.setdefault(place, StoreFile(place, key))
    if key is not None and key != file.key:
        raise ConfigError(
            f"{place!r} is open in this process already, with another encryption_key or none."
        )
    return file


def _store_on(file: StoreFile, names: TableNames, schema: str) -> Store:
    if file.path == MEMORY:
        return Store(file, names, schema)
    with _opening:
        key = (file.path, names, schema)
        return _stores.get(key) or _stores.setdefault(key, Store(file, names, schema))


def _checked_key(key: str | None) -> str | None:
    if key is None:
        return None
    if not isinstance(key, str) or not key or "\0" in key:
        raise ConfigError("encryption_key is not text that can be a key. Give a longer one.")
    hide(key)
    return Secret(key)


def _checked_schema(schema: str | None, otherwise: str) -> str:
    if schema is None:
        return otherwise
    if not isinstance(schema, str) or not schema.strip() or "\0" in schema:
        raise ConfigError(f"schema={schema!r} is not a name for a DuckDB schema.")
    return schema
