"""The tool calls of one round together: their rows before any runs, all at once, what ends them.

Invariant: the round and its calls' rows are committed before a body runs, and nothing of a round
is decided before all of its calls have ended.
"""

import asyncio
from typing import Literal, Protocol

from nbchat.engine.prepare import PreparedCall, add_result, prepare_calls, taken_up
from nbchat.engine.tool_run import Caller, Waits, run_call, tell_refused
from nbchat.errors import StoreError
from nbchat.store.file import Cursor
from nbchat.store.rows import RequestRow
from nbchat.store.tool_calls import save_tool_call
from nbchat.store.turns import Begun, save_request, update_assistant


class Owner(Caller, Protocol):
    """What a round needs of the turn it belongs to; `unstored` are attempts without a row yet."""

    begun: Begun
    unstored: list[RequestRow]


def gets_row(turn: Owner, call: PreparedCall) -> bool:
    """Whether this move decides about the call or runs it: another move's has its row then."""
    return not (turn.plan.one_move and call.may_run and call.row.approval is None)


async def save_calls(turn: Owner, prepared: list[PreparedCall]) -> None:
    """Commit the round and the rows of its tool calls, before any of them runs."""
    for call in prepared:
        if call.refusal is not None:
            add_result(turn.draft.parts, call.result(call.refusal, is_error=True))
    snapshot, rows, persist = turn.draft.snapshot(), list(turn.unstored), turn.plan.persist

    def save(cursor: Cursor) -> None:
        for row in rows:
            save_request(cursor, snapshot, row, persist)
        for call in prepared:
            if not call.is_stored:
                save_tool_call(cursor, snapshot, call.row, persist)
        update_assistant(cursor, snapshot, persist)

    await turn.save(save)
    turn.unstored.clear()


async def take_up(turn: Owner, open_calls: list[int]) -> list[PreparedCall]:
    """The calls that an earlier run of this turn left without a result, their rows stored."""
    number = turn.draft.last_round
    earlier = {row.seq: row for row in turn.begun.calls if row.call.round == number}
    prepared = [
        taken_up(call, earlier.get(call.row.seq))
        for call in prepare_calls(turn.plan.toolbox, turn.draft.parts, number)
        if call.row.seq in open_calls
    ]
    await save_calls(turn, prepared)
    for call in prepared:
        await tell_refused(turn, call)
    return prepared


async def run_calls(
    turn: Owner, prepared: list[PreparedCall]
) -> Literal["waits", "proposed"] | None:
    """Run the calls at once; when all have ended, raise what one of them ends the turn with.

    Gives back what else ends it: a call waits to be approved, or one was only proposed.
    """
    calls = (run_call(turn, call) for call in prepared if call.may_run)
    ends = [end for end in await asyncio.gather(*calls, return_exceptions=True) if end]
    raised = [end for end in ends if not isinstance(end, Waits)]
    if raised:
        # a call whose end could not be stored must not pass for one that has
        raise max(raised, key=lambda end: isinstance(end, StoreError))
    if ends:
        return "waits"
    return "proposed" if any(call.row.status == "proposed" for call in prepared) else None
