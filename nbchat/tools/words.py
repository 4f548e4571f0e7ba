"""What a model is told when it called a tool wrongly: what was wrong, and what would be right.

No sentence is longer than a model needs to correct itself, whatever it sent.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

LONGEST = 1000  # characters for all problems of one call
GIVEN = 60  # characters of a value that was given


def short(value: Any, longest: int = GIVEN) -> str:
    """The value as Python shows it, cut to a length."""
    if isinstance(value, str):
        value = value[: longest + 1]  # no repr of megabytes
    try:
        shown = repr(value)
    except Exception as error:
        shown = f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


def listed(items: Iterable[str], longest: int = LONGEST // 2) -> str:
    """The items with commas, as many as fit, and how many more there are."""
    return _joined([*items], ", ", longest) or "none"


def unknown_tool(name: str, known: Iterable[str]) -> str:
    """What to tell a model that called a tool that is not there."""
    known = [*known]
    near = nearest(name, known)
    guess = f" Did you mean {near!r}?" if near else ""
    return f"No tool is named {short(name, 80)}.{guess} Tools: {listed(known)}."


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant."""
    by_lower = {each.lower(): each for each in known}
    near = get_close_matches(name[:100].lower(), by_lower, n=1)
    return by_lower[near[0]] if near else None


def not_a_parameter(name: str, known: Iterable[str]) -> str:
    """The problem of an argument that the tool does not take."""
    known = [*known]
    near = nearest(name, known)
    right = f"did you mean {near!r}?" if near else f"those are {listed(known, 300)}"
    return f"{short_name(name)}: not a parameter ({right})"


def short_name(name: str) -> str:
    """A name that came from the model, cut to a length."""
    return name if len(name) <= GIVEN else f"{name[: GIVEN - 1]}…"


def invalid_arguments(problems: Iterable[str]) -> str:
    """What to tell a model whose arguments do not fit; all problems, as far as they fit."""
    return f"Invalid arguments: {_joined([*problems], '; ', LONGEST)}."


def _joined(items: list[str], between: str, longest: int) -> str:
    room = longest - len(f"{between}and {len(items)} more")
    shown: list[str] = []
    for item in items:
        if sum(map(len, shown)) + len(between) * len(shown) + len(item) > room:
            break
        shown.append(item)
    left = len(items) - len(shown)
    if not shown and items:
        shown, left = [f"{items[0][: room - 1]}…"], left - 1
    return between.join(shown) + (f"{between}and {left} more" if left else "")
