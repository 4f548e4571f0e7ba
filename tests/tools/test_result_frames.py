"""A frame is told whole where it fits, and else as a table with as much as may be said."""

import csv
import io
import re

import duckdb
import numpy as np
import pandas as pd
import pytest

from nbchat.tools import MAX_CHARS, output_of, text_of_result

NOTE = re.compile(r"\(([\d,]+) rows x ([\d,]+) columns; (.*)\)$")


def read(text):
    """The table's lines as cells, and what the note under it says."""
    table, _, note = text.rpartition("\n")
    return list(csv.reader(io.StringIO(table))), NOTE.fullmatch(note).groups()


def test_a_frame_that_fits_is_csv():
    output = output_of(pd.DataFrame({"a": [1, 2]}))

    assert (output.text, output.full_chars) == ("a\n1\n2\n", 6)


def test_a_long_frame_shows_its_first_and_its_last_rows():
    frame = pd.DataFrame({"n": range(100_000), "word": "words, and more"})
    output = output_of(frame)
    rows, (count, columns, shown) = read(output.text)

    assert output.full_chars == len(frame.to_csv(index=False))
    assert MAX_CHARS * 0.95 < len(output.text) <= MAX_CHARS
    assert (count, columns) == ("100,000", "2")
    gap = rows.index(["…"])
    assert rows[0] == ["n", "word"]
    assert rows[1:gap] == [[str(at), "words, and more"] for at in range(gap - 1)]
    last = rows[gap + 1 :]
    assert last == [[str(100_000 - len(last) + at), "words, and more"] for at in range(len(last))]
    assert len(last) > 10
    assert shown == f"the first {gap - 1:,} and last {len(last):,} are shown"


def test_a_frame_of_ten_million_rows_is_never_text_as_a_whole(monkeypatch):
    written = []
    whole = pd.DataFrame.to_csv

    def to_csv(self, *args, **kwargs):
        written.append(len(self))
        return whole(self, *args, **kwargs)

    monkeypatch.setattr(pd.DataFrame, "to_csv", to_csv)
    frame = pd.DataFrame({"n": np.arange(10_000_000)})
    output = output_of(frame)
    series = output_of(frame["n"])

    assert (output.full_chars, series.full_chars) == (None, None)
    assert "(10,000,000 rows x 1 columns; the first " in output.text
    assert series.text == output.text
    assert sum(written) < 100_000


def test_a_frame_is_not_made_whole_for_its_index_or_its_long_cells(monkeypatch):
    monkeypatch.setattr("nbchat.tools.frames.WHOLE_CELLS", 1000)
    monkeypatch.setattr("nbchat.tools.frames.WHOLE_BYTES", 100_000)

    assert output_of(pd.DataFrame(index=["k"] * 1001)).full_chars is None
    assert output_of(pd.DataFrame({"t": ["x" * 50_000] * 3})).full_chars is None
    assert output_of(pd.Series(["x" * 50_000] * 3)).full_chars is None
    assert output_of(pd.DataFrame({"n": range(1000)})).full_chars == 3892


def test_long_cells_are_cut():
    frame = pd.DataFrame({"text": ["x" * 50_000, None, 'a "quoted"\nline'], "n": [1, 2, 3]})
    rows, (_, _, shown) = read(output_of(frame).text)

    assert rows == [
        ["text", "n"],
        ["x" * 199 + "…", "1"],
        ["", "2"],
        ['a "quoted"\nline', "3"],
    ]
    assert shown == "cells are cut at 200 characters"


def test_columns_that_do_not_fit_are_named():
    frame = pd.DataFrame({f"column_{at}": range(1000) for at in range(500)})
    output = output_of(frame, 2000)
    rows, (_, columns, shown) = read(output.text)

    assert columns == "500"
    assert 900 < len(output.text) <= 2000
    width = len(rows[0])
    assert 40 < width < 60
    assert rows[0] == [f"column_{at}" for at in range(width)]
    assert f"; columns not shown: column_{width}, column_{width + 1}, " in shown
    assert shown.endswith(" more")
    assert len(rows) >= 4


