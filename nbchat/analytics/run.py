"""Runs a question's .sql file with its parameters; the frame has the file's columns."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbchat.store import Store
from nbchat.store.frames import frame_of_question

if TYPE_CHECKING:
    import pandas

QUESTIONS = Path(__file__).parent / "questions"


@cache
def question_sql(name: str) -> str:
    """The text of a question."""
    return (QUESTIONS / f"{name}.sql").read_text(encoding="utf-8")


def answer(store: Store, name: str, **params: Any) -> "pandas.DataFrame":
    """The question's rows."""
    import pandas  # noqa: F401  # its slow first load must not hold the store

    sql = question_sql(name)
    return store.read(lambda cursor: frame_of_question(cursor, sql, params or None))
