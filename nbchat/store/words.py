"""Words to look for, as DuckDB compares them: in its lower case, and cut to their stems.

A stem is known where DuckDB's own function `stem` is, which its extension `fts` brings; its
index is not used, for inserts do not update it. A macro of that name is its owner's. Reads only.
"""

from collections.abc import Sequence

from nbchat.store.file import Cursor
from nbchat.store.values import clean


def lowered(cursor: Cursor, words: Sequence[str]) -> list[str]:
    """Each word as it may be stored, in lower case."""
    held = [clean(word) for word in words]
    rows = cursor.execute("select list_transform(?::varchar[], lambda word: lower(word))", [held])
    return list(rows.fetchall()[0][0])


def stems(cursor: Cursor, words: Sequence[str]) -> list[str]:
    """Each word's English stem where it is the word's beginning, else the word itself."""
    known = cursor.execute(
        "select count(*) from duckdb_functions() "
        "where database_name = 'system' and function_name = 'stem' and len(parameter_types) = 2"
    ).fetchall()
    if known == [(0,)]:
        return list(words)
    rows = cursor.execute(
        "select list_transform(?::varchar[], lambda word: system.main.stem(word, 'porter'))",
        [list(words)],
    )
    found = rows.fetchall()[0][0]
    return [
        stem if stem and word.startswith(stem) else word
        for word, stem in zip(words, found, strict=True)
    ]
