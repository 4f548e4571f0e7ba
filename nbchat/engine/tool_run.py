"""The tool calls of one round: prepared before they are stored, run after.

Every way a call can go wrong becomes a row's status and text for the model. Only Halt and
a fatal ToolError end the turn, and only after the round's other calls have ended.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from nbchat.engine.loop import contained, in_thread, settled
from nbchat.errors import Halt, ToolError
from nbchat.events import Event, ToolEndEvent, ToolStartEvent
from nbchat.messages import Message, Part, Thinking, ToolCall, ToolResult
from nbchat.store.file import Cursor
from nbchat.store.identity import new_id
from nbchat.store.persist import Persist
from nbchat.store.rows import ToolCallRow
from nbchat.store.turns import end_tool_call, update_assistant
from nbchat.tools import Tool, text_of_result


@dataclass(frozen=True, slots=True)
class PreparedCall:
    """A call with its row; `refusal` is why it will not run, for the model to read."""

    row: ToolCallRow
    tool: Tool | None = None
    arguments: Mapping[str, Any] | None = None
    refusal: str | None = None

    def result(self, text: str, *, is_error: bool) -> ToolResult:
        """The part that tells the model how the call ended."""
        call = self.row.call
        return ToolResult(text, call.tool_call_id, call.name, is_error, self.row.seq, call.round)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a body ended: `end` is what it raised to end the turn."""

    status: str
    text: str
    end: Exception | None = None


class Caller(Protocol):
    """What a call needs of the turn it belongs to."""

    parts: list[Part]
    message_id: str
    persist: Persist
    emit: Callable[[Event], None]

    def snapshot(self) -> Message: ...
    async def save(self, work: Any) -> Any: ...


def prepare_calls(
    tools: Mapping[str, Tool], parts: Sequence[Part], number: int
) -> list[PreparedCall]:
    """The round's calls in order, each checked against its tool."""
    said = [part for part in parts if part.round == number]
    calls = [part for part in said if isinstance(part, ToolCall)]
    thought = "".join(part.text for part in said if isinstance(part, Thinking)) or None
    return [_prepare(tools, call, seq, thought) for seq, call in enumerate(calls, start=1)]


def _prepare(
    tools: Mapping[str, Tool], call: ToolCall, seq: int, thought: str | None
) -> PreparedCall:
    def refused(status: str, why: str) -> PreparedCall:
        row = ToolCallRow(new_id(), call, seq, status, error=why, thought=thought)
        return PreparedCall(row, refusal=why)

    tool = tools.get(call.name)
    if tool is None:
        known = ", ".join(tools) or "none"
        return refused("unknown_tool", f"No tool is named {call.name!r}. Tools: {known}.")
    if isinstance(call.arguments, str):
        return refused("invalid", "The arguments are not a whole JSON object. Send them again.")
    try:
        arguments = tool.validate(call.arguments)
    except ValueError as error:
        return refused("invalid", str(error))
    except Exception as error:  # a validator of the user's
        return refused("invalid", f"{type(error).__name__}: {error}")
    return PreparedCall(ToolCallRow(new_id(), call, seq, thought=thought), tool, arguments)


def add_result(parts: list[Part], result: ToolResult) -> None:
    """Add a result to the parts; results stand behind their round, in the order of its calls."""
    parts.append(result)
    parts.sort(key=_place)


def _place(part: Part) -> tuple[int, int]:
    return (part.round, part.seq if isinstance(part, ToolResult) else 0)


def tell_refused(turn: Caller, prepared: PreparedCall) -> None:
    """The events of a call whose row already says why it will not run."""
    if prepared.refusal is not None:
        _announce(turn, prepared)
        _tell(turn, prepared, Outcome(prepared.row.status, prepared.refusal), None)


def _announce(turn: Caller, prepared: PreparedCall) -> None:
    call = prepared.row.call
    turn.emit(ToolStartEvent(turn.message_id, call.name, call.arguments, call.tool_call_id))


async def run_call(turn: Caller, prepared: PreparedCall) -> Exception | None:
    """Run one call and store its end; gives back what was raised to end the turn."""
    _announce(turn, prepared)
    began = time.monotonic()
    try:
        outcome = await _body(prepared)
    except asyncio.CancelledError:
        await settled(_save(turn, prepared, Outcome("stopped", ""), _since(began)), last=True)
        raise
    duration_ms = _since(began)
    await _save(turn, prepared, outcome, duration_ms)
    _tell(turn, prepared, outcome, duration_ms)
    return outcome.end


def _since(began: float) -> float:
    return (time.monotonic() - began) * 1000


async def _body(prepared: PreparedCall) -> Outcome:
    try:
        return await _call(prepared)
    except ToolError as error:
        return Outcome("error", str(error), error if error.fatal else None)
    except Exception as error:
        return Outcome("error", f"{type(error).__name__}: {error}")


async def _call(prepared: PreparedCall) -> Outcome:
    tool, arguments = prepared.tool, prepared.arguments
    assert tool is not None
    assert arguments is not None
    try:
        if not tool.is_async:
            return Outcome("ok", await in_thread(lambda: text_of_result(tool(**arguments))))
        value = await contained(tool(**arguments))
    except Halt as halt:
        return Outcome("ok", await _text(halt.value), halt)
    return Outcome("ok", await _text(value))


async def _text(value: Any) -> str:
    """The result in words, made on a thread: a large frame takes its time."""
    return value if type(value) is str else await in_thread(lambda: text_of_result(value))


async def _save(turn: Caller, prepared: PreparedCall, outcome: Outcome, duration_ms: float) -> None:
    """Store the row's end and, but for a stopped call, the result part, in one commit."""
    if outcome.status != "stopped":
        is_error = outcome.status != "ok"
        add_result(turn.parts, prepared.result(outcome.text, is_error=is_error))
    snapshot = turn.snapshot()

    def save(cursor: Cursor) -> None:
        id_, status, text = prepared.row.id, outcome.status, outcome.text
        end_tool_call(cursor, id_, status, text, duration_ms, persist=turn.persist)
        update_assistant(cursor, snapshot, turn.persist)

    await turn.save(save)


def _tell(
    turn: Caller, prepared: PreparedCall, outcome: Outcome, duration_ms: float | None
) -> None:
    call, is_ok = prepared.row.call, outcome.status == "ok"
    turn.emit(
        ToolEndEvent(
            turn.message_id,
            call.name,
            call.tool_call_id,
            outcome.status,
            outcome.text if is_ok else None,
            None if is_ok else outcome.text,
            duration_ms,
        )
    )
