"""Real erasure: the store written anew into a fresh file that takes the old one's place.

DuckDB leaves deleted rows in the bytes of its file, also after a checkpoint. The swap is one
rename, so that a crash leaves the old file or the new one, both whole. What else shared the
old file (the user's own tables, views, macros) is in the new one, or nothing is swapped.
"""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from nbchat.errors import StoreError
from nbchat.store.file import MEMORY, Cursor, StoreFile, attach, create

# how many things of each kind a database has: both files must say the same
CONTENTS = """
select 'tables', count(*) from duckdb_tables() where database_name = $database
union all select 'columns', count(*) from duckdb_columns() where database_name = $database
union all select 'constraints', count(*) from duckdb_constraints() where database_name = $database
union all select 'indexes', count(*) from duckdb_indexes() where database_name = $database
union all select 'views', count(*) from duckdb_views() where database_name = $database
union all select 'functions', count(*) from duckdb_functions() where database_name = $database
union all select 'sequences', count(*) from duckdb_sequences() where database_name = $database
union all select 'types', count(*) from duckdb_types() where database_name = $database
union all select 'triggers', count(*) from duckdb_triggers() where database_name = $database
union all select 'comments', count("comment") from duckdb_columns() where database_name = $database
"""
TABLES = """
select "schema_name", "table_name" from duckdb_tables() where database_name = $database
order by all
"""


@dataclass(frozen=True, slots=True)
class Compacted:
    """The file's size before and after, in bytes."""

    bytes_before: int
    bytes_after: int


def compact_file(file: StoreFile) -> Compacted:
    """Write the store anew, without what was deleted from it; others wait meanwhile.

    Needs as much free disk as the store has rows. Raises StoreError with the store as it was.
    """
    if file.path == MEMORY:
        return Compacted(0, 0)
    with file.set_aside():
        with file.fresh_instance():
            pass  # takes in what a dead process left, so that no log outlives the old file
        file.refuse_log("compacted")
        fresh = Path(f"{file.path}.compact")
        before = os.path.getsize(file.path)
        try:
            with file.fresh_instance(read_only=True) as database:
                _write_anew(database, file, fresh)
                if os.name == "posix":
                    # while DuckDB's own lock keeps programs out that do not know our gate
                    _swap(fresh, Path(file.path))
            if os.name != "posix":  # an open file cannot be replaced there
                _swap(fresh, Path(file.path))
        finally:
            _remove(fresh)
        return Compacted(before, os.path.getsize(file.path))


def _write_anew(database: Cursor, file: StoreFile, fresh: Path) -> None:
    """Copy all of the attached store into a new file at `fresh`."""
    _remove(fresh)
    create(database, str(fresh), file.key)
    attach(database, str(fresh), file.key, alias="fresh")
    # before anything that was said is in it
    os.close(os.open(f"{fresh}.wal", os.O_WRONLY | os.O_CREAT, 0o600))
    os.chmod(fresh, os.stat(file.path).st_mode & 0o777)
    database.execute('copy from database "store" to "fresh"')
    if _contents(database, "store") != _contents(database, "fresh"):
        raise StoreError(
            f"{file.path!r} was not compacted and is as it was: it has something of your own "
            "that DuckDB does not copy. Drop it, compact, and make it again."
        )
    database.execute('detach "fresh"')


def _contents(database: Cursor, name: str) -> list[tuple[str, int]]:
    """What there is in a database, kind by kind and table by table, as numbers to compare."""
    parameters = {"database": name}
    counts: list[tuple[str, int]] = database.execute(CONTENTS, parameters).fetchall()
    for schema, table in database.execute(TABLES, parameters).fetchall():
        place = ".".join('"' + part.replace('"', '""') + '"' for part in (name, schema, table))
        rows = database.execute(f"select count(*) from {place}").fetchall()
        counts.append((f"{schema}.{table}", rows[0][0]))
    return counts


def _swap(fresh: Path, place: Path) -> None:
    """Put the fresh file in the place of the old one, durably, in one step."""
    with open(fresh, "rb") as written:
        os.fsync(written.fileno())
    os.replace(fresh, place)
    if hasattr(os, "O_DIRECTORY"):
        folder = os.open(place.parent, os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _remove(fresh: Path) -> None:
    for path in (fresh, Path(f"{fresh}.wal")):
        with contextlib.suppress(OSError):
            path.unlink()
