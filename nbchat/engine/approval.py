"""Whether a tool call may run, where somebody has to say so.

The row waits in the store, so that a restart, another cell or another process can decide.
Without anybody to ask, nothing that needs approval runs.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from nbchat.engine.around import HookRaised, call_user
from nbchat.engine.loop import engine_loop, engine_runs
from nbchat.engine.plan import Plan
from nbchat.engine.prepare import PreparedCall
from nbchat.errors import ConfigError, Halt
from nbchat.events import ApprovalEvent, Event
from nbchat.store import Store
from nbchat.store.chats import allow_always
from nbchat.store.file import Cursor
from nbchat.store.tool_calls import approval_of, decide_approval

T = TypeVar("T")

FIRST_LOOK_S, LONGEST_LOOK_S = 0.25, 2.0
NOBODY = "This call needs somebody's approval, and nobody is here to give it, so it was not run."
DENIED = "The user did not approve this call, so it was not run."
WORDS: dict[Any, str] = {
    True: "approved", "approve": "approved", "approved": "approved", "yes": "approved",
    "always": "always", False: "denied", None: "denied", "deny": "denied", "denied": "denied",
    "no": "denied",
}  # fmt: skip

_waiting: dict[str, asyncio.Event] = {}


class Asker(Protocol):
    """What an approval needs of the turn it belongs to."""

    plan: Plan
    message_id: str

    emit: Callable[[Event], None]

    async def save(self, work: Callable[[Cursor], T]) -> T: ...
    async def read(self, work: Callable[[Cursor], T]) -> T: ...


def wake(call_id: str) -> None:
    """Tell a turn of this process that waits for it that the store has a decision."""

    def tell() -> None:
        if (event := _waiting.get(call_id)) is not None:
            event.set()

    if engine_runs():
        with contextlib.suppress(RuntimeError):  # the loop is gone, and what waited with it
            engine_loop().call_soon_threadsafe(tell)


def decide(store: Store, chat_id: str, call_id: str, decision: str) -> str:
    """Decide about a call that waits, wherever its turn waits; the tool's name."""

    def save(cursor: Cursor) -> str:
        tool = decide_approval(cursor, chat_id, call_id, decision)
        if decision == "always":
            allow_always(cursor, chat_id, tool)
        return tool

    tool = store.transact(save)
    wake(call_id)
    return tool


async def approval_for(turn: Asker, prepared: PreparedCall) -> str:
    """approved, always, denied, or waiting where it is left for later."""
    row = prepared.row
    if row.approval in ("approved", "always", "denied"):
        return row.approval
    if not prepared.needs_approval:  # it waited, and its policy has changed since
        return await _save(turn, prepared, "approved")
    return await ask(turn, prepared)


async def ask(turn: Asker, prepared: PreparedCall, question: str | None = None) -> str:
    """What somebody decides about a call whose row waits."""
    call, confirm = prepared.row.call, turn.plan.toolbox.confirm
    event = ApprovalEvent(
        turn.message_id, call.name, call.arguments, call.tool_call_id, prepared.row.id, question
    )
    turn.emit(event)
    if confirm == "later" and question is None:  # a tool that runs cannot be left until then
        return "waiting"
    if confirm == "wait":
        return await _wait(turn, prepared)
    if not callable(confirm):
        return await _save(turn, prepared, "denied")
    return await _save(turn, prepared, await _answer(confirm, event))


async def _answer(confirm: Callable[..., Any], event: ApprovalEvent) -> str:
    try:
        given = await call_user(confirm, event)
    except Halt:
        raise
    except Exception as error:
        raise HookRaised(error) from error
    if isinstance(given, bool | str | None) and given in WORDS:
        return WORDS[given]
    wrong = f"The confirm function gave {given!r:.100}. Give True, False or 'always'."
    raise HookRaised(ConfigError(wrong))


async def _save(turn: Asker, prepared: PreparedCall, decision: str) -> str:
    chat_id, id_ = turn.plan.chat_id, prepared.row.id

    def save(cursor: Cursor) -> str:
        if turn.plan.persist.tool_calls:
            if (found := approval_of(cursor, id_)) != "waiting":
                return str(found)  # somebody was faster
            decide_approval(cursor, chat_id, id_, decision)
        if decision == "always":
            allow_always(cursor, chat_id, prepared.row.call.name)
        return decision

    return _noted(turn, prepared, await turn.save(save))


def _noted(turn: Asker, prepared: PreparedCall, decision: str) -> str:
    if decision == "always":
        turn.plan.toolbox.always.add(prepared.row.call.name)
    return decision


async def _wait(turn: Asker, prepared: PreparedCall) -> str:
    """The decision once it is in the store, by whatever process."""
    if not turn.plan.persist.tool_calls:
        return "denied"  # there is no row on which anybody could decide
    id_, look_s = prepared.row.id, FIRST_LOOK_S
    told = _waiting.setdefault(id_, asyncio.Event())
    try:
        while True:
            found = await turn.read(lambda cursor: str(approval_of(cursor, id_)))
            if found != "waiting":
                break
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(look_s):
                    await told.wait()
            look_s = min(2 * look_s, LONGEST_LOOK_S)
    finally:
        _waiting.pop(id_, None)
    return _noted(turn, prepared, found)
