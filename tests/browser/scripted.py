"""A model whose lines are written by the test, one at a time, while the turn runs.

The test is on one side of a folder, the kernel on the other: request number N reads N.jsonl
as it grows. Nothing depends on time, and a reply that was stopped reads no more.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from nbchat.exchange import Usage
from nbchat.messages import Text, Thinking, ToolCall


class Told:
    """The test's side: the replies to the requests, in their order."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "told"
        self._folder.mkdir()
        self._replies = 0

    def reply(self, *texts: str, ended: bool = False) -> "Reply":
        """The next request's reply; `ended` if it is whole."""
        self._replies += 1
        reply = Reply(self._folder / f"{self._replies}.jsonl")
        for text in texts:
            reply.say(text)
        if ended:
            reply.end()
        return reply


class Reply:
    """A reply that the model gives as far as it has been written."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def _write(self, **line: Any) -> None:
        with self._place.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def say(self, text: str) -> None:
        self._write(kind="text", text=text)

    def think(self, text: str) -> None:
        self._write(kind="thinking", text=text)

    def call(self, name: str, **arguments: Any) -> None:
        self._write(kind="call", name=name, arguments=arguments)

    def fail(self, text: str) -> None:
        self._write(kind="error", text=text)

    def end(self) -> None:
        self._write(kind="end")


def told(folder: str = "told") -> Callable[[Any], AsyncIterator[Any]]:
    """The kernel's side: a `respond=` function that says what the test writes."""

    async def respond(request: Any) -> AsyncIterator[Any]:
        place = next_place(Path(folder))
        read = 0
        while True:
            lines = place.read_text(encoding="utf-8").split("\n")[:-1] if place.exists() else []
            for line in map(json.loads, lines[read:]):
                if line["kind"] == "end":
                    yield Usage(12, 34)
                    return
                if line["kind"] == "error":
                    raise RuntimeError(line["text"])
                yield part_of(line)
            read = len(lines)
            await asyncio.sleep(0.01)

    return respond


def next_place(folder: Path) -> Path:
    """The file of this request; counted on disk, so that a new kernel goes on."""
    number = sum(1 for _ in folder.glob("*.asked")) + 1
    (folder / f"{number}.asked").touch()
    return folder / f"{number}.jsonl"


def part_of(line: dict[str, Any]) -> Any:
    """What a line of a reply stands for."""
    if line["kind"] == "call":
        return ToolCall(line["name"], line["arguments"], f"call_{line['name']}")
    return {"text": Text, "thinking": Thinking}[line["kind"]](line["text"])
