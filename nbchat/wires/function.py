"""What a `respond=` function gives, read as a reply: the in-process wire.

It may give text, parts, tool calls (also as dicts), `Usage`, a whole `Reply`, an exception,
lists of these, or an iterator of them; text and thinking of an iterator are streamed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from nbchat.errors import BrokenStream
from nbchat.exchange import Delta, Reply, Usage
from nbchat.messages import Part, Text, Thinking, ToolCall
from nbchat.wires.fragments import parse_arguments

NAME = "function"


class FunctionDecoder:
    """Collects what a function gives, item by item."""

    def __init__(self) -> None:
        self._parts: list[Part] = []
        self._usage = Usage()
        self._reply: Reply | None = None
        self._finished = False

    def feed(self, item: Any) -> Iterator[Delta]:
        """Deltas of one item; raises an exception that was given, and BrokenStream for the rest."""
        if item is None:
            return
        if isinstance(item, BaseException):
            raise item
        if isinstance(item, Usage):
            self._usage = item
        elif isinstance(item, Reply):
            self._reply = item
            yield from _deltas_of(item)
        elif isinstance(item, list | tuple):
            for inner in item:
                yield from self.feed(inner)
        else:
            yield from self._add(_part_of(item))

    def _add(self, part: Part) -> Iterator[Delta]:
        last = self._parts[-1] if self._parts else None
        if isinstance(part, Text) and isinstance(last, Text):
            self._parts[-1] = replace(last, text=last.text + part.text)
        elif isinstance(part, Thinking) and isinstance(last, Thinking) and not last.signature:
            self._parts[-1] = replace(part, text=last.text + part.text)
        else:
            self._parts.append(part)
        if isinstance(part, Text | Thinking) and part.text:
            yield Delta(part.kind, part.text)  # type: ignore[arg-type]  # the two kinds alike

    def finish(self) -> None:
        """Say that nothing more comes."""
        self._finished = True

    def reply(self) -> Reply:
        """The reply as far as it has come."""
        if self._reply is not None:
            return self._reply
        calls = any(isinstance(part, ToolCall) for part in self._parts)
        reason = ("tool_calls" if calls else "stop") if self._finished else None
        return Reply(tuple(self._parts), None, self._usage, reason)  # type: ignore[arg-type]


def _deltas_of(reply: Reply) -> Iterator[Delta]:
    for part in reply.parts:
        if isinstance(part, Text | Thinking) and part.text:
            yield Delta(part.kind, part.text)  # type: ignore[arg-type]


def _part_of(item: Any) -> Part:
    if isinstance(item, str):
        return Text(item)
    if isinstance(item, Text | Thinking | ToolCall):
        return item
    if isinstance(item, Mapping):
        call = item.get("function", item)  # also in the shape that OpenAI made common
        if isinstance(call, Mapping) and isinstance(call.get("name"), str):
            id_ = item.get("tool_call_id") or item.get("id") or ""
            arguments = call.get("arguments") or {}
            if isinstance(arguments, str):
                arguments = parse_arguments(arguments)
            return ToolCall(call["name"], arguments, str(id_))
        if isinstance(item.get("text"), str):
            return Text(item["text"])
    raise BrokenStream(
        f"The respond function gave {item!r:.200}. Give text, parts, tool calls or an exception."
    )
