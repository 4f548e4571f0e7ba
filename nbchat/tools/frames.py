"""Frames as text for a model: whole as CSV, or as many rows and columns as it may have.

pandas is never imported here: a frame can only have come from it if somebody else did. Of a
frame that is too large only the rows that can be shown are ever made into text.
"""

import csv
import io
import sys
from collections.abc import Sequence
from itertools import islice
from typing import Any

from nbchat.tools.cut import cut_end

WHOLE_CELLS = 200_000  # a frame with more is not made into text as a whole
WHOLE_BYTES = 200_000_000
CELL = 200  # characters of a cell in a table that is cut
SAMPLE_ROWS = 5  # rows by which the columns that fit are chosen
NAMES = 20  # columns not shown that are named
GAP = "…\n"
CELLS_CUT = f"cells are cut at {CELL} characters"
PLAIN_KINDS = "iufcbmM"  # numpy's kinds whose cells are short


def frame_of(value: Any) -> Any:
    """The value as a pandas frame or series, or None if it is no table."""
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(value, pandas.DataFrame | pandas.Series):
        return value
    kind = type(value)
    if kind.__name__ == "Styler" and kind.__module__.startswith("pandas."):
        return value.data
    if callable(getattr(kind, "to_pandas", None)):
        try:
            return frame_of(value.to_pandas())
        except ImportError:  # polars asks for pyarrow here, and has a way without
            return _frame_of_lists(value)
    if kind.__module__.partition(".")[0] in ("duckdb", "_duckdb") and hasattr(kind, "df"):
        return frame_of(value.df())  # a relation
    return None


def _frame_of_lists(value: Any) -> Any:
    import pandas  # slow, and mostly not needed

    if hasattr(value, "to_dict"):
        return pandas.DataFrame(value.to_dict(as_series=False))
    return pandas.Series(value.to_list(), name=value.name)


def is_frame(value: Any) -> bool:
    """Whether the value is a table, without making it one."""
    pandas = sys.modules.get("pandas")
    kind = type(value)
    return (
        (pandas is not None and isinstance(value, pandas.DataFrame | pandas.Series))
        or (kind.__name__ == "Styler" and kind.__module__.startswith("pandas."))
        or callable(getattr(kind, "to_pandas", None))
        or (kind.__module__.partition(".")[0] in ("duckdb", "_duckdb") and hasattr(kind, "df"))
    )


def text_of_frame(frame: Any, limit: int | None) -> tuple[str, int | None]:
    """A frame in at most `limit` characters, and how many the whole CSV has.

    That is None for a frame that is too large to be made into text as a whole, unless there
    is no limit.
    """
    full_chars = None
    if limit is None or not _is_dear(frame):
        # numbers that only count the rows tell the model nothing
        text = str(frame.to_csv(index=type(frame.index).__name__ != "RangeIndex"))
        full_chars = len(text)
        if limit is None or full_chars <= limit:
            return text, full_chars
    return _table(frame.to_frame() if frame.ndim == 1 else frame, limit), full_chars


def _is_dear(frame: Any) -> bool:
    if max(frame.size, len(frame)) > WHOLE_CELLS:
        return True
    used = frame.memory_usage(deep=True)
    return int(used if frame.ndim == 1 else used.sum()) > WHOLE_BYTES