FRAMES = {
    "a named index": pd.DataFrame({"n": range(9999)}, index=pd.Index(range(9999), name="k")[::-1]),
    "an index of words": pd.DataFrame({"n": range(9999)}, index=["k" * 300] * 9999),
    "two indexes": pd.DataFrame({"n": range(9999)}).set_index([[*"abc"] * 3333, [*range(9999)]]),
    "columns of one name": pd.DataFrame([[1, "x" * 999]] * 999, columns=["a", "a"]),
    "columns of two levels": pd.DataFrame([[1, 2]] * 9999, columns=[["a", "a"], ["b", "c"]]),
    "no columns": pd.DataFrame(index=[f"k{at}" for at in [*range(9999)]]),
    "no rows": pd.DataFrame(columns=[f"column {at}" for at in [*range(9999)]]),
    "one long name": pd.DataFrame({"x" * 99_999: [1]}),
    "categories": pd.DataFrame({"c": pd.Categorical(["x" * 500, "y"] * 999)}),
    "times": pd.DataFrame({"t": pd.date_range("2026", periods=9999, tz="UTC", freq="s")}),
    "nullable": pd.DataFrame({"n": pd.array([1, None] * 4000, dtype="Int64"),
                              "s": pd.array(["a", None] * 4000, dtype="string")}),
    "lists": pd.DataFrame({"l": [[1] * 5000] * 20}),
    "a series": pd.Series(["words"] * 9999, name="s"),
    "a series without a name": pd.Series(["words"] * 9999),
    "wide": pd.DataFrame(np.zeros((2, 6000))),
}  # fmt: skip


@pytest.mark.parametrize("max_chars", [1, 30, 100, 1000, 5000])
@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_any_frame_fits_any_room(frame, max_chars):
    output = output_of(frame, max_chars)

    assert len(output.text) <= max_chars
    assert output.full_chars == len(
        frame.to_csv(index=type(frame.index).__name__ != "RangeIndex")
    )  # fmt: skip
    assert max_chars < 1000 or NOTE.search(output.text)
    assert max_chars < 1000 or len(output.text) > max_chars // 4 or "cells are cut" in output.text


def test_the_index_is_shown_where_it_says_something():
    rows, _ = read(output_of(FRAMES["two indexes"], 1000).text)

    assert rows[:3] == [["", "", "n"], ["a", "0", "0"], ["b", "1", "1"]]


def test_a_missing_value_is_an_empty_cell():
    rows, _ = read(output_of(FRAMES["nullable"], 1000).text)

    assert rows[1:3] == [["1", "a"], ["", ""]]


def test_a_cell_that_cannot_be_shown_takes_no_table_down():
    class Mute:
        def __repr__(self):
            raise RuntimeError("no words")

    frame = pd.DataFrame({"m": [Mute()] * 3, "n": "x" * 600})

    assert (
        "(RuntimeError)" in output_of(frame, 1000).text
        or "cannot be shown" in output_of(frame, 1000).text
    )


class Arrow:
    """As the tables of other libraries are."""

    def __init__(self, frame):
        self.frame = frame

    def to_pandas(self):
        if self.frame is None:
            raise ModuleNotFoundError("No module named 'pyarrow'")
        return self.frame


class Polars(Arrow):
    """As polars is where pyarrow is not."""

    def to_dict(self, *, as_series):
        assert not as_series
        return {"a": [1]}


class PolarsColumn(Arrow):
    name = "a"

    def to_list(self):
        return [1]


def test_tables_of_other_libraries_are_told_as_frames():
    frame = pd.DataFrame({"a": [1]})

    assert text_of_result(Arrow(frame)) == "a\n1\n"
    assert text_of_result(Arrow(frame["a"])) == "a\n1\n"
    assert text_of_result(Polars(None)) == "a\n1\n"
    assert text_of_result(PolarsColumn(None)) == "a\n1\n"
    assert text_of_result(duckdb.sql("select 1 as a")) == "a\n1\n"


def test_a_table_that_cannot_become_a_frame_is_told_so():
    assert output_of(Arrow(None)).text.startswith("[Arrow that cannot be shown: ")


def test_a_styled_frame_is_its_data():
    pytest.importorskip("jinja2")

    assert text_of_result(pd.DataFrame({"a": [1]}).style) == "a\n1\n"


def test_frames_within_other_values_are_told_in_their_place():
    frame = pd.DataFrame({"n": range(100_000)})
    value = {"total": 5, "rows": frame, "more": [frame.head(1), "end"]}
    output = output_of(value, 1000)

    assert output.text.startswith("total: 5\nrows: n\n0\n1\n")
    assert "\n(100,000 rows x 1 columns; the first " in output.text
    assert output.text.endswith("\nmore: n\n0\nend")
    assert len(output.text) <= 1000
    assert output.full_chars == len(text_of_result(value))
