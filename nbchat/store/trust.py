"""What a file brings along that nbchat's own SQL would run: only what schema.sql says.

A store may come from a stranger, and its views and macros run where files can be read. So
before anything else is asked of it, its views of our names must be ours, and no function in
it may have the name of one of DuckDB's own, which would be called in its place.
"""

from functools import cache

import duckdb

from nbchat.errors import NotAStore
from nbchat.store.file import INSTANCE, MEMORY, Cursor
from nbchat.store.names import VIEWS, TableNames
from nbchat.store.schema import schema_sql

OWN_VIEWS = """
select "view_name", "sql" from duckdb_views()
where database_name = current_database() and schema_name = current_schema()
  and list_contains($views, lower("view_name"))
order by all
"""
# no name in it can be the file's own
FUNCTIONS = """
select "function_name", "database_name" from "system"."main".duckdb_functions()
where "database_name" in ('store', 'system')
"""


def has_own_views(cursor: Cursor, names: TableNames) -> bool:
    """Whether the views of our names in this file are those that schema.sql makes."""
    return _views(cursor, names) == _made(names)


def refuse_shadows(cursor: Cursor, path: str) -> None:
    """Raise NotAStore if the file has a function that would be called for one of DuckDB's own."""
    rows = cursor.execute(FUNCTIONS).fetchall()
    own = {name.lower() for name, database in rows if database == "store"}
    if shadows := sorted(own & {name.lower() for name, database in rows if database == "system"}):
        raise NotAStore(
            f"{path!r} has a function of its own called {shadows[0]!r}, which DuckDB would call in "
            "place of the one that nbchat means. Drop it with DuckDB if you trust this file."
        )


def _views(cursor: Cursor, names: TableNames) -> list[tuple[str, str]]:
    wanted = [names.of(view).lower() for view in VIEWS]
    rows: list[tuple[str, str]] = cursor.execute(OWN_VIEWS, {"views": wanted}).fetchall()
    return rows


@cache
def _made(names: TableNames) -> list[tuple[str, str]]:
    """The views as a new store has them."""
    with duckdb.connect(MEMORY, config=INSTANCE) as database:
        cursor = names.over(database)
        # without the comments, which take most of the time
        lines = schema_sql().splitlines()
        cursor.execute("\n".join(line for line in lines if not line.startswith("comment on ")))
        return _views(cursor, names)
