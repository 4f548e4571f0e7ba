"""Tool calls out of the fragments of Chat Completions, streamed or whole.

Calls are keyed by index, but servers repeat an index for parallel calls, leave it out, or
repeat names and ids; a fragment that cannot belong to the call so far starts a new one.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nbchat.messages import ToolCall
from nbchat.wires.fragments import compact, mended, parse_arguments, text_or_empty

KNOWN = {"id", "type", "index", "function"}


@dataclass(slots=True)
class GrowingCall:
    """One call as far as it has come; `extras` are keys that only the provider knows."""

    index: int
    id: str = ""
    name: str = ""
    pieces: list[str] = field(default_factory=list)
    extras: dict[str, Any] = field(default_factory=dict)

    @property
    def arguments(self) -> str:
        """The text of the arguments so far."""
        return "".join(self.pieces)

    @property
    def full(self) -> bool:
        """Whether the arguments are a whole object, so that more would be another call's."""
        return isinstance(parse_arguments(self.arguments, whole=False), dict)

    def block(self) -> dict[str, Any]:
        """The call as a plain answer would hold it."""
        function = {"name": self.name, "arguments": mended(self.arguments)}
        return {"id": self.id, "type": "function", "function": function, **self.extras}

    def part(self, *, whole: bool) -> ToolCall:
        """The call in neutral words; `whole` says that nothing of it can be missing."""
        arguments = parse_arguments(self.arguments, whole=whole)
        return ToolCall(self.name, arguments, self.id, signature_of(self.extras))


class CallPieces:
    """All calls of one answer."""

    def __init__(self) -> None:
        self._calls: list[GrowingCall] = []

    def add(self, piece: Mapping[str, Any], index: int | None) -> None:
        """Adds one entry of a `tool_calls` list."""
        function = piece.get("function")
        function = function if isinstance(function, dict) else {}
        call_id, name = text_or_empty(piece.get("id")), text_or_empty(function.get("name"))
        arguments = arguments_text(function.get("arguments"))
        call = self._find(index, call_id, name, arguments)
        call.id = call.id or call_id
        if name != call.name:
            call.name += name
        call.pieces.append(arguments)
        call.extras |= {
            key: value for key, value in piece.items() if key not in KNOWN and value is not None
        }

    def ordered(self) -> list[GrowingCall]:
        """The calls by index, those that share one as they came."""
        return sorted(self._calls, key=lambda call: call.index)

    def _find(self, index: int | None, call_id: str, name: str, arguments: str) -> GrowingCall:
        rivals = [call for call in self._calls if index is None or call.index == index]
        same = next((call for call in rivals if call_id and call.id == call_id), None)
        last = rivals[-1] if rivals else None
        if same is not None:
            last = same
        elif last is not None and starts_another(last, call_id, name, arguments):
            last = None
        return last or self._begin(index)

    def _begin(self, index: int | None) -> GrowingCall:
        after_last = max((call.index for call in self._calls), default=-1) + 1
        call = GrowingCall(after_last if index is None else index)
        self._calls.append(call)
        return call


def starts_another(call: GrowingCall, call_id: str, name: str, arguments: str) -> bool:
    """Whether a fragment that names this call's index is another call all the same."""
    if call_id and call.id:
        return call_id != call.id
    if not name or not call.name:
        return False
    return call.full and (name != call.name or bool(arguments.strip()))


def arguments_text(value: Any) -> str:
    """Arguments as text; some servers send the object itself."""
    if value is None:
        return ""
    return value if isinstance(value, str) else compact(value)


def sendable(arguments: str) -> str:
    """Arguments a server accepts: whole JSON objects as they are, anything else as none."""
    try:
        return arguments if isinstance(json.loads(arguments), dict) else "{}"
    except (ValueError, RecursionError):
        return "{}"


def signature_of(extras: Mapping[str, Any]) -> str | None:
    """The signature that Google's compatible endpoint hangs on a call."""
    content = extras.get("extra_content")
    google = content.get("google") if isinstance(content, dict) else None
    signature = google.get("thought_signature") if isinstance(google, dict) else None
    return signature if isinstance(signature, str) else None
