"""What a recorded answer says, read without nbchat's wires.

Plain and streamed answers become the same: the message, or the blocks, as the provider means
them, nulls left out. Only what the recorded loops hold is understood.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# what reads the recordings stands with the tests of the wires
sys.path.append(str(Path(__file__).parents[1] / "wires"))
from wire_recordings import Recording

ONCE = ("role", "type", "id", "name", "format", "index")  # said again in every piece, or never
ENDS = {
    "": "other",
    "stop": "stop",
    "end_turn": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
}


@dataclass(frozen=True)
class Said:
    """An answer; calls are id, name and arguments, `message` is a list of blocks or a dict."""

    text: str
    calls: tuple[tuple[str, str, Any], ...]
    message: Any
    usage: dict[str, Any]
    reason: str
    model: str | None

    @property
    def finish_reason(self) -> str:
        """The reason in the contract's words; some servers say none, or stop beside a call."""
        known = ENDS[self.reason]
        return "tool_calls" if self.calls and known in ("stop", "other") else known


def said_in(recording: Recording) -> Said:
    """The answer's words, calls and counts."""
    events = list(payloads(recording.body)) if recording.streamed else [json.loads(recording.body)]
    read = said_in_blocks if recording.endpoint == "messages" else said_in_choices
    return read(events)


def payloads(body: bytes) -> Iterator[dict[str, Any]]:
    """The events of a stream."""
    for line in body.decode().splitlines():
        data = line.removeprefix("data:").strip()
        if line.startswith("data:") and data != "[DONE]":
            yield json.loads(data)


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def said_in_choices(events: list[dict[str, Any]]) -> Said:
    """An answer of Chat Completions."""
    message: dict[str, Any] = {}
    usage: dict[str, Any] = {}
    reason = ""
    for event in events:
        usage = event.get("usage") or usage
        for choice in event.get("choices") or ():
            reason = choice.get("finish_reason") or reason
            grow(message, without_nulls(choice.get("message") or choice.get("delta") or {}))
    calls = [
        (
            call["id"],
            call["function"]["name"],
            json.loads(call["function"].get("arguments") or "{}"),
        )
        for call in message.get("tool_calls", ())
    ]
    model = next((event["model"] for event in events if event.get("model")), None)
    return Said(message.get("content", ""), tuple(calls), message, usage, reason, model)


def grow(whole: dict[str, Any], piece: dict[str, Any]) -> None:
    """Add a delta: texts go on, entries of lists are told by their index."""
    for key, value in piece.items():
        if key not in whole:
            whole[key] = [] if isinstance(value, list) else value
        elif isinstance(value, str) and key not in ONCE:
            whole[key] += value
        elif isinstance(value, dict):
            grow(whole[key], value)
        if isinstance(value, list):
            grow_list(whole[key], value)


def grow_list(whole: list[dict[str, Any]], pieces: list[dict[str, Any]]) -> None:
    for piece in pieces:
        same = [item for item in whole if "index" in piece and item["index"] == piece["index"]]
        if same and same[0].get("type") == piece.get("type", same[0].get("type")):
            grow(same[0], piece)
        else:
            whole.append(dict(piece))


def said_in_blocks(events: list[dict[str, Any]]) -> Said:
    """An answer of Anthropic's."""
    start = events[0].get("message") or events[0]
    blocks = [dict(block) for block in start.get("content") or ()]
    usage, reason = dict(start["usage"]), start.get("stop_reason")
    inputs: dict[int, str] = {}
    for event in events[1:]:
        match event["type"]:
            case "content_block_start":
                blocks.append(dict(event["content_block"]))
            case "content_block_delta":
                grow_block(blocks, inputs, event["index"], dict(event["delta"]))
            case "message_delta":
                usage |= without_nulls(event["usage"])
                reason = event["delta"]["stop_reason"]
    for at, text in inputs.items():
        blocks[at]["input"] = json.loads(text or "{}")
    blocks = without_nulls(blocks)
    text = "".join(block["text"] for block in blocks if block["type"] == "text")
    used = [block for block in blocks if block["type"] == "tool_use"]
    calls = tuple((block["id"], block["name"], block["input"]) for block in used)
    return Said(text, calls, blocks, without_nulls(usage), reason or "", start["model"])


def grow_block(
    blocks: list[dict[str, Any]], inputs: dict[int, str], at: int, delta: dict[str, Any]
) -> None:
    kind = delta.pop("type")
    if kind == "input_json_delta":
        inputs[at] = inputs.get(at, "") + delta["partial_json"]
        return
    for key, text in delta.items():  # text, thinking or signature
        blocks[at][key] = blocks[at].get(key, "") + text
