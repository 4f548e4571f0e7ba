"""A long result is cut for the model, both lengths are known, and nothing it does is raised."""

import dataclasses
import enum
import json
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

import nbchat
from nbchat.tools import MAX_CHARS, output_of, text_of_result


def test_what_fits_is_told_as_it_is():
    output = output_of({"a": 1})

    assert (output.text, output.full_chars, output.sent_chars) == ('{"a": 1}', 8, 8)
    assert output.images == ()


def test_a_long_text_keeps_its_beginning_and_its_end():
    text = "".join(f"{at:06}\n" for at in range(30_000))
    output = output_of(text)

    assert output.full_chars == len(text) == 210_000
    assert output.sent_chars == len(output.text) <= MAX_CHARS
    assert output.sent_chars > MAX_CHARS - 100
    start, left_out, end = re.split(
        r"\n\[… ([\d,]+) of 210,000 characters left out …\]\n", output.text
    )
    assert int(left_out.replace(",", "")) == len(text) - len(start) - len(end)
    assert text.startswith(start)
    assert text.endswith(end)
    assert 3.9 < len(start) / len(end) < 4.1


@given(st.text(max_size=400), st.integers(1, 300))
def test_no_text_is_longer_than_it_may_be(text, max_chars):
    output = output_of(text, max_chars)

    assert len(output.text) <= max_chars
    assert output.full_chars == len(text)
    assert (len(text) > max_chars) or output.text == text


@pytest.mark.parametrize("piece", ["👩‍👩‍👧", "e\u0301", "👍🏽", "❤️", "\ud83d\ude00"], ids=ascii)
def test_a_cut_parts_no_character(piece):
    kept = {output_of(piece * 300, at).text for at in range(200, 220)}

    for text in kept:
        start, end = re.split(r"\n\[….*…\]\n", text)
        whole = text_of_result(piece)
        assert start == whole * (len(start) // len(whole))
        assert end == whole * (len(end) // len(whole))


def test_text_can_always_be_sent():
    assert text_of_result("a\ud800b\ud83d\ude00") == "a\ufffdb😀"
    assert output_of(["\ud800"]).text == '["\ufffd"]'


def test_json_is_cut_too():
    output = output_of([*range(100_000)])

    assert output.full_chars == len(json.dumps([*range(100_000)]))
    assert (output.text[:6], output.text[-6:]) == ("[0, 1,", "99999]")
    assert len(output.text) <= MAX_CHARS


def test_a_large_array_is_summed_up():
    output = output_of({"weights": np.zeros((2000, 1000), dtype="float32")})

    assert output.full_chars is None
    assert output.text.startswith("weights: array of shape (2000, 1000) and type float32:\n[[0.")
    assert output.sent_chars < 500


def test_a_large_tensor_is_summed_up():
    class Tensor:
        """As torch's is from outside."""

        shape, dtype = (2000, 1000), "float32"

        def size(self):
            return self.shape

        def numel(self):
            return 2_000_000

        def tolist(self):
            raise AssertionError("made whole")

        def __str__(self):
            return "tensor(...)"

    assert output_of(Tensor()).text == "array of shape (2000, 1000) and type float32:\ntensor(...)"


def test_long_bytes_are_described():
    assert text_of_result(b"\0" * 5_000_000) == (
        '"5,000,000 bytes, beginning ' + repr(b"\0" * 20).replace("\\", "\\\\") + '"'
    )


@pytest.mark.parametrize("max_chars", [0, -1])
def test_no_room_at_all_is_the_callers_mistake(max_chars):
    with pytest.raises(nbchat.ConfigError):
        output_of("x", max_chars)


class Mute:
    def __repr__(self):
        raise RuntimeError("no words")


class Model(BaseModel):
    x: int = 1

    def model_dump(self, **_):
        raise KeyError("lost")


class Silent(Exception):
    def __str__(self):
        raise ValueError


class MuteTwice:
    def __repr__(self):
        raise Silent


class Fussy(dict):
    def items(self):
        raise OSError("gone")


MUTE = "[Mute that cannot be shown: RuntimeError: no words]"
HOSTILE = [
    (Mute(), f'"{MUTE}"'),
    ([1, Mute()], f'[1, "{MUTE}"]'),
    ({(1, 2): Mute()}, "[dict that cannot be shown: RuntimeError: no words]"),
    (Model(), "\"[Model that cannot be shown: KeyError: 'lost']\""),
    (MuteTwice(), '"[MuteTwice that cannot be shown: Silent]"'),
]


@pytest.mark.parametrize(("value", "text"), HOSTILE, ids=lambda value: type(value).__name__)
def test_a_value_that_cannot_be_shown_is_told_so(value, text):
    assert output_of(value).text == text


def test_what_is_nested_too_deeply_is_told_so():
    deep = []
    for _ in range(100_000):
        deep = [deep]

    assert output_of(deep).text.startswith("[list that cannot be shown: RecursionError")


def test_a_model_may_hold_what_a_model_cannot_see():
    class Report(BaseModel, arbitrary_types_allowed=True):
        title: str
        table: pd.DataFrame
        other: object = len

    told = text_of_result(Report(title="Rain", table=pd.DataFrame({"a": [1]})))

    assert told == 'title: Rain\ntable: a\n1\nother: "<built-in function len>"'


def test_an_interrupt_is_not_told_but_raised():
    class Interrupts:
        def __repr__(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        output_of(Interrupts())


def test_a_dataclass_may_hold_what_a_model_cannot_see():
    @dataclasses.dataclass
    class Pair:
        of: enum.Enum
        lock: object

    class Colour(enum.Enum):
        RED = "red"

    assert text_of_result(Pair(Colour.RED, len)) == (
        '{"of": "red", "lock": "<built-in function len>"}'
    )
