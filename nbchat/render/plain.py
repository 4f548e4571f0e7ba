"""Untrusted text made harmless for a terminal, and numbers put into words.

Invariant: `clean` leaves no control character but newline and tab, so that text can
neither drive a terminal nor reorder what surrounds it. Knows no HTML.
"""

import re
from decimal import Decimal
from html import escape

CSI = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]")
OSC = re.compile(r"(?:\x1b\]|\x9d)[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)")
# C0, DEL and C1, then the bidirectional embeddings, overrides and isolates
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
SURROGATES = re.compile(r"[\ud800-\udfff]")


def clean(text: str) -> str:
    """The text without terminal sequences and control characters, newlines as `\\n`.

    No rule reaches across a newline, so whole lines may be cleaned one by one.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = OSC.sub("", CSI.sub("", text))
    return SURROGATES.sub("\ufffd", CONTROLS.sub("", text))


def escaped(text: str) -> str:
    """The text, cleaned, for any place between or inside HTML tags."""
    return escape(clean(text))


def clip(text: str, limit: int) -> str:
    """The text, cut after `limit` characters with a word on how many are missing."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}… ({len(text) - limit:,} more characters)"


def one_line(text: str, limit: int) -> str:
    """The text, cleaned, on one line and clipped."""
    return clip(" ".join(clean(text).split()), limit)


def money(cost_usd: Decimal | float) -> str:
    """Dollars to four places; a cost too small for them is not shown as nothing."""
    return "<$0.0001" if 0 < cost_usd < 0.0001 else f"${cost_usd:,.4f}"


def time_in_words(duration_ms: float) -> str:
    """A duration, as exact as its length asks for."""
    seconds = round(duration_ms / 1000)
    if duration_ms < 1000:
        return f"{duration_ms:.0f} ms"
    if duration_ms < 10_000:
        return f"{duration_ms / 1000:.1f} s"
    return f"{seconds} s" if seconds < 60 else f"{seconds // 60} min {seconds % 60} s"


def size_in_words(count: int) -> str:
    """A size in bytes, KB or MB."""
    if count < 1000:
        return f"{count} bytes"
    size, unit = (count / 1e3, "KB") if count < 999_500 else (count / 1e6, "MB")
    return f"{size:.1f} {unit}" if size < 9.95 else f"{size:.0f} {unit}"


def joined(pieces: list[str | None]) -> str:
    """The pieces that are known, on one line."""
    return " · ".join(one_line(piece, 200) for piece in pieces if piece)
