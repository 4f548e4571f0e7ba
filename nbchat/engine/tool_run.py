"""Running the tool calls of a round: approval, hooks, the body, and its end in the store.

Every way a call can go wrong becomes a row's status and text for the model. Only Halt, a fatal
ToolError and what a hook raises or decides end the turn, and only after the round's other calls
have ended.
"""

import asyncio
import concurrent.futures
import contextvars
import inspect
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from nbchat.engine.approval import DENIED, NOBODY, approval_for, ask
from nbchat.engine.around import Around, HookRaised
from nbchat.engine.draft import Draft
from nbchat.engine.loop import contained, engine_loop, in_thread, on_engine_thread, settled
from nbchat.engine.moves import ATTEMPTS
from nbchat.engine.plan import Plan
from nbchat.engine.prepare import PreparedCall, add_result, noted
from nbchat.errors import ConfigError, Halt, ToolError
from nbchat.events import Event, ToolEndEvent, ToolProgressEvent, ToolStartEvent
from nbchat.hooks import Decision
from nbchat.messages import Attachment
from nbchat.store.attachments import save_attachments
from nbchat.store.file import Cursor
from nbchat.store.rows import ToolOutcome
from nbchat.store.tool_calls import ask_approval, begin_tool_call, end_tool_call, save_tool_call
from nbchat.store.turns import update_assistant
from nbchat.store.values import clean
from nbchat.tools import ToolContext
from nbchat.tools.cut import cut_middle
from nbchat.tools.results import MAX_CHARS, output_of

T = TypeVar("T")

LOOK_S = 0.2  # how soon a tool that waits for an answer hears that its call was stopped

