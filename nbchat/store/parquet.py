"""A store as Parquet files: one per table, for every other tool.

All tables are as they were at one moment. A file is whole or not there, and readable by its
owner only. UUID and JSON columns become text, which every reader knows. What the rows mean
is not known here.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from nbchat.errors import ConfigError, StoreError
from nbchat.store.file import MEMORY, Cursor, StoreFile, place_of, quoted
from nbchat.store.names import KEYS, TableNames, renamed

TEXT = re.compile(r"\b(UUID|JSON)\b")


@dataclass(frozen=True, slots=True)
class Written:
    """A table's file, under its default name, and how many rows it has."""

    table: str
    rows: int
    path: str


def export_parquet(
    file: StoreFile, names: TableNames, schema: str, folder: Path, *, overwrite: bool
) -> list[Written]:
    """Write every table to a file in `folder`; raises ConfigError for one that is there."""
    places = {table: folder / f"{table}.parquet" for table in KEYS.values()}
    with _room_in(folder) as room:
        _check(places, overwrite)
        counts = _copy_all(file, names, schema, room)
        for place in places.values():
            os.replace(room / place.name, place)
    return [Written(table, counts[table], str(place)) for table, place in places.items()]


@contextmanager
def _room_in(folder: Path) -> Iterator[Path]:
    """A folder inside `folder` for what is not whole yet; a new `folder` goes if it fails."""
    created = not folder.exists()
    try:
        if created:
            folder.mkdir(mode=0o700)
        room = Path(tempfile.mkdtemp(dir=folder, prefix=".export-"))
    except OSError as error:
        raise ConfigError(
            f"{str(folder)!r} cannot take Parquet files: {error}. Choose a folder that can be "
            "written, or a new one beside files of yours."
        ) from error
    try:
        yield room
    except BaseException:
        shutil.rmtree(folder if created else room, ignore_errors=True)
        raise
    room.rmdir()


def _check(places: dict[str, Path], overwrite: bool) -> None:
    for place in places.values():
        if place.is_dir() or (os.path.lexists(place) and not overwrite):
            raise ConfigError(
                f"{str(place)!r} is there already. Choose another folder, or say overwrite=True "
                "to replace what was exported before."
            )


def _copy_all(file: StoreFile, names: TableNames, schema: str, room: Path) -> dict[str, int]:
    if file.path == MEMORY:
        return file.transact(lambda cursor: _copy_beside(cursor, names, room), schema, writes=False)
    counts = {}
    with file.set_aside(), file.fresh_instance(read_only=True) as database:
        database.execute(f"use {place_of(schema)}")
        database.begin()  # one moment for all tables
        for table in KEYS.values():
            name = _named(table, names)
            counts[table] = _copy(database, _columns(database, name), name, room / table)
    return counts


def _copy_beside(cursor: Cursor, names: TableNames, room: Path) -> dict[str, int]:
    """As for a file; an in-memory store's own instance may write none, so that another does."""
    counts = {}
    for table in KEYS.values():
        name = _named(table, names)
        columns = _columns(cursor, name)
        # as text, which loses nothing on its way through a frame
        listed = ", ".join(_cast(column, f"{type_}::varchar") for column, type_ in columns)
        rows = cursor.sql(f"select {listed} from {name}").df().astype(object)
        with duckdb.connect(MEMORY) as database:
            database.register("rows", rows.where(rows.notna(), None))
            counts[table] = _copy(database, columns, '"rows"', room / table)
    return counts


def _named(table: str, names: TableNames) -> str:
    return renamed(f'"{table}"', names)


def _columns(cursor: Cursor, name: str) -> list[tuple[str, str]]:
    """The names of a table's columns, the user's own too, with their types in the file."""
    rows = cursor.execute(f"describe {name}").fetchall()
    return [(column, TEXT.sub("VARCHAR", type_)) for column, type_, *_ in rows]


def _copy(database: Cursor, columns: list[tuple[str, str]], source: str, stem: Path) -> int:
    """Write the rows to a Parquet file in a folder of our own; how many they were."""
    place = f"{stem}.parquet"
    listed = ", ".join(_cast(column, type_) for column, type_ in columns)
    sql = f"""
        copy (select {listed} from {source})
        to {quoted(place)} (format parquet, compression zstd)
    """
    try:
        os.close(os.open(place, os.O_WRONLY | os.O_CREAT, 0o600))
        ((rows,),) = database.execute(sql).fetchall()
        os.chmod(place, 0o600)
    except (duckdb.Error, OSError) as error:
        raise StoreError(f"Nothing was exported, for {place!r} was refused: {error}") from error
    return int(rows)


def _cast(column: str, type_: str) -> str:
    name = '"' + column.replace('"', '""') + '"'
    return f"{name}::{type_} as {name}"
