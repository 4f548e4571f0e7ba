"""Small readings that every wire shares: text in pieces, arguments, counts.

Nothing here knows a protocol. Invariant: text that leaves here can be written as UTF-8.
"""

import json
import math
from typing import Any, NoReturn

from nbchat.messages import JSON

MOST_TOKENS = 2**53


class TextPieces:
    """Joins pieces of text without ever showing half a character.

    Servers that count in UTF-16 cut between the halves of one; the first half waits.
    """

    def __init__(self) -> None:
        self._held = ""

    def push(self, piece: str) -> str:
        """What can be shown now."""
        piece, self._held = self._held + piece, ""
        if piece and "\ud800" <= piece[-1] <= "\udbff":
            piece, self._held = piece[:-1], piece[-1]
        return mended(piece)

    def flush(self) -> str:
        """What was still waiting for its other half."""
        held, self._held = self._held, ""
        return mended(held)


def mended(text: str) -> str:
    """The text with halved characters joined, or replaced when one half is missing."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def parse_arguments(text: str, *, whole: bool = True) -> dict[str, Any] | str:
    """A call's arguments as a dict, or the text itself when it is not one JSON object.

    No text means no arguments, unless the call is not `whole`: then more may be missing.
    """
    text = mended(text)
    if whole and not text.strip():
        return {}
    try:
        value = json.loads(text, parse_constant=refuse_constant, parse_float=finite)
    except (ValueError, RecursionError):
        return text
    return dict(storable(value)) if isinstance(value, dict) else text


def finite(text: str) -> float:
    """The number, unless it is too large to be written as JSON again."""
    number = float(text)
    return number if math.isfinite(number) else refuse_constant(text)


def refuse_constant(name: str) -> NoReturn:
    """NaN and Infinity are Python's, not JSON's; nothing else could read them back."""
    raise ValueError(f"{name} is not JSON")


def compact(value: JSON) -> str:
    """The value as JSON, the same bytes every time."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def read_json(text: str) -> JSON:
    """The value of JSON text; NaN and Infinity, which some servers write, are null.

    Raises ValueError for anything that is not JSON, however deep.
    """
    try:
        return json.loads(text, parse_constant=lambda name: None)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def storable(value: JSON) -> JSON:
    """The value itself, or with halved characters mended where it holds any."""
    text = compact(value)
    whole = mended(text)
    return value if whole is text else json.loads(whole)


def count(value: JSON) -> int | None:
    """A number of tokens, or None when it is missing or nonsense."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value < MOST_TOKENS else None


def text_or_empty(value: JSON) -> str:
    """The value if it is text."""
    return mended(value) if isinstance(value, str) else ""


def first_count(*values: JSON) -> int | None:
    """The first of the values that is a number of tokens."""
    return next((number for value in values if (number := count(value)) is not None), None)


def without_nulls(value: dict[str, Any]) -> dict[str, Any]:
    """The mapping without the keys that say nothing."""
    return {key: item for key, item in value.items() if item is not None}