def _table(frame: Any, limit: int) -> str:
    rows = len(frame)
    shown = _columns_that_fit(frame, limit // 2)
    hidden = _names(frame.columns[shown:], limit // 8)
    header = _line([*_index_names(frame), *map(str, frame.columns[:shown])])
    longest_note = _note(frame, _rows_shown(rows, rows), hidden)
    room = limit - len(header) - len(longest_note) - len(GAP)
    head, tail = _rows_that_fit(frame.iloc[:, :shown], room)
    is_whole = len(head) + len(tail) == rows
    note = _note(frame, CELLS_CUT if is_whole else _rows_shown(len(head), len(tail)), hidden)
    table = "".join([header, *head, *([] if is_whole else [GAP]), *tail])
    return cut_end(table, max(limit - len(note), 0)) + note[:limit]


def _columns_that_fit(frame: Any, room: int) -> int:
    """How many columns fit if their names and a few of their rows take no more than this."""
    few = frame.iloc[:SAMPLE_ROWS]
    wide = few.iloc[:, : room // (2 + 2 * len(few)) + 1]  # a name, cells and their commas
    cells = list(zip(*_cells(wide), strict=True)) or [()] * wide.shape[1]
    cells = cells[len(_index_names(frame)) :] if len(wide) else cells
    for at, (name, column) in enumerate(zip(wide.columns, cells, strict=True)):
        room -= min(len(str(name)), CELL) + 1 + sum(len(cell) + 1 for cell in column)
        if room < 0 and at > 0:
            return at
    return int(wide.shape[1])


def _rows_that_fit(frame: Any, room: int) -> tuple[list[str], list[str]]:
    """The first rows as lines and, where not all fit, a few of the last."""
    rows, width = len(frame), frame.shape[1] + len(_index_names(frame)) or 1
    most = max(min(rows, room // width + 1), 1)  # a line has as many characters as cells
    lines = [_line(cells) for cells in _cells(frame.iloc[:most])]
    if most == rows and sum(map(len, lines)) <= room:
        return lines, []
    head = _fitting(lines, room * 9 // 10)
    room -= sum(map(len, head))
    most = min(rows - len(head), room // width + 1)
    last = [_line(cells) for cells in _cells(frame.iloc[rows - most :])]
    return head, _fitting(last[::-1], room)[::-1]


def _fitting(lines: Sequence[str], room: int) -> list[str]:
    kept = []
    for line in lines:
        room -= len(line)
        if room < 0:
            break
        kept.append(line)
    return kept


def _cells(frame: Any) -> list[list[str]]:
    """Every row's cells as pandas writes them, the index first, the long ones cut."""
    pandas = sys.modules["pandas"]
    index = frame.index.to_frame(index=False) if _index_names(frame) else None
    parts = [part.reset_index(drop=True) for part in (index, frame) if part is not None]
    columns = [part.iloc[:, at] for part in parts for at in range(part.shape[1])]
    if not columns or not len(frame):
        return [[] for _ in range(len(frame))]
    short = pandas.concat([_shortened(column) for column in columns], axis=1)
    text = short.to_csv(index=False, header=False, lineterminator="\n")
    return list(csv.reader(io.StringIO(text)))


def _shortened(column: Any) -> Any:
    if getattr(column.dtype, "kind", "O") in PLAIN_KINDS:
        return column
    return column.astype(object).map(_cell)


def _cell(value: Any) -> Any:
    if isinstance(value, int | float) or value is None:
        return value
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    try:
        return cut_end(value if isinstance(value, str) else str(value), CELL)
    except Exception as error:
        return f"({type(error).__name__})"


def _index_names(frame: Any) -> list[str]:
    if type(frame.index).__name__ == "RangeIndex":
        return []
    return ["" if name is None else str(name) for name in frame.index.names]


def _line(cells: Sequence[str]) -> str:
    held = io.StringIO()
    csv.writer(held, lineterminator="\n").writerow([cut_end(cell, CELL) for cell in cells])
    return held.getvalue()


def _names(columns: Any, room: int) -> str:
    """The columns that are not shown, by name as far as they fit."""
    named: list[str] = []
    for name in islice(columns, NAMES):
        room -= min(len(str(name)), CELL) + 2
        if room < 0:
            break
        named.append(cut_end(str(name), CELL))
    more = len(columns) - len(named)
    return ", ".join(named) + ((" and " if named else "") + f"{more:,} more" if more else "")


def _rows_shown(first: int, last: int) -> str:
    return f"the first {first:,} and last {last:,} are shown"


def _note(frame: Any, shown: str, hidden: str) -> str:
    """What is said under a table that is not whole."""
    rows, columns = frame.shape
    without = f"; columns not shown: {hidden}" if hidden else ""
    return f"({rows:,} rows x {columns:,} columns; {shown}{without})"
