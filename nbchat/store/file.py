"""One DuckDB file, shared with every other notebook: attach, transact, detach.

Invariant: the file is attached only while this process holds its gate. The attachment is
kept as a lease while nobody waits and ends by itself when idle, so that a lone notebook
pays only its commits and other tools can open the file. All access goes through one lock
in this process and results are fetched inside it. Tables and meaning are other modules'.
"""

import atexit
import contextlib
import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar
from weakref import WeakSet

import duckdb

from nbchat.errors import NbchatError, StoreBusy, StoreError
from nbchat.store.gate import Gate
from nbchat.store.trouble import explain

T = TypeVar("T")
Cursor = duckdb.DuckDBPyConnection

LEASE_S = 0.25
LEASE_POLL_S = 0.005
BUSY_TIMEOUT_S = 30.0
FORK_WAIT_S = 10.0
MEMORY = ":memory:"
MAIN = "main"
# DuckDB's words after a checkpoint failed: of what was committed, and of the instance
DURABLE = "COMMIT succeeded and is durable"
UNUSABLE = "has been invalidated"
# settings of every DuckDB instance that a store is attached to: what was said is written to the
# store only, nowhere for want of memory, and no extension is fetched or loaded unasked
INSTANCE: dict[str, str | bool | int | float | list[str]] = {
    "temp_directory": "",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}
# no temporary files: DuckDB lets SQL read all that is in their folder; nor any other file, for
# it lets SQL overwrite the one that is attached, from a view that hides a COPY too
LOCKDOWN = """
set temp_directory = '';
set enable_external_access = false;
set autoinstall_known_extensions = false;
set autoload_known_extensions = false;
set python_enable_replacements = false;
set disabled_filesystems = 'LocalFileSystem';
set lock_configuration = true;
"""


