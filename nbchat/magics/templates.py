"""`{{ expression }}` and `@variable` in a prompt; everything else stays as it is typed.

What was inserted is not looked at again: a value cannot bring in another one.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from IPython.core.error import UsageError

from nbchat.render.plain import one_line
from nbchat.variables import NAME, in_words, is_value

MARK = re.compile(r"\{\{(?!\s*\}\})(?P<expression>[^\n]+?)\}\}(?!\})|" + NAME)


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
