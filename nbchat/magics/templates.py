"""`{{ expression }}` and `@variable` in a prompt; everything else stays as it is typed.

What was inserted is not looked at again: a value cannot bring in another one.
"""

import re
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from IPython.core.error import UsageError

from nbchat.messages import Message
from nbchat.render.plain import clip, one_line

BUDGET = 4_000  # characters of one inserted value
COLUMNS = 50

# `@` of an address, a decorator's call or an attribute's is none of ours
MARK = re.compile(
    r"\{\{(?!\s*\}\})(?P<expression>[^\n]+?)\}\}(?!\})"
    r"|(?<![\w@.+-])@(?P<name>[^\W\d]\w*)(?![\w@(/]|[.-]\w)"
)


def fill(text: str, names: Mapping[str, Any], evaluate: Callable[[str], Any]) -> str:
    """The text with values in place; raises UsageError naming an expression that fails."""

    def value_of(found: re.Match[str]) -> str:
        expression, name = found["expression"], found["name"]
        if name is not None:
            return in_words(names[name]) if name in names and is_value(names[name]) else found[0]
        try:
            return in_words(evaluate(expression.strip()))
        except Exception as error:
            reason = one_line(f"{type(error).__name__}: {error}", 200)
            raise UsageError(
                f"{{{{ {expression.strip()} }}}} failed with {reason}. Nothing was sent; "
                "--raw sends braces as they are."
            ) from error

    return MARK.sub(value_of, text)


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