class StoreFile:
    """The only way to the file.

    `attachments` counts how often it was attached, `identity` is the file's, as last attached.
    """

    def __init__(self, path: str, key: str | None = None) -> None:
        self.path = path
        self.key = key
        self.attachments = 0
        self.identity: tuple[int, int] | None = None
        self._start()
        _OPEN.add(self)

    def _start(self) -> None:
        self._mutex = threading.RLock()
        self._paused = False
        self._busy = False
        self._over = threading.Event()
        self._gate = None if self.path == MEMORY else Gate(self.path)
        self._db: Cursor | None = None
        self._attached = False
        self._schema = MAIN
        self._is_first = True
        self._used_at = 0.0
        self._keeper: threading.Thread | None = None

    def transact(
        self, work: Callable[[Cursor], T], schema: str = MAIN, *, writes: bool = True
    ) -> T:
        """What `work` returns, with all it wrote committed, or nothing written if it raised.

        Unqualified names are those of this DuckDB schema, which is made if there is none.
        """
        with self._mine(), _explained(self.path):
            self._attach()
            try:
                self._use(schema)
                return self._commit(work, writes)
            finally:
                self._used_at = time.monotonic()
                if self._gate and self._gate.somebody_waits():
                    self._detach()

    @contextlib.contextmanager
    def _mine(self) -> Iterator[None]:
        """Keep this process's other threads out, as the gate does other processes."""
        if not self._mutex.acquire(timeout=BUSY_TIMEOUT_S):
            raise StoreBusy(
                f"{self.path!r} has been in use by another thread of this process for over "
                f"{BUSY_TIMEOUT_S:g} s. Wait for its question, or give it a timeout."
            )
        try:
            yield
        finally:
            self._mutex.release()

    def _commit(self, work: Callable[[Cursor], T], writes: bool) -> T:
        cursor = self._database()
        self._busy = True
        try:
            cursor.begin()
            result = work(cursor)
            # the first transaction may apply the schema and end what dead processes left
            self._guard_log(create=writes or self._is_first)
            if not commit(cursor):
                self._detach()  # the next transaction begins with what is in the log
            self._guard_log(create=False)
            self._is_first = False
            return result
        except BaseException as error:
            _roll_back(cursor)
            if UNUSABLE in str(error):
                self._detach()
            raise
        finally:
            self._busy = False

    def _use(self, schema: str) -> None:
        if schema != self._schema:
            self._schema = ""
            if schema != MAIN:
                self._guard_log(create=True)
                self._database().execute(f"create schema if not exists {place_of(schema)}")
            self._database().execute(f"use {place_of(schema)}")
            self._schema = schema

    def forget_schema(self) -> None:
        """After SQL that may have said USE: have the next transaction say it again."""
        self._schema = ""

    def _guard_log(self, *, create: bool) -> None:
        """Have the log beside the file be no more readable than the file itself."""
        if self._gate is None:
            return
        log = f"{self.path}.wal"
        with contextlib.suppress(OSError):
            mode = os.stat(self.path).st_mode & 0o666
            if create:  # DuckDB would make one for all to read; it goes on with one that is there
                os.close(os.open(log, os.O_WRONLY | os.O_CREAT, mode))
            elif os.stat(log).st_mode & 0o777 != mode:
                os.chmod(log, mode)

    def release(self) -> None:
        """Let go of the file and of DuckDB's memory; the next transaction attaches it again."""
        with self._mine():
            self._detach()
            if self._gate:
                self._drop()

    @contextlib.contextmanager
    def set_aside(self) -> Iterator[None]:
        """Hold the gate with the file detached, so that this process may open it otherwise."""
        with self._mine(), _explained(self.path):
            if self._gate is None:
                yield
                return
            self._detach()
            self._enter(self._gate)
            try:
                yield
            finally:
                self._gate.leave()

    @contextlib.contextmanager
    def fresh_instance(self, *, read_only: bool = False) -> Iterator[Cursor]:
        """A DuckDB of its own with the store attached and in use, while the file is set aside."""
        if not os.path.exists(self.path):
            raise StoreError(
                f"There is no store {self.path!r} any more. Open it to make a new one."
            )
        with duckdb.connect(MEMORY, config=INSTANCE) as database:
            attach(database, self.path, self.key, read_only=read_only)
            database.execute("use store")
            self._guard_log(create=not read_only)
            yield database
        self._remove_empty_log()

    def _database(self) -> Cursor:
        if self._db is None:
            self._db = duckdb.connect(MEMORY, config=INSTANCE)
        return self._db

    def _attach(self) -> None:
        if self._attached and self._gate and _identity(self.path) != self.identity:
            self._detach()  # deleted or replaced under the lease: what is there now is meant
        if self._attached:
            return
        try:
            if self._gate:
                self._enter(self._gate)
            self._attach_file()
            self._attached = True
            self.attachments += 1
        except BaseException:
            # nobody can tell how far an interrupted ATTACH came: a new instance is sure
            self._drop()
            if self._gate:
                self._gate.leave()
            raise
        self._keep()

    def _enter(self, gate: Gate) -> None:
        if not os.path.isdir(os.path.dirname(self.path)):
            # a lock file would create it
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.path)
        gate.enter(BUSY_TIMEOUT_S)

    def _attach_file(self) -> None:
        if self._gate is not None and not os.path.exists(self.path):
            create(self._database(), self.path, self.key)
        attach(self._database(), self.path, self.key)
        self.identity = _identity(self.path)
        self._is_first = True
        self._schema = MAIN
        self._database().execute("use store")
        if self._gate is None:
            self._database().execute(LOCKDOWN)

    def _detach(self) -> None:
        if not self._attached or self._gate is None:
            return
        self._attached = False
        self._over.set()
        try:
            with contextlib.suppress(duckdb.Error):
                self._database().execute("use memory")
            self._database().execute("detach store")
        except duckdb.Error:
            # a fatal error left the instance unusable: a new one replays what was committed
            self._drop()
        except RuntimeError:
            self._drop()  # interrupted: it must not stay attached without the gate
            raise
        finally:
            self._remove_empty_log()
            self._gate.leave()

    def refuse_log(self, done: str) -> None:
        """Raise StoreError if the log is still beside the detached file, and not in it."""
        if os.path.exists(f"{self.path}.wal"):
            raise StoreError(
                f"{self.path!r} was not {done} and is as it was: there is no room to take its log "
                "in. Make room and try again."
            )

    def _remove_empty_log(self) -> None:
        with contextlib.suppress(OSError):
            if os.path.getsize(f"{self.path}.wal") == 0:
                os.unlink(f"{self.path}.wal")

    def _drop(self) -> None:
        self._attached = False
        if self._db is not None:
            with contextlib.suppress(duckdb.Error):
                self._db.close()
        self._db = None

    def _keep(self) -> None:
        """Have the lease end by itself."""
        if self._gate is None:
            return
        self._over = threading.Event()
        keeper = threading.Thread(
            target=self._watch, args=[self._over], name="nbchat-lease", daemon=True
        )
        with contextlib.suppress(RuntimeError):  # at exit no thread starts; closing detaches
            keeper.start()
            self._keeper = keeper

    def _watch(self, over: threading.Event) -> None:
        while not over.wait(LEASE_POLL_S):
            if self._mutex.acquire(blocking=False):
                try:
                    if self._is_over():
                        self._detach()
                finally:
                    self._mutex.release()

    def _end_keeper(self) -> None:
        if self._keeper is not None and self._keeper is not threading.current_thread():
            self._keeper.join(timeout=1)
        self._keeper = None

    def _is_over(self) -> bool:
        idle_s = time.monotonic() - self._used_at
        return idle_s > LEASE_S or (self._gate is not None and self._gate.somebody_waits())

    def close(self) -> None:
        """Detach, drop the DuckDB instance and end the lease's thread, for the exit of Python."""
        with self._mutex:
            self._detach()
            self._drop()
            self._end_keeper()

    def pause_for_fork(self) -> None:
        """Let go of the file, so that a child inherits neither its lock nor DuckDB's threads."""
        # a transaction that takes longer than this is the child's bad luck, not the parent's
        self._paused = self._mutex.acquire(timeout=FORK_WAIT_S)
        if self._paused and self._gate is not None and not self._busy:
            self._detach()
            self._drop()
            self._end_keeper()

    def resume_after_fork(self) -> None:
        """Go on in the parent; the next transaction attaches the file again."""
        if self._paused:
            self._paused = False
            self._mutex.release()

    def start_after_fork(self) -> None:
        """Begin anew in a forked child, without touching what the parent still uses."""
        _INHERITED.append((self._db, self._gate))
        self._start()


