"""Whole tool loops out of the recorded traffic: exchanges of one file that follow each other.

A conversation is rebuilt from its recorded requests alone, and what was answered is read here
without nbchat's wires, so that both can judge these. What cannot be rebuilt is left out, and
counted by the reason.
"""

import json
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import groupby
from typing import Any

from recorded_answers import Said, said_in
from wire_recordings import FIXTURES, Recording, recordings

RECORDED = FIXTURES / "MANIFEST.tsv"
Entry = tuple[str, ...]
OURS_TO_RUN = (None, "function", "custom")
SILENT = ("text", "thinking", "redacted_thinking")  # an assistant's words: `said_in` tells them


@dataclass(frozen=True)
class Exchange:
    """A recorded request, what it says, and what was answered."""

    recording: Recording

    @cached_property
    def request(self) -> dict[str, Any]:
        return dict(json.loads(self.recording.request))

    @cached_property
    def entries(self) -> list[Entry]:
        return list(entries_of(self.request))

    @cached_property
    def said(self) -> Said:
        return said_in(self.recording)

    @property
    def called(self) -> list[Entry]:
        return [("call", name, in_order(arguments)) for _, name, arguments in self.said.calls]

    @property
    def results(self) -> list[str]:
        """All results in the request."""
        return [text for kind, text, *_ in self.entries if kind == "result"]


@dataclass(frozen=True)
class Conversation:
    """Exchanges each of which goes on where the one before ended."""

    exchanges: tuple[Exchange, ...]

    @property
    def first(self) -> Recording:
        return self.exchanges[0].recording

    @property
    def instructions(self) -> str | None:
        kind, text, *_ = self.exchanges[0].entries[0]
        return text if kind == "instructions" else None

    @property
    def turns(self) -> list[tuple[str, list[Exchange]]]:
        """For each question the exchanges that answered it."""
        turns: list[tuple[str, list[Exchange]]] = []
        for exchange in self.exchanges:
            kind, text, *_ = exchange.entries[-1]
            if kind == "user":
                turns.append((text, []))
            turns[-1][1].append(exchange)
        return turns

    @property
    def loops(self) -> int:
        return sum(len(exchanges) > 1 for _, exchanges in self.turns)

    def tools(self) -> list[dict[str, Any]]:
        """The recorded tools; each gives back what was recorded, call by call."""
        last = self.exchanges[-1]
        assert result_ids(last.request) == call_ids(last.request)
        calls = [entry for entry in last.entries if entry[0] == "call"]
        told: dict[Entry, deque[str]] = {}
        for call, text in zip(calls, last.results, strict=True):
            told.setdefault(call, deque()).append(text)
        return [recorded_tool(tool, told) for tool in self.exchanges[0].request["tools"]]


def recorded_tool(tool: dict[str, Any], told: dict[Entry, deque[str]]) -> dict[str, Any]:
    """A tool as a dict, in nbchat's words."""
    known = described(tool)

    # on the loop itself, so that calls that are alike get their results in order
    async def handler(**arguments: Any) -> str:
        return told["call", known["name"], in_order(arguments)].popleft()

    return {**known, "handler": handler}


def described(tool: dict[str, Any]) -> dict[str, Any]:
    """What a request says of a tool; the schema of one that takes nothing may be empty."""
    known = tool.get("function", tool)
    schema = known.get("parameters") or known.get("input_schema") or {}
    return {
        "name": known["name"],
        "description": known.get("description") or "",
        "parameters": {"type": "object", "properties": {}, **schema},
    }


# What a request says -------------------------------------------------------------------------


def entries_of(request: dict[str, Any]) -> Iterator[Entry]:
    """Instructions, questions, calls and results in order; what else there is by its type."""
    if request.get("system"):
        yield from texts_of("instructions", request["system"])
    for message in request["messages"]:
        content = message.get("content")
        match message["role"]:
            case "system" | "developer":
                yield from texts_of("instructions", content)
            case "tool":
                yield from texts_of("result", content)
            case "user":
                yield from spoken_or_results(content)
            case "assistant":
                yield from calls_of(message)


def texts_of(kind: str, content: Any) -> Iterator[Entry]:
    """The content as one text, and whatever is no text in it."""
    items = [{"type": "text", "text": content or ""}] if not isinstance(content, list) else content
    yield kind, "".join(item["text"] for item in items if item["type"] == "text")
    yield from (("other", item["type"]) for item in items if item["type"] != "text")


def spoken_or_results(content: Any) -> Iterator[Entry]:
    """A user's message; on Anthropic's wire it may hold results."""
    items = content if isinstance(content, list) else [{"type": "text", "text": content}]
    for are_results, run in groupby(items, lambda item: item["type"] == "tool_result"):
        if are_results:
            for item in run:
                yield from texts_of("result", item.get("content"))
        else:
            yield from texts_of("user", list(run))


