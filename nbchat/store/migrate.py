"""Migrations: a store of a released version becomes a current one, or stays as it was.

One numbered .sql file per version, run in one transaction after a backup copy was made
beside the store. The gate is held throughout, so nobody writes between copy and change.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from nbchat.errors import StoreError
from nbchat.store.file import MAIN, Cursor, StoreFile, commit, place_of
from nbchat.store.names import TableNames
from nbchat.store.schema import VERSION, applied_to, replay_schema

FOLDER = Path(__file__).with_name("migrations")


@dataclass(frozen=True, slots=True)
class Migration:
    """What is due on a store: from which version, by which .sql files, and the backup's place."""

    version: int
    steps: tuple[Path, ...]
    backup: Path


def steps_after(version: int) -> tuple[Path, ...]:
    """The .sql files that bring tables of this version to the current one, in order."""
    numbered = {int(path.name[:4]): path for path in FOLDER.glob("*.sql")}
    return tuple(numbered[number] for number in range(version + 1, VERSION + 1))


def due(file: StoreFile, names: TableNames, schema: str = MAIN) -> Migration | None:
    """What `migrate_file` would do; None when the store is current or has no tables yet."""
    with file.set_aside():
        return _due(file, names, schema, read_only=True)


def migrate_file(file: StoreFile, names: TableNames, schema: str = MAIN) -> Migration | None:
    """Bring the store to the current version; None when there was nothing to do.

    Raises StoreError if a step fails; the store is then as it was before.
    """
    with file.set_aside():
        # attached to write, so that what a dead process left is in the file that is copied
        found = _due(file, names, schema, read_only=False)
        if found is None:
            return None
        file.refuse_log("migrated")
        _back_up(Path(file.path), found.backup)
        try:
            with _opened(file, schema) as cursor:
                _run(names.over(cursor), found, names)
        except (StoreError, duckdb.Error):
            # nothing was committed, and a new try makes another
            found.backup.unlink(missing_ok=True)
            raise
    return found


def _due(file: StoreFile, names: TableNames, schema: str, *, read_only: bool) -> Migration | None:
    with _opened(file, schema, read_only=read_only) as cursor:
        version = applied_to(names.over(cursor), names, file.path).version
    if version in (0, VERSION):
        return None
    return Migration(version, steps_after(version), _free_place(file.path, version))


@contextmanager
def _opened(file: StoreFile, schema: str, *, read_only: bool = False) -> Iterator[Cursor]:
    """The store in a DuckDB of its own, while its gate is held; committed or rolled back."""
    with file.fresh_instance(read_only=read_only) as cursor:
        cursor.execute(f"use {place_of(schema)}")
        cursor.begin()
        yield cursor
        commit(cursor)


def _run(cursor: Cursor, migration: Migration, names: TableNames) -> None:
    for step in migration.steps:
        try:
            cursor.execute(step.read_text(encoding="utf-8"))
        except Exception as error:
            raise StoreError(
                f"The migration {step.name} failed, and nothing was changed: {error} "
                "Change what is in its way and open the store again."
            ) from error
    replay_schema(cursor, names)


def _free_place(path: str, version: int) -> Path:
    """Where the backup goes: never onto another one."""
    place = Path(f"{path}.v{version}.bak")
    number = 2
    while place.exists():
        place = Path(f"{path}.v{version}.{number}.bak")
        number += 1
    return place


def _back_up(source: Path, backup: Path) -> None:
    """Copy the detached file whole or not at all, readable by its owner only."""
    partial = backup.with_suffix(".part")
    try:
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as copy:
            with open(source, "rb") as original:
                shutil.copyfileobj(original, copy, 1 << 20)
            copy.flush()
            os.fsync(copy.fileno())
        os.replace(partial, backup)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise StoreError(
            f"The store must be migrated, and no backup {str(backup)!r} could be made first: "
            f"{error}. Make room for a copy; the store was not touched."
        ) from error
