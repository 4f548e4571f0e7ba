"""Finding what was said again: ranked full-text search without an index.

A search reads what it must only: one cheap pattern over all messages, and the rest of the
work for the newest of those that match. Nothing is kept between two searches.
"""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nbchat.analytics.conditions import checked_limit, metadata_json
from nbchat.analytics.run import answer
from nbchat.analytics.usage import Time, utc_of
from nbchat.errors import ConfigError
from nbchat.store import Store
from nbchat.store.file import Cursor
from nbchat.store.words import lowered, stems

if TYPE_CHECKING:
    import pandas

SCORED = 2_000
MOST_TERMS = 64
GATE_LENGTH = 64
TERM = re.compile(r'"([^"]*)(?:"|$)|([^\s"]+)')
ASCII = re.compile(r"[\x20-\x7e]+")


def search(
    store: Store,
    text: str,
    *,
    metadata: Mapping[str, Any] | None = None,
    since: Time | None = None,
    until: Time | None = None,
    limit: int = 20,
) -> "pandas.DataFrame":
    """One row per message, or chat by its name and metadata, that has all the words; best first.

    Only the newest 2,000 matches (or `limit`, if that is more) of each kind are ranked.
    Raises ConfigError for text without a word.
    """
    quoted, words = terms_of(text)
    conditions = {
        "metadata": metadata_json(metadata),
        "since": utc_of(since, "since"),
        "until": utc_of(until, "until"),
        "limit": checked_limit(limit),
    }

    def compared(cursor: Cursor) -> tuple[list[str], list[str]]:
        terms, phrases = lowered(cursor, words), lowered(cursor, quoted)
        return terms + phrases, stems(cursor, terms) + phrases

    terms, stemmed = store.read(compared)
    return answer(
        store, "search",
        terms=terms, stems=stemmed, gate=gate_of(stemmed), scored=max(SCORED, limit), **conditions,
    )  # fmt: skip


def terms_of(text: str) -> tuple[list[str], list[str]]:
    """The quoted phrases and the words to look for; a quote that is left open ends with the text.

    Raises ConfigError when there is nothing to look for, or too much.
    """
    if not isinstance(text, str):
        raise ConfigError(f"{text!r} is not text to search for. Give a word or a few.")
    found = TERM.findall(text)
    quoted = list(dict.fromkeys(phrase for phrase, _ in found if phrase.strip()))
    words = list(dict.fromkeys(word for _, word in found if word))
    if not quoted and not words:
        raise ConfigError(f"There is nothing to search for in {text!r}. Give a word or a few.")
    if len(quoted) + len(words) > MOST_TERMS:
        raise ConfigError(
            f"{len(quoted) + len(words)} words are too many to search for. "
            f"Give up to {MOST_TERMS}, or put quotes around what stands together."
        )
    return quoted, words


def gate_of(terms: Sequence[str]) -> str | None:
    """A pattern that text with these terms matches, of the longest run of ASCII in them.

    DuckDB's pattern search is twice as fast as lowering the text, in ASCII only, and takes
    İ for no i, as lowering does; None when there is none.
    """
    runs = [run for term in terms for run in ASCII.findall(term)]
    longest = max(runs, key=len, default="")[:GATE_LENGTH]
    return f"(?i){re.escape(longest)}" if longest else None
