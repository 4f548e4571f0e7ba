"""A tool that asks for the context of its call gets it, and the model hears nothing of it."""

import asyncio
import threading
from typing import Annotated, Optional

import pytest

import nbchat
from nbchat.tools import Tool, ToolContext, as_tool


def first(context: ToolContext, city: str) -> str:
    """Weather.

    Args:
        context: ours
        city: where
    """
    return f"{city} {context.chat_id}"


def last(city: str, ctx: ToolContext | None = None) -> None: ...


def in_old_words(city: str, c: Optional[ToolContext] = None) -> None: ...  # noqa: UP045


def in_a_string(city: str, c: "ToolContext") -> None: ...


def annotated(city: str, *, c: Annotated[ToolContext, "ours"]) -> None: ...


class Instance:
    def execute(self, city: str, c: ToolContext) -> None: ...


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (first, "context"), (last, "ctx"), (in_old_words, "c"), (in_a_string, "c"),
        (annotated, "c"), (Instance, "c"),
    ],
)  # fmt: skip
def test_the_context_is_named_and_not_described(function, name):
    made = as_tool(function)

    assert made.context_parameter == name
    assert list(made.spec.parameters["properties"]) == ["city"]
    assert made.validate({"city": "Oslo"}) == {"city": "Oslo"}


def test_a_tool_that_does_not_ask_gets_none():
    def plain(context: str) -> None: ...

    assert Tool(plain).context_parameter is None


def test_a_model_cannot_give_the_context():
    stated = {"name": "x", "handler": last, "parameters": {"properties": {"city": {}}}}

    for made in (Tool(last), as_tool(stated)):
        with pytest.raises(ValueError, match="ctx: not a parameter"):
            made.validate({"city": "Oslo", "ctx": {}})
        assert made.context_parameter == "ctx"


def test_two_contexts_are_refused():
    def twice(a: ToolContext, b: ToolContext) -> None: ...

    with pytest.raises(nbchat.ConfigError, match="a and b both ask"):
        Tool(twice)


def test_a_context_can_be_made_by_hand_to_try_a_tool():
    context = ToolContext(chat_id="7")

    assert first(context, "Oslo") == "Oslo 7"
    assert (context.cancelled, context.inputs, context.repeats) == (False, {}, 0)
    assert context.progress(1) is None
    assert context.confirm("sure?") is False
    assert asyncio.run(context.aconfirm("sure?")) is False


def test_a_context_passes_on_to_what_it_was_given():
    cancel, seen = threading.Event(), []

    async def yes(question):
        return question == "sure?"

    context = ToolContext(
        cancel=cancel, on_progress=seen.append, on_confirm="sure?".__eq__, on_aconfirm=yes
    )
    context.progress({"done": 1})
    before = context.cancelled
    cancel.set()

    assert (before, context.cancelled, seen) == (False, True, [{"done": 1}])
    assert (context.confirm("sure?"), asyncio.run(context.aconfirm("sure?"))) == (True, True)
