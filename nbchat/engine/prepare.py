"""The tool calls of a round, decided before any of them runs: pure.

Each is checked against its tool and its policy; what will not run has its words for the model,
and a call that a turn left without a result is taken up where it stood.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nbchat.engine.plan import Toolbox
from nbchat.errors import ConfigError
from nbchat.messages import Attachment, Image, Part, Thinking, ToolCall, ToolResult
from nbchat.store.identity import new_id
from nbchat.store.rows import ToolCallRow
from nbchat.tools import Tool
from nbchat.tools.policies import policy_of
from nbchat.tools.words import unknown_tool

REPEATED = "\n\n(The same call gave the same result before. Calls of it in this turn: "
MANY = 4


@dataclass(frozen=True, slots=True)
class PreparedCall:
    """A call with its row; `refusal` is why it will not run, for the model to read.

    `is_stored` says that the row is in the store already, from before the turn went on.
    """

    row: ToolCallRow
    tool: Tool | None = None
    arguments: Mapping[str, Any] | None = None
    refusal: str | None = None
    needs_approval: bool = False
    is_stored: bool = False

    @property
    def may_run(self) -> bool:
        """Whether its body runs, once it is approved if it needs that."""
        return self.row.status == "pending"

    def result(
        self,
        text: str,
        *,
        is_error: bool,
        halts: bool | None = None,
        is_table: bool | None = None,
        pictures: Sequence[Attachment] = (),
    ) -> ToolResult:
        """The part that tells the model how the call ended."""
        call, seq = self.row.call, self.row.seq
        images = tuple(
            Image(
                picture.digest, picture.media_type, picture.name, picture.width, picture.height,
                call.round,
            )
            for picture in pictures
        )  # fmt: skip
        return ToolResult(
            text, call.tool_call_id, call.name, is_error, seq, call.round, halts, is_table, images
        )

    def again(self) -> "PreparedCall":
        """The same call to be executed once more, as a row of its own."""
        row = replace(self.row, id=new_id(), attempt=self.row.attempt + 1)
        return replace(self, row=row, is_stored=False)


def prepare_calls(toolbox: Toolbox, parts: Sequence[Part], number: int) -> list[PreparedCall]:
    """The round's calls in order, each checked against its tool."""
    said = [part for part in parts if part.round == number]
    calls = [part for part in said if isinstance(part, ToolCall)]
    thought = "".join(part.text for part in said if isinstance(part, Thinking)) or None
    before = [part for part in parts if isinstance(part, ToolCall) and part.round < number]
    prepared = []
    for seq, call in enumerate(calls, start=1):
        repeats = sum(is_same(call, other) for other in (*before, *calls[: seq - 1]))
        row = ToolCallRow(new_id(), call, seq, thought=thought, repeats=repeats)
        prepared.append(_prepare(toolbox, row))
    return prepared


def _prepare(toolbox: Toolbox, row: ToolCallRow) -> PreparedCall:
    def refused(status: str, why: str) -> PreparedCall:
        return PreparedCall(replace(row, status=status, error=why), refusal=why)

    call, tool = row.call, toolbox.tools.get(row.call.name)
    if tool is None:
        return refused("unknown_tool", unknown_tool(call.name, toolbox.tools))
    if isinstance(call.arguments, str):
        return refused("invalid", "The arguments are not a whole JSON object. Send them again.")
    try:
        arguments = tool.validate(call.arguments)
    except ValueError as error:
        return refused("invalid", str(error))
    except Exception as error:  # a validator of the user's
        return refused("invalid", f"{type(error).__name__}: {error}")
    policy = policy_of(tool, toolbox.policy, toolbox.always)
    if policy == "dry_run":
        row = replace(row, status="proposed")
    elif policy == "confirm":
        row = replace(row, approval="waiting")
    return PreparedCall(row, tool, arguments, needs_approval=policy == "confirm")


def require_tools(toolbox: Toolbox, parts: Sequence[Part], earlier: Sequence[ToolCallRow]) -> None:
    """Raise ConfigError before a call is lost for a tool that was only forgotten on a reload."""
    answered = {(part.round, part.seq) for part in parts if isinstance(part, ToolResult)}
    owed = {
        row.call.name
        for row in earlier
        if (row.call.round, row.seq) not in answered and row.status != "unknown_tool"
    }
    if missing := sorted(owed - toolbox.tools.keys()):
        raise ConfigError(
            f"The turn goes on with {', '.join(missing)}, which is not among the tools here. "
            "Give it as tools=[...], or ask again to leave that call."
        )


def taken_up(prepared: PreparedCall, earlier: ToolCallRow | None) -> PreparedCall:
    """The call where its turn left it: one that waits, or is proposed again, keeps its row."""
    if earlier is None:
        return prepared
    if earlier.status == prepared.row.status in ("pending", "proposed"):
        row = replace(prepared.row, id=earlier.id, attempt=earlier.attempt)
        return replace(prepared, row=replace(row, approval=earlier.approval), is_stored=True)
    row = replace(prepared.row, attempt=earlier.attempt + 1)
    if prepared.needs_approval and earlier.approval in ("approved", "always", "denied"):
        row = replace(row, approval=earlier.approval)
    return replace(prepared, row=row)


def is_same(call: ToolCall, other: ToolCall) -> bool:
    """Whether both ask the same tool for the same."""
    return call.name == other.name and _key(call.arguments) == _key(other.arguments)


def _key(arguments: Any) -> str:
    return json.dumps(arguments, sort_keys=True, default=str)


def noted(text: str, call: ToolCall, parts: Sequence[Part]) -> str:
    """The result, with a note where the same call gave the same result ever again.

    Models that go round in circles come out of it when they are told.
    """
    results = {(part.round, part.seq): part for part in parts if isinstance(part, ToolResult)}
    places: dict[int, int] = {}
    same = []
    for part in parts:
        if isinstance(part, ToolCall):
            places[part.round] = places.get(part.round, 0) + 1
            result = results.get((part.round, places[part.round]))
            if result is not None and is_same(call, part):
                same.append(result.content)
    if len(same) + 1 < MANY:
        return text
    alike = all(told == text or told.startswith(text + REPEATED) for told in same)
    return f"{text}{REPEATED}{len(same) + 1}.)" if alike else text


def add_result(parts: list[Part], result: ToolResult) -> None:
    """Add a result to the parts; results stand behind their round, in the order of its calls."""
    parts.append(result)
    parts.sort(key=_place)


def _place(part: Part) -> tuple[int, int]:
    return (part.round, part.seq if isinstance(part, ToolResult) else 0)
