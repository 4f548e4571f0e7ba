"""A prompt reaches the model as typed, but for `{{ expression }}` and `@variable`."""

import pandas as pd
import pytest
from IPython.core.error import UsageError

from nbchat.magics.options import CHAT, parse, split_binding
from nbchat.magics.templates import fill
from nbchat.variables import BUDGET, describe


class Names(dict):
    """Variables, and expressions over them."""

    def fill(self, text: str) -> str:
        return fill(text, self, lambda expression: eval(expression, {}, dict(self)))


@pytest.mark.parametrize(
    "text",
    [
        "don't {stop} $me {x} ${x} {} {{}} {{ }}",
        'say "it\'s" and \\frac{a}{b}',
        "mail x@y.org, x.y@x and me+x@x.org",
        "@decorate\ndef f(): ...",
        "@decorate(x)\nclass C: ...",
        "@x.route('/')",
        "@unknown and @ x and x@",
        "npm i @x/core",
        "@math",
        "100 % of %timeit and !ls",
    ],
)
def test_everything_else_stays_as_it_is(text):
    import math

    names = Names(x=1, y=2, math=math, decorate=lambda f: f)

    assert names.fill(text) == text


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{{ x + 1 }}", "42"),
        ("{{x}} and {{ name.upper() }}", "41 and ADA"),
        ("@name, is @x right?", "Ada, is 41 right?"),
        ("(@x) '@name' @x. @x: @x", "(41) 'Ada' 41. 41: 41"),
        ("{{ {'a': {'b': 1}}}}", "{'a': {'b': 1}}"),
        ("@trick {{ trick }}", "{{ x }} @x {{ x }} @x"),
        ("@größe", "3"),
    ],
)
def test_values_are_put_in_once(text, filled):
    names = Names(x=41, name="Ada", trick="{{ x }} @x", größe=3)

    assert names.fill(text) == filled


@pytest.mark.parametrize(
    ("text", "expression", "reason"),
    [
        ("{{ nothing }}", "nothing", "NameError: name 'nothing' is not defined"),
        ("{{ x + }}", "x +", "SyntaxError"),
        ("{{ 1 / 0 }}", "1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_failing_expression_is_named_with_its_reason(text, expression, reason):
    with pytest.raises(UsageError) as told:
        Names(x=1).fill(text)

    assert f"{{{{ {expression} }}}} failed with {reason}" in str(told.value)
    assert "\n" not in str(told.value)


def test_a_frame_is_described_within_its_budget():
    frame = pd.DataFrame({"city": ["Bonn", "Köln"], "people": [340_000, 1_080_000]})
    wide = pd.DataFrame({f"column_{i}": ["x" * 500] * 1_000 for i in range(300)})

    assert Names(df=frame).fill("Look: @df") == (
        "Look: DataFrame of 2 rows and 2 columns "
        f"(city: {frame['city'].dtype}, people: int64). First rows:\n"
        "   city   people\n0  Bonn   340000\n1  Köln  1080000"
    )
    assert len(describe(wide)) <= BUDGET + 40
    assert describe(wide).startswith("DataFrame of 1,000 rows and 300 columns (column_0: ")
    assert ", and 250 more)" in describe(wide)


def test_a_long_value_is_clipped():
    assert len(Names(x=list(range(100_000))).fill("@x")) < BUDGET + 40


@pytest.mark.parametrize(
    ("line", "given", "text"),
    [
        ("hello", {}, "hello"),
        ("-m a/b don't -q stop", {"model": "a/b"}, "don't -q stop"),
        ("--model=a/b -s 'Be brief' -q", {"model": "a/b", "system": "Be brief", "quiet": ""}, ""),
        ('-s "it\'s" --new hi "there"', {"system": "it's", "new": ""}, 'hi "there"'),
        ("-5 degrees", {}, "-5 degrees"),
        ("- a list", {}, "- a list"),
        ("-- -m is an option", {}, "-m is an option"),
        ("--raw -- -- x", {"raw": ""}, "-- x"),
        ("-s '' hi", {"system": ""}, "hi"),
    ],
)
def test_options_come_first_and_text_is_taken_as_it_is(line, given, text):
    assert parse(line, CHAT) == (given, text)


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("spend << select 1", ("spend", "select 1")),
        ("spend<<\nselect 1", ("spend", "select 1")),
        ("select 1 << 2", ("", "select 1 << 2")),
        ("select x\n<< 2", ("", "select x\n<< 2")),
    ],
)
def test_a_binding_is_a_name_before_two_angles(text, split):
    assert split_binding(text) == split


def test_values_come_from_the_notebook_unless_raw(notebook):
    notebook.talk("a", "b", "c")
    notebook.names["x"] = 41

    notebook.run("%chat is {{ x + 1 }} above @x, {x} or $x?")
    assert notebook.asked()[-1] == "is 42 above 41, {x} or $x?"

    notebook.run("%%chat --raw\nis {{ x + 1 }} above @x, {x} or $x?")
    assert notebook.asked()[-1] == "is {{ x + 1 }} above @x, {x} or $x?"


def test_nothing_is_sent_when_an_expression_fails(notebook):
    notebook.talk()

    notebook.run("%chat is {{ nothing }}?")

    assert notebook.stderr == (
        "UsageError: {{ nothing }} failed with NameError: name 'nothing' is not defined. "
        "Nothing was sent; --raw sends braces as they are.\n"
    )
    assert notebook.script.requests == []
