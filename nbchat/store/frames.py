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
    if any("UUID" in type_ for type_ in types):
        relation = relation.project(
            ", ".join(map(_as_text, range(1, len(names) + 1), names, types))
        )
    frame = relation.df()
    columns = [_typed(frame.iloc[:, at], type_) for at, type_ in enumerate(types)]
    typed = pd.concat(columns, axis=1) if columns else frame
    typed.columns = pd.Index(names)
    return typed


def _as_text(position: int, name: str, type_: str) -> str:
    quoted = name.replace('"', '""')
    if "UUID" not in type_:
        return f'#{position} as "{quoted}"'
    return f'#{position}::{re.sub("UUID", "VARCHAR", type_)} as "{quoted}"'


def _typed(column: "pandas.Series[Any]", type_: str) -> "pandas.Series[Any]":
    if type_ == "TIMESTAMP WITH TIME ZONE":
        return column.astype("datetime64[us, UTC]")
    if type_ in TIMES:
        return column.astype("datetime64[us]").dt.tz_localize("UTC")
    dtype: Any = DTYPES.get(type_) or PREFIXED_DTYPES.get(type_.partition("(")[0])
    return column.astype(dtype) if dtype else column
