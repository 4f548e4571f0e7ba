"""A model that called wrongly is told what was wrong and what would be right, in short."""

from enum import Enum
from typing import Literal

import pytest

from nbchat.tools import Tool, unknown_tool


class Size(Enum):
    SMALL = "small"
    LARGE = "large"


def order(city: str, size: Size = Size.SMALL, mode: Literal["a", "b"] = "a", n: int = 1): ...


def told(arguments, function=order):
    with pytest.raises(ValueError, match=r"^Invalid arguments: ") as wrong:
        Tool(function).validate(arguments)
    return str(wrong.value).removeprefix("Invalid arguments: ")


def test_an_unknown_tool_is_told_with_those_there_are():
    assert unknown_tool("xyz", ["weather", "order"]) == (
        "No tool is named 'xyz'. Tools: weather, order."
    )
    assert unknown_tool("xyz", []) == "No tool is named 'xyz'. Tools: none."


@pytest.mark.parametrize("name", ["wether", "Weather", "get_weather", "weathers"])
def test_a_name_that_is_nearly_right_is_guessed(name):
    assert f"{name!r}. Did you mean 'weather'? Tools:" in unknown_tool(name, ["order", "weather"])


def test_no_number_of_tools_and_no_name_makes_the_sentence_long():
    sentence = unknown_tool("x" * 10_000, [f"tool_{at}" for at in range(1000)])

    assert len(sentence) < 800
    assert "tool_0, tool_1" in sentence
    assert sentence.endswith(" more.")


def test_a_wrong_value_is_told_with_the_allowed_ones_and_what_was_given():
    assert told({"city": "Oslo", "size": "huge", "mode": "c"}) == (
        "size: Input should be 'small' or 'large' (given 'huge'); "
        "mode: Input should be 'a' or 'b' (given 'c')."
    )


def test_an_unheard_of_argument_is_told_with_the_nearest_name():
    assert told({"city": "Oslo", "sise": 1}) == "sise: not a parameter (did you mean 'size'?)."
    assert told({"city": "Oslo", "zzz": 1}) == (
        "zzz: not a parameter (those are city, size, mode, n)."
    )


def test_a_long_value_is_told_in_short():
    problem = told({"city": "Oslo", "n": "9" * 100_000 + "x"})

    assert problem.startswith("n: Unable to parse")
    assert len(problem) < 200
    assert problem.endswith("…).")


def test_many_problems_are_told_as_far_as_they_fit():
    def many(values: list[int]): ...

    problem = told({"values": ["x"] * 500}, many)

    assert 800 < len(problem) <= 1100
    assert problem.startswith("values.0: ")
    assert problem.endswith("more.")


def test_a_long_name_is_told_in_short():
    problem = told({"city": "Oslo", "x" * 5000: 1})

    assert len(problem) < 200