def calls_of(message: dict[str, Any]) -> Iterator[Entry]:
    """An assistant's calls, in the words of either wire."""
    for call in message.get("tool_calls") or ():
        function = call["function"]
        yield "call", function["name"], in_order(json.loads(function["arguments"] or "{}"))
    for block in message["content"] if isinstance(message.get("content"), list) else ():
        if block["type"] == "tool_use":
            yield "call", block["name"], in_order(block["input"])
        elif block["type"] not in SILENT:
            yield "other", block["type"]


def blocks_in(request: dict[str, Any], role: str) -> Iterator[dict[str, Any]]:
    """All listed content of a role."""
    for message in request["messages"]:
        if message["role"] == role and isinstance(message.get("content"), list):
            yield from message["content"]


def call_ids(request: dict[str, Any]) -> list[str]:
    """The ids of all calls in a request, in order."""
    listed = [call for message in request["messages"] for call in message.get("tool_calls") or ()]
    used = [block for block in blocks_in(request, "assistant") if block["type"] == "tool_use"]
    return [call["id"] for call in (*listed, *used)]


def result_ids(request: dict[str, Any]) -> list[str]:
    """The ids of the calls that the results in a request are for, in order."""
    tools = [message for message in request["messages"] if message["role"] == "tool"]
    blocks = [block for block in blocks_in(request, "user") if block["type"] == "tool_result"]
    return [
        *(message["tool_call_id"] for message in tools),
        *(block["tool_use_id"] for block in blocks),
    ]


def in_order(value: Any) -> str:
    """JSON that is the same text for the same value."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


# Which exchanges are a conversation ----------------------------------------------------------


def why_apart(before: Exchange, after: Exchange) -> str | None:
    """Why a request does not just go on from an exchange; None when it does."""
    known, calls = len(before.entries), before.called
    rest = after.entries[known:]
    if after.entries[:known] != before.entries:
        return "the next exchange is of another conversation"
    if rest[: len(calls)] != calls:
        return "the next request holds other calls than were made"
    expected = ["result"] * len(calls) if calls else ["user"]
    if [kind for kind, *_ in rest[len(calls) :]] != expected:
        return "more than results follows the calls"
    return None


def begins_midway(chain: list[Exchange]) -> bool:
    kinds = [kind for kind, *_ in chain[0].entries]
    return kinds not in (["user"], ["instructions", "user"])


def is_not_text(chain: list[Exchange]) -> bool:
    return any(kind == "other" for kind, *_ in chain[-1].entries)


def is_the_servers(chain: list[Exchange]) -> bool:
    tools = chain[0].request.get("tools") or []
    return any(tool.get("type") not in OURS_TO_RUN for tool in tools)


RULES: dict[str, Callable[[list[Exchange]], bool]] = {
    "it holds more than text": is_not_text,
    "a tool is the server's own": is_the_servers,
    "its beginning is not recorded": begins_midway,
}


@dataclass(frozen=True)
class Found:
    """What can be replayed, and for each answer with calls that cannot be, why."""

    conversations: tuple[Conversation, ...]
    left_out: Counter[str]

    @property
    def loops(self) -> int:
        return sum(conversation.loops for conversation in self.conversations)

    @property
    def providers(self) -> set[str]:
        return {conversation.first.provider for conversation in self.conversations}


@cache
def recorded_loops() -> Found:
    """Every conversation in the recordings that has a tool loop."""
    found: list[Conversation] = []
    left_out: Counter[str] = Counter()
    for of_file in files():
        if len(of_file) == 1:
            continue
        kept = [recording for recording in of_file if recording.request]
        left_out["its request is not kept"] += len(of_file) - len(kept)
        for chain, why in chains(map(Exchange, kept)):
            while chain and chain[-1].called:  # nothing says how it went on
                left_out[why] += 1
                chain.pop()
            calls = sum(bool(exchange.called) for exchange in chain)
            broken = next((rule for rule, breaks in RULES.items() if calls and breaks(chain)), None)
            if broken:
                left_out[broken] += calls
            elif calls:
                found.append(Conversation(tuple(chain)))
    return Found(tuple(found), left_out)


def files() -> Iterator[list[Recording]]:
    """The answers that were no errors, file by file as they came."""
    good = [recording for recording in recordings() if recording.status == 200]
    good.sort(key=lambda recording: (recording.path, recording.number))
    for _, of_file in groupby(good, lambda recording: recording.path):
        yield list(of_file)


def chains(exchanges: Iterable[Exchange]) -> Iterator[tuple[list[Exchange], str]]:
    """A file's exchanges in runs that go on from each other, and why each run ends."""
    chain: list[Exchange] = []
    for exchange in exchanges:
        why = why_apart(chain[-1], exchange) if chain else None
        if why:
            yield chain, why
            chain = []
        chain.append(exchange)
    yield chain, "no exchange follows the calls"
