"""Text that is too long for a model, cut to what it may have.

A cut never parts what is one character to a reader, and never makes text longer.
"""

import unicodedata

JOINS = {"\u200d", "\ufe0e", "\ufe0f"}  # joiner and variation selectors
FARTHEST = 16  # characters that a cut moves to find a place between two of a reader's


def cut_end(text: str, longest: int) -> str:
    """The beginning of the text, with an ellipsis if that is not all."""
    if len(text) <= longest:
        return text
    return text[: _place(text, longest - 1)] + "…" if longest > 0 else ""


def cut_middle(text: str, longest: int) -> str:
    """The beginning and the end of the text, and between them how much was left out."""
    if len(text) <= longest:
        return text
    room = longest - len(_left_out(len(text), len(text)))
    if room < longest // 2:  # too little for a sentence about it
        return cut_end(text, longest)
    start = _place(text, room * 4 // 5)
    end = _place(text, len(text) - (room - room * 4 // 5), forward=True)
    return text[:start] + _left_out(end - start, len(text)) + text[end:]


def _left_out(chars: int, full_chars: int) -> str:
    return f"\n[… {chars:,} of {full_chars:,} characters left out …]\n"


def _place(text: str, at: int, *, forward: bool = False) -> int:
    """The nearest place for a cut, earlier or later, that parts no character."""
    for step in range(FARTHEST):
        place = at + step if forward else at - step
        if not 0 < place < len(text) or not _is_within(text, place):
            return min(max(place, 0), len(text))
    return at


def _is_within(text: str, at: int) -> bool:
    after = text[at]
    return (
        "\udc00" <= after <= "\udfff"
        or after in JOINS
        or text[at - 1] == "\u200d"
        or "\U0001f3fb" <= after <= "\U0001f3ff"  # skin tones
        or unicodedata.combining(after) != 0
    )
