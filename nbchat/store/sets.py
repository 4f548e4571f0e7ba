"""Which sets of tables a file has, for those who were not told its names.

A set is known by its row in the version table of its DuckDB schema, or, made by hand from
schema.sql, by the default tables themselves. The file is only read.
"""

from dataclasses import dataclass

from nbchat.store.file import MAIN, Cursor, StoreFile, place_of
from nbchat.store.names import TableNames
from nbchat.store.schema import MARKS

CHATS = TableNames().of("chats")


@dataclass(frozen=True, slots=True)
class TableSet:
    """Tables of one nbchat: their DuckDB schema and the name of their chats table."""

    schema: str
    chats: str


DEFAULT = TableSet(MAIN, CHATS)


def sets_in(file: StoreFile) -> tuple[TableSet, ...]:
    """The sets of tables in the file, by schema and name; none in a file of other programs."""
    with file.set_aside(), file.fresh_instance(read_only=True) as cursor:
        cursor.execute("use memory")  # a macro in the file must not stand for a function's name
        columns = _columns(cursor)
        found = {
            TableSet(schema, tables)
            for schema, table in columns
            if table == "nbchat_version" and columns[schema, table] >= MARKS["nbchat_version"]
            for tables in _written_down(cursor, schema)
            if (schema, tables.lower()) in columns
        }
    if columns.get((MAIN, CHATS), set()) >= MARKS["chats"]:
        found.add(DEFAULT)
    return tuple(sorted(found, key=lambda found_set: (found_set.schema, found_set.chats)))


def _columns(cursor: Cursor) -> dict[tuple[str, str], set[str]]:
    """The columns of each table, by schema and the table's name in lower case."""
    rows = cursor.execute(
        """
        select t.schema_name, lower(t.table_name), list(lower(c.column_name))
        from duckdb_tables() as t
        join duckdb_columns() as c using (database_oid, table_oid)
        where t.database_name = 'store'
        group by all
        """
    ).fetchall()
    return {(schema, table): set(columns) for schema, table, columns in rows}


def _written_down(cursor: Cursor, schema: str) -> list[str]:
    rows = cursor.execute(
        f'select "tables" from {place_of(schema)}."nbchat_version" where "tables" is not null'
    ).fetchall()
    return [tables for (tables,) in rows]
