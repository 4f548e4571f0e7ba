"""Random turns: rounds of text, thinking and tool calls, with everything that can go wrong.

A `Round` plays the same on every provider: in the words of a wire, or as the items of a
respond function.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

import nbchat
from nbchat.exchange import Usage
from nbchat.messages import Part, Text, Thinking, ToolCall
from nbchat.testing import Answer, Received, answer_to, said, sse

MAX_TOOL_ROUNDS = 2
PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}
ENDS = ("whole", "whole", "whole", "refused", "broken", "cut")


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def echo(text: str) -> str:
    """Say it again."""
    return text


async def fail() -> None:
    """Never works."""
    raise ValueError("it failed")


def finish(answer: str) -> None:
    """Give the answer."""
    raise nbchat.Halt(answer)


def explode() -> None:
    """Ends everything."""
    raise nbchat.ToolError("exploded", fatal=True)


TOOLS = (add, echo, fail, finish, explode)


@dataclass(frozen=True)
class Round:
    """One reply: what is said, how often it is refused before, and how it ends."""

    parts: tuple[Part, ...]
    usage: Usage
    end: str = "whole"
    retries: int = 0


def calls() -> st.SearchStrategy[tuple[str, Any]]:
    numbers = st.integers(-(10**12), 10**12)
    return st.one_of(
        st.tuples(st.just("add"), st.fixed_dictionaries({"a": numbers, "b": numbers})),
        st.tuples(st.just("echo"), st.fixed_dictionaries({"text": words()})),
        st.sampled_from([
            ("add", {"a": "x", "b": 1}), ("add", {}), ("add", '{"a": 1, "b"'), ("add", "[1]"),
            ("nobody", {"x": None}), ("fail", {}), ("fail", {}),
        ]),
    )  # fmt: skip


def words() -> st.SearchStrategy[str]:
    letters = st.characters(exclude_categories=["Cs"])
    return st.one_of(st.sampled_from(["yes", "né ", "🙂", " "]), st.text(letters, min_size=1))


@st.composite
def rounds(draw: st.DrawFn) -> Round:
    parts: list[Part] = []
    if draw(st.booleans()):
        parts.append(Thinking(draw(words()), "sig"))
    if draw(st.integers(0, 3)):
        parts.append(Text(draw(words())))
    given_calls = draw(st.lists(calls(), max_size=3))
    last = draw(st.sampled_from([None, None, None, None, ("finish", {"answer": "so"}),
                                 ("explode", {})]))  # fmt: skip
    if last is not None:
        given_calls.insert(draw(st.integers(0, len(given_calls))), last)
    for number, (name, arguments) in enumerate(given_calls):
        parts.append(ToolCall(name, arguments, draw(st.sampled_from([f"c{number}", "same"]))))
    if not parts:
        parts.append(Text("."))
    usage = draw(st.sampled_from([Usage(), Usage(10, 5), Usage(100, 20, 30, 10)]))
    end, retries = draw(st.sampled_from(ENDS)), draw(st.sampled_from([0, 0, 0, 1]))
    return Round(tuple(parts), usage, end, retries)


def turns() -> st.SearchStrategy[list[Round]]:
    """Rounds enough for any turn; what the turn does not reach is never played."""
    done = st.builds(Round, st.just((Text("done"),)), st.just(Usage(1, 1)))
    return st.lists(rounds(), max_size=2).flatmap(
        lambda some: st.tuples(done, done).map(lambda more: [*some, *more])
    )


def on_wire(script: list[Round]) -> Iterator[Any]:
    """The rounds as answers of a server; broken ones are streams whatever was asked for."""
    for spoken in script:
        for _ in range(spoken.retries):
            yield Answer(429, {"retry-after": "0"}, b"slow down")
        if spoken.end == "refused":
            yield Answer(400, {}, b'{"error": {"type": "x", "message": "no"}}')
        elif spoken.end == "whole":
            yield said(*spoken.parts, usage=spoken.usage)
        else:
            yield lambda received, spoken=spoken: broken_answer(received, spoken)


def broken_answer(received: Received, spoken: Round) -> Answer:
    """All that is said, and then no end."""
    spoken = replace(spoken, parts=said_only(spoken))
    whole = answer_to(received.path, said(*spoken.parts), stream=True)
    pieces = [piece for piece in whole.body if not is_end(piece)]
    if spoken.end == "broken":
        error = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
        pieces += sse([error])
    return Answer(body=pieces, cut=spoken.end == "cut")


def is_end(piece: bytes) -> bool:
    marks = (b"[DONE]", b"message_delta", b"message_stop", b'"finish_reason"')
    return any(mark in piece for mark in marks)


def said_only(spoken: Round) -> tuple[Part, ...]:
    """What can be said before an answer breaks off; something, for else it never began."""
    said_parts = (part for part in spoken.parts if not isinstance(part, ToolCall))
    return tuple(said_parts) or (Text("."),)


def in_process(script: list[Round]) -> Iterator[Any]:
    """The rounds as replies of a respond function."""
    for spoken in script:
        for _ in range(spoken.retries):
            yield nbchat.RateLimited("slow down", status=429, retry_after_s=0.0)
        if spoken.end == "refused":
            yield nbchat.BadRequest("no", status=400)
        elif spoken.end == "whole":
            yield iter([*spoken.parts, spoken.usage])
        else:
            kind = nbchat.ServerError if spoken.end == "broken" else nbchat.BrokenStream
            yield iter([*said_only(spoken), kind("busy", status=200)])