def attach(
    database: Cursor,
    path: str,
    key: str | None,
    *,
    read_only: bool = False,
    alias: str = "store",
) -> None:
    """Attach the file, waiting for programs that do not know our gate."""
    if key is not None and not read_only:
        with contextlib.suppress(duckdb.Error):
            database.execute("load httpfs")  # what DuckDB writes encrypted files with
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            # not kept in a name, which a traceback's variables would show
            database.execute(_attach_sql(path, key, read_only, alias))
            return
        except duckdb.IOException as error:
            if "Could not set lock" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _attach_sql(path: str, key: str | None, read_only: bool, alias: str) -> str:
    # the type is said, or DuckDB would take a file of another kind for a database of that kind
    options = ["type duckdb"] + (["read_only"] if read_only else [])
    options += [f"encryption_key {quoted(key)}"] if key is not None else []
    return f"attach {quoted(path)} as {alias} ({', '.join(options)})"


def commit(cursor: Cursor) -> bool:
    """Commit; False if it is durable, but the checkpoint due after it found the disk full."""
    try:
        cursor.commit()
    except duckdb.IOException as error:
        if DURABLE not in str(error):
            raise
        return False
    return True


def _identity(path: str) -> tuple[int, int] | None:
    """What tells a file from another one of its name; None when there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def create(database: Cursor, path: str, key: str | None) -> None:
    """Have an empty database appear at the path: whole, its owner's only, or not at all."""
    made = Path(f"{path}.new", "store.duckdb")
    made.unlink(missing_ok=True)  # of a process that was killed here
    made.parent.mkdir(mode=0o700, exist_ok=True)  # nobody else can look into it
    try:
        attach(database, str(made), key, alias="made")
        database.execute("detach made")
        made.chmod(0o600)
        _refuse_lost(Path(f"{path}.wal"), path)
        made.replace(path)
    finally:
        with contextlib.suppress(OSError):
            made.unlink(missing_ok=True)
            made.parent.rmdir()


def _refuse_lost(log: Path, path: str) -> None:
    """A log fits the file it was written for only, which may come back."""
    if log.exists() and log.stat().st_size > 0:
        raise StoreError(
            f"The store {path!r} is gone, and its log {str(log)!r} is still there with what was "
            "written last. Put the file back, or move the log away to begin a new store."
        )
    log.unlink(missing_ok=True)


def quoted(text: str) -> str:
    """The text as a literal, where DuckDB takes no parameter."""
    return "'" + text.replace("'", "''") + "'"


def place_of(schema: str) -> str:
    """The DuckDB schema inside the attached file, as an identifier."""
    return 'store."' + schema.replace('"', '""') + '"'


_OPEN: "WeakSet[StoreFile]" = WeakSet()
# a child must neither close nor collect the parent's connection
_INHERITED: list[object] = []


def _close_all() -> None:
    for file in list(_OPEN):
        file.close()


def _for_each(act: Callable[[StoreFile], None]) -> Callable[[], None]:
    def each() -> None:
        for file in list(_OPEN):
            act(file)

    return each


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_for_each(StoreFile.pause_for_fork),
        after_in_parent=_for_each(StoreFile.resume_after_fork),
        after_in_child=_for_each(StoreFile.start_after_fork),
    )


def _roll_back(cursor: Cursor) -> None:
    """End the transaction, if one is left, even while Ctrl-C is pressed again."""
    while True:
        try:
            cursor.rollback()
        except duckdb.Error:
            return  # there was none, or a fatal error took it away
        except RuntimeError:
            continue  # interrupted
        else:
            return


@contextlib.contextmanager
def _explained(path: str) -> Iterator[None]:
    """DuckDB's and the system's errors as sentences about this store."""
    try:
        yield
    except NbchatError:
        raise
    except RuntimeError as error:
        if str(error) == "Query interrupted":  # DuckDB takes Ctrl-C for itself
            raise KeyboardInterrupt from error
        raise
    except (duckdb.Error, OSError) as error:
        raise explain(error, path) from error
