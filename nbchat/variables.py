"""A notebook's variables in a prompt: where they are named, and what is said of them.

What is said keeps to a budget, and is text only: nothing of a value is run but its own repr.
"""

import re
import sys
from types import ModuleType
from typing import Any

from nbchat.messages import Message
from nbchat.render.plain import clip

BUDGET = 4_000  # characters of one value
COLUMNS = 50

# `@` of an address, a decorator's call or an attribute's is none of ours
NAME = r"(?<![\w@.+-])@(?P<name>[^\W\d]\w*)(?![\w@(/]|[.-]\w)"
MARK = re.compile(NAME)


def is_value(value: Any) -> bool:
    """Whether it can be said in words: a decorator's name after `@` is no data."""
    return not callable(value) and not isinstance(value, ModuleType)


def in_words(value: Any) -> str:
    """Text as it is, a frame described, anything else as its repr."""
    if isinstance(value, str | Message):
        return str(value)
    if is_frame(value):
        return describe(value)
    return clip(repr(value), BUDGET)


def is_frame(value: Any) -> bool:
    """Whether it is a pandas frame; pandas is not loaded to find out."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, pandas.DataFrame)


def describe(frame: Any) -> str:
    """A frame's shape, columns and as many first rows as the budget allows."""
    dtypes = [f"{name}: {dtype}" for name, dtype in frame.dtypes.items()]
    more = f", and {len(dtypes) - COLUMNS} more" if len(dtypes) > COLUMNS else ""
    head = (
        f"DataFrame of {len(frame):,} rows and {len(dtypes):,} columns "
        f"({', '.join(dtypes[:COLUMNS])}{more})"
    )
    for count in (20, 10, 5, 2):
        rows = frame.iloc[:count, :COLUMNS].to_string(max_colwidth=80)
        if len(head) + len(rows) < BUDGET:
            break
    return clip(f"{head}. First rows:\n{rows}", BUDGET)
