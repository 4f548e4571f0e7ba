"""Other names for the tables: one substitution over SQL that quotes every table's name.

Invariant: with no mapping the SQL is unchanged, so schema.sql stays plain SQL. DuckDB
ignores case even in quotes, so names that differ only in case count as one.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from nbchat.errors import ConfigError
from nbchat.store.file import Cursor

KEYS = {
    "chat": "chats",
    "message": "messages",
    "tool_call": "tool_calls",
    "request": "requests",
    "agent_session": "agent_sessions",
}
# what nbchat's own SQL calls the steps of a statement, which would hide a table of that name
STEPS = {
    "_asked", "_best", "_billed", "_called", "_chosen", "_counted", "_facts", "_found",
    "_gone", "_heirs", "_kept", "_keyed", "_matching", "_named", "_old", "_places",
    "_ranked", "_rarity", "_said", "_sample", "_sent", "_suspects", "_switched_off",
    "_unrecorded", "_usual", "_whole",
}  # fmt: skip
VIEWS = ("turns", "requests_priced")
# tables without a key of their own: they are named after the chats, as the views are
SIDE_TABLES = ("attachments", "feedback")
QUOTED = re.compile(f'"({"|".join((*KEYS.values(), *VIEWS, *SIDE_TABLES))})"')


@dataclass(frozen=True, slots=True)
class TableNames:
    """What each of the five tables is called, by its default name."""

    custom: tuple[tuple[str, str], ...] = ()

    def of(self, name: str) -> str:
        """The name of a table or view that is called this by default."""
        names = dict(self.custom)
        if name in (*VIEWS, *SIDE_TABLES) and "chats" in names:
            return f"{names['chats']}_{name}"
        return names.get(name, name)

    def over(self, cursor: Cursor) -> Cursor:
        """The cursor, running SQL that says the default names."""
        # the proxy has all that the store's own SQL uses
        return cast(Cursor, NamedCursor(cursor, self)) if self.custom else cursor


class NamedCursor:
    """A cursor that says the tables' names for the default ones."""

    def __init__(self, cursor: Cursor, names: TableNames) -> None:
        self._cursor = cursor
        self._names = names

    def execute(self, sql: str, params: Any = None) -> Cursor:
        """As the cursor's own."""
        return self._cursor.execute(renamed(sql, self._names), params)

    def sql(self, sql: str, params: Any = None) -> Any:
        """As the cursor's own."""
        return self._cursor.sql(renamed(sql, self._names), params=params)


@lru_cache(maxsize=512)
def renamed(sql: str, names: TableNames) -> str:
    """The SQL with the tables' names in the place of the default ones."""

    def quoted(match: re.Match[str]) -> str:
        name = names.of(match[1]).replace('"', '""')
        return f'"{name}"'

    return QUOTED.sub(quoted, sql)


def table_names_of(mapping: Mapping[str, str] | None) -> TableNames:
    """The names in a mapping from chat, message, tool_call, request and agent_session.

    Raises ConfigError for an unknown key, an empty name, one used twice or by nbchat's own SQL.
    """
    custom = []
    for key, name in (mapping or {}).items():
        if key not in KEYS:
            raise ConfigError(f"table_names has no key {key!r}. Keys: {', '.join(KEYS)}.")
        if not isinstance(name, str) or not name.strip() or "\0" in name:
            raise ConfigError(f"table_names[{key!r}] = {name!r} is not a name for a table.")
        if name.lower() in STEPS:
            raise ConfigError(
                f"table_names[{key!r}] = {name!r} is what nbchat's own SQL uses. Give another."
            )
        if name != KEYS[key]:
            custom.append((KEYS[key], name))
    names = TableNames(tuple(sorted(custom)))
    every = (*KEYS.values(), *VIEWS, *SIDE_TABLES)
    taken = [names.of(name).lower() for name in every] + ["nbchat_version"]
    for name in taken:
        if taken.count(name) > 1:
            raise ConfigError(f"table_names says {name!r} twice. Give each table its own name.")
    return names