# the tool call in whose body this code runs, by its row's id
current_call: contextvars.ContextVar[str | None] = contextvars.ContextVar(
    "nbchat_current_call", default=None
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a body ended: `end` is what ends the turn, `error` what the tool raised.

    `images` are the pictures in the value, `is_table` says that the text is one frame.
    """

    status: str
    text: str
    end: Exception | None = None
    error: Exception | None = None
    value: Any = None
    images: tuple[Attachment, ...] = ()
    is_table: bool | None = None
    full_chars: int | None = None
    duration_ms: float | None = None


class Waits(Exception):
    """A call is left to be approved later; never seen outside the engine."""


class Caller(Protocol):
    """What a call needs of the turn it belongs to."""

    plan: Plan
    draft: Draft
    around: Around
    message_id: str
    files: dict[str, bytes]
    emit: Callable[[Event], None]
    slots: asyncio.Semaphore

    async def save(self, work: Callable[[Cursor], T]) -> T: ...
    async def read(self, work: Callable[[Cursor], T]) -> T: ...


async def tell_refused(turn: Caller, prepared: PreparedCall) -> None:
    """The events of a call whose row already says why it will not run."""
    if not prepared.may_run:
        turn.emit(_start(turn, prepared))
        end = _end(turn, prepared, Outcome(prepared.row.status, prepared.refusal or ""))
        turn.emit(end)
        if prepared.refusal is not None:
            await turn.around.tell("tool_end", end, prepared.refusal)


async def run_call(turn: Caller, prepared: PreparedCall) -> Exception | None:
    """Run one call and store its end; gives back what was raised to end the turn."""
    if prepared.row.approval is not None:
        decision = await approval_for(turn, prepared)
        if decision == "waiting":
            return Waits()
        if decision == "denied":
            asked = turn.plan.toolbox.confirm != "deny" or prepared.row.approval == "denied"
            turn.emit(_start(turn, prepared))
            return await _finish(turn, prepared, Outcome("denied", DENIED if asked else NOBODY))
        await turn.save(lambda cursor: begin_tool_call(cursor, prepared.row.id))
    while True:
        async with turn.slots:
            outcome, decided = await _execute(turn, prepared)
        if decided is not Decision.RETRY:
            return await _finish(turn, prepared, outcome)
        again = prepared.again()
        if (end := await _finish(turn, prepared, outcome, again)) is not None:
            return end
        prepared = again


async def _execute(turn: Caller, prepared: PreparedCall) -> tuple[Outcome, Decision | None]:
    """One execution, and what the error hooks decide about its error."""
    start = _start(turn, prepared)
    turn.emit(start)
    try:
        await turn.around.tool_start(start)
    except (HookRaised, Halt) as raised:
        return _vetoed(raised), None
    outcome = await _timed(turn, prepared)
    if outcome.error is None:
        return outcome, None
    try:
        decided = await turn.around.error(outcome.error, _end(turn, prepared, outcome))
    except (HookRaised, Halt) as raised:
        return replace(outcome, end=raised), None
    if decided is Decision.RETRY and prepared.row.attempt >= ATTEMPTS:
        decided = None  # it goes on as it would without a decision
    if decided is Decision.STOP:
        outcome = replace(outcome, end=HookRaised(outcome.error))
    elif decided is not None:
        outcome = replace(outcome, end=None)
    return outcome, decided


def _vetoed(raised: HookRaised | Halt) -> Outcome:
    """A hook kept the call from running: a plain ToolError tells the model why."""
    if isinstance(raised, Halt):
        return Outcome("denied", "The turn was ended before this call ran.", raised)
    error, said = raised.error, str(raised.error)
    if isinstance(error, ToolError) and not error.fatal:
        return Outcome("denied", said)
    return Outcome("denied", f"{type(error).__name__}: {said}", raised)


async def _timed(turn: Caller, prepared: PreparedCall) -> Outcome:
    """The body's end with how long it took; one that is stopped is stored as that."""
    began, cancel = time.monotonic(), threading.Event()
    token = current_call.set(prepared.row.id)
    try:
        outcome = await _body(turn, prepared, cancel)
    except asyncio.CancelledError:
        stopped = ToolOutcome("stopped", "", _since(began))
        await settled(_store(turn, prepared, stopped), last=True)
        raise
    finally:
        cancel.set()
        current_call.reset(token)
    return replace(outcome, duration_ms=_since(began))


def _since(began: float) -> float:
    return (time.monotonic() - began) * 1000


async def _body(turn: Caller, prepared: PreparedCall, cancel: threading.Event) -> Outcome:
    assert prepared.tool is not None
    limit = prepared.tool.max_chars or turn.plan.toolbox.max_chars or MAX_CHARS
    timeout_s = prepared.tool.timeout
    try:
        async with asyncio.timeout(timeout_s) as clock:
            return await _call(turn, prepared, cancel, limit)
    except ToolError as error:
        end = error if error.fatal else None
        return Outcome("error", cut_middle(str(error), limit), end, error)
    except Exception as error:
        late = TimeoutError(f"{prepared.tool.name} did not end within {timeout_s} s, and was left.")
        raised = late if clock.expired() else error
        said = f"{type(raised).__name__}: {raised}"
        return Outcome("error", cut_middle(said, limit), error=raised)


async def _call(
    turn: Caller, prepared: PreparedCall, cancel: threading.Event, limit: int
) -> Outcome:
    end = None
    try:
        value = await _value(turn, prepared, cancel)
    except Halt as halt:
        value, end = halt.value, halt
        await in_thread(lambda: str(value))  # an answer that cannot be shown is none
    if type(value) is str and len(value) <= limit:
        return Outcome("ok", value, end, value=value, full_chars=len(value))
    output = await in_thread(lambda: output_of(value, limit))  # a large frame takes its time
    images = tuple(
        Attachment("", image.media_type, image.data, image.width, image.height)
        for image in output.images
    )
    return Outcome(
        "ok", output.text, end, value=value, images=images, is_table=output.is_table,
        full_chars=output.full_chars,
    )  # fmt: skip


async def _value(turn: Caller, prepared: PreparedCall, cancel: threading.Event) -> Any:
    """What the tool returns; what a generator yields before is progress."""
    tool, arguments = prepared.tool, dict(prepared.arguments or {})
    assert tool is not None
    context = _context(turn, prepared, cancel)
    if tool.context_parameter is not None:
        arguments[tool.context_parameter] = context
    if tool.is_async:
        return await contained(tool(**arguments))

    def run() -> Any:
        value = tool(**arguments)
        return _drained(value, context) if tool.yields and inspect.isgenerator(value) else value

    value = await in_thread(run)
    if inspect.isasyncgen(value):
        return await _adrained(value, context)
    return await contained(value) if inspect.isawaitable(value) else value


def _drained(steps: Any, context: ToolContext) -> Any:
    """A generator's result: what it returns, or else what it yielded last."""
    last = None
    try:
        while True:
            last = next(steps)
            if context.cancelled:  # its turn has ended: nobody waits for the rest
                steps.close()
                return last
            context.progress(last)
    except StopIteration as end:
        return last if end.value is None else end.value


async def _adrained(steps: Any, context: ToolContext) -> Any:
    last, end = None, object()
    try:
        while (value := await contained(anext(steps, end))) is not end:
            last = value
            context.progress(last)
    finally:
        await steps.aclose()
    return last


def _context(turn: Caller, prepared: PreparedCall, cancel: threading.Event) -> ToolContext:
    plan, row = turn.plan, prepared.row

    def progress(value: Any) -> None:
        if not cancel.is_set():
            turn.emit(
                ToolProgressEvent(
                    turn.message_id, row.call.name, row.call.tool_call_id, row.id, value
                )
            )

    async def aconfirm(question: str) -> bool:
        await turn.save(lambda cursor: ask_approval(cursor, row.id))
        try:
            return await ask(turn, prepared, str(question)) in ("approved", "always")
        except HookRaised as raised:
            raise raised.error from None

    def confirm(question: str) -> bool:
        if on_engine_thread():
            raise ConfigError("An async tool cannot wait here. Use `await context.aconfirm(...)`.")
        asked = asyncio.run_coroutine_threadsafe(aconfirm(question), engine_loop())
        return _agreed(asked, cancel)

    return ToolContext(
        chat=plan.chat, chat_id=plan.chat_id, message_id=turn.message_id, call_id=row.id,
        tool_call_id=row.call.tool_call_id, inputs=plan.inputs, repeats=row.repeats,
        cancel=cancel, on_progress=progress, on_confirm=confirm, on_aconfirm=aconfirm,
    )  # fmt: skip


def _agreed(asked: concurrent.futures.Future[bool], cancel: threading.Event) -> bool:
    """The answer; once the call has been stopped or left behind, nobody gives one."""
    while not concurrent.futures.wait([asked], LOOK_S).done:
        if cancel.is_set():
            asked.cancel()
            return False
    return asked.result()


async def _finish(
    turn: Caller, prepared: PreparedCall, outcome: Outcome, again: PreparedCall | None = None
) -> Exception | None:
    """Store how the call ended, for the model unless it runs `again`, and tell everybody."""
    call, parts = prepared.row.call, turn.draft.parts
    is_ok = outcome.status == "ok"
    told = noted(outcome.text, call, parts) if is_ok else outcome.text
    end = outcome.end
    try:
        text = await turn.around.tool_result(_end(turn, prepared, outcome), told)
    except (HookRaised, Halt) as raised:
        text, end = told, end or raised
    is_table, pictures = _still_shown(outcome, text)
    text = clean(text)  # what the model reads is what the row will hold
    halts = (is_ok and isinstance(outcome.end, Halt)) or None
    outcome = replace(outcome, text=text)
    if again is None or end is not None:
        again = None
        add_result(
            parts,
            prepared.result(
                text, is_error=not is_ok, halts=halts, is_table=is_table, pictures=pictures
            ),
        )
    stored = ToolOutcome(outcome.status, text, outcome.duration_ms, outcome.full_chars)
    await _store(turn, prepared, stored, again, pictures)
    event = _end(turn, prepared, outcome)
    turn.emit(event)
    try:
        await turn.around.tell("tool_end", event, text)
    except (HookRaised, Halt) as raised:
        return end or raised
    return end


def _still_shown(outcome: Outcome, text: str) -> tuple[bool | None, tuple[Attachment, ...]]:
    """What the text says beside its words: others in their place stand for it, too."""
    is_table = outcome.is_table if text.startswith(outcome.text) else None
    return is_table, outcome.images if outcome.text in text else ()


async def _store(
    turn: Caller,
    prepared: PreparedCall,
    outcome: ToolOutcome,
    again: PreparedCall | None = None,
    pictures: Sequence[Attachment] = (),
) -> None:
    """The row's end, the message with the result or the row to come, in one commit."""
    snapshot, persist = turn.draft.snapshot(), turn.plan.persist
    shown = {picture.digest: picture for picture in pictures}
    turn.files.update({digest: picture.data for digest, picture in shown.items()})
    turn.draft.pictures.update(shown)

    def save(cursor: Cursor) -> None:
        end_tool_call(cursor, prepared.row.id, outcome, persist=persist)
        save_attachments(cursor, turn.plan.storable(pictures))
        update_assistant(cursor, snapshot, persist)
        if again is not None:
            save_tool_call(cursor, snapshot, again.row, persist)

    await turn.save(save)
    for digest in shown:
        turn.draft.pictures.pop(digest, None)


def _start(turn: Caller, prepared: PreparedCall) -> ToolStartEvent:
    row, call = prepared.row, prepared.row.call
    return ToolStartEvent(
        turn.message_id, call.name, call.arguments, call.tool_call_id, row.id, row.attempt
    )


def _end(turn: Caller, prepared: PreparedCall, outcome: Outcome) -> ToolEndEvent:
    row, call, is_ok = prepared.row, prepared.row.call, outcome.status == "ok"
    return ToolEndEvent(
        turn.message_id,
        call.name,
        call.tool_call_id,
        outcome.status,
        outcome.text if is_ok else None,
        None if is_ok or not outcome.text else outcome.text,
        outcome.duration_ms,
        row.id,
        row.attempt,
        call.arguments,
        outcome.value,
        outcome.images,
        bool(outcome.is_table),
    )
