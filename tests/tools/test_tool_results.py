"""What a tool returns becomes the text that the model is told, whatever it is."""

import dataclasses
import datetime
import enum
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel

from nbchat.tools import text_of_result


class Order(BaseModel):
    id: int
    sum: Decimal = Decimal("1.50")


@dataclasses.dataclass
class Point:
    x: int
    y: int


class Colour(enum.Enum):
    RED = "red"


class Word(str, enum.Enum):  # noqa: UP042  text of the older kind
    YES = "yes"


FRAME = pd.DataFrame({"city": ["Oslo", "Rome"], "rain": [1.5, None]})
RESULTS = [
    (None, ""),
    ("as it is\n", "as it is\n"),
    (Word.YES, "yes"),
    (5, "5"),
    (1.5, "1.5"),
    (True, "true"),
    (Decimal("1.50"), '"1.50"'),
    ([1, "é", None], '[1, "é", null]'),
    ((1, 2), "[1, 2]"),
    ({3}, "[3]"),
    ({"a": {"b": [1]}}, '{"a": {"b": [1]}}'),
    (datetime.date(2026, 1, 2), '"2026-01-02"'),
    (Colour.RED, '"red"'),
    (Point(1, 2), '{"x": 1, "y": 2}'),
    (Order(id=7), '{"id": 7, "sum": "1.50"}'),
    ([Order(id=7), {"p": Point(1, 2)}], '[{"id": 7, "sum": "1.50"}, {"p": {"x": 1, "y": 2}}]'),
    (np.int64(5), "5"),
    (np.array([1, 2]), "[1, 2]"),
    ({"n": np.float64(1.5)}, '{"n": 1.5}'),
    (FRAME, "city,rain\nOslo,1.5\nRome,\n"),
    (FRAME.set_index("city"), "city,rain\nOslo,1.5\nRome,\n"),
    (FRAME["city"], "city\nOslo\nRome\n"),
    (pd.DataFrame({"n": [1]}, index=["a"]), ",n\na,1\n"),
    (pd.DataFrame(), "\n"),
    ({(1, 2): 3}, "{(1, 2): 3}"),
    (b"bytes", "\"b'bytes'\""),
]


@pytest.mark.parametrize(("value", "text"), RESULTS, ids=lambda value: repr(value)[:30])
def test_a_result_is_told_as_text(value, text):
    told = text_of_result(value)

    assert (told, type(told)) == (text, str)


def test_a_value_that_holds_itself_is_told_as_python_shows_it():
    loop: list[object] = [1]
    loop.append(loop)

    assert text_of_result(loop) == "[1, [...]]"
