"""DuckDB results as pandas frames with fixed dtypes, whatever the rows hold.

UUIDs become text, DECIMAL becomes Float64, times become datetime64[us, UTC]; empty, full
and NULL-heavy results have the same dtypes.
"""

import re
from typing import TYPE_CHECKING, Any

import duckdb

if TYPE_CHECKING:
    import pandas

DTYPES = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT"), "Int64"),
    **dict.fromkeys(("UTINYINT", "USMALLINT", "UINTEGER"), "Int64"),
    **dict.fromkeys(("FLOAT", "DOUBLE", "HUGEINT", "UHUGEINT", "UBIGINT", "BIGNUM"), "Float64"),
    **dict.fromkeys(("VARCHAR", "JSON", "UUID"), "string"),
    "BOOLEAN": "boolean",
}
TIMES = {"DATE", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"}
# not where it is a field's name, which a type follows, nor in quotes
UUID = re.compile(r"""("(?:[^"]|"")*"|'(?:[^']|'')*')|\bUUID\b(?! )""")
PREFIXED_DTYPES = {"DECIMAL": "Float64", "ENUM": "string"}


def frame_of(
    cursor: duckdb.DuckDBPyConnection, sql: str, params: Any = None, at_most: int | None = None
) -> "pandas.DataFrame":
    """The query's rows as a frame, fetched whole, or only the first `at_most` of them."""
    import pandas as pd  # takes longer to load than all of nbchat

    relation = cursor.sql(sql, params=params)
    if relation is None:
        return pd.DataFrame()
    if at_most is not None:
        relation = relation.limit(at_most)
    names, types = relation.columns, [str(type_) for type_ in relation.types]
    held = list(map(_with_text_for_ids, types))
    if held != types:
        relation = relation.project(
            ", ".join(map(_cast, range(1, len(names) + 1), names, types, held))
        )
    return _typed_frame(relation.df(), names, types)


def frame_of_question(
    cursor: duckdb.DuckDBPyConnection, sql: str, params: Any = None
) -> "pandas.DataFrame":
    """As `frame_of`, for SQL that only reads; planned once unless it gives UUIDs."""
    result = cursor.execute(sql, params)
    names = [name for name, *_ in result.description or ()]
    types = [str(type_) for _, type_, *_ in result.description or ()]
    if any("UUID" in type_ for type_ in types):
        result.abort()
        return frame_of(cursor, sql, params)
    return _typed_frame(result.df(), names, types)


def _typed_frame(
    frame: "pandas.DataFrame", names: list[str], types: list[str]
) -> "pandas.DataFrame":
    import pandas as pd  # takes longer to load than all of nbchat

    columns = [_typed(frame.iloc[:, at], type_) for at, type_ in enumerate(types)]
    typed = pd.concat(columns, axis=1) if columns else frame
    typed.columns = pd.Index(names)
    return typed


def _with_text_for_ids(type_: str) -> str:
    return UUID.sub(lambda found: found[1] or "VARCHAR", type_)


def _cast(position: int, name: str, type_: str, held: str) -> str:
    quoted = name.replace('"', '""')
    return f'#{position}{"" if held == type_ else f"::{held}"} as "{quoted}"'


def _typed(column: "pandas.Series[Any]", type_: str) -> "pandas.Series[Any]":
    if type_ == "TIMESTAMP WITH TIME ZONE":
        return column.astype("datetime64[us, UTC]")
    if type_ in TIMES:
        return column.astype("datetime64[us]").dt.tz_localize("UTC")
    dtype: Any = DTYPES.get(type_) or PREFIXED_DTYPES.get(type_.partition("(")[0])
    return column.astype(dtype) if dtype else column
