"""The turn: the one implementation behind ask, streams, async, resume, panel and magics.

Each step is committed before the next begins, and however the turn ends its rows say so:
the message is finalized, kept with what arrived, or deleted when nothing did.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import TypeVar

from nbchat.engine.around import Around, HookRaised
from nbchat.engine.attempt import Attempt, run_attempt
from nbchat.engine.draft import Draft
from nbchat.engine.loop import Worker, settled
from nbchat.engine.moves import (
    Answer,
    Done,
    Exceed,
    Generate,
    RunTools,
    next_move,
    retry_delay,
    rounds_allowed,
)
from nbchat.engine.plan import Plan
from nbchat.engine.prepare import PreparedCall, prepare_calls
from nbchat.engine.record import error_json, parts_of_round, raw_of_round, request_row
from nbchat.engine.request import request_of
from nbchat.engine.rescue import rescued
from nbchat.engine.tool_round import gets_row, run_calls, save_calls, take_up
from nbchat.engine.tool_run import tell_refused
from nbchat.errors import (
    ConfigError,
    Halt,
    ProviderError,
    StoreError,
    ToolError,
    ToolRoundsExceeded,
)
from nbchat.events import DoneEvent, Event, RetryEvent, TextEvent, ThinkingEvent, UsageEvent
from nbchat.exchange import Delta, Reply, Request, Usage
from nbchat.hooks import Decision
from nbchat.messages import JSON, Message, Part, Text
from nbchat.store.attachments import digests_of, drop_unused
from nbchat.store.file import Cursor
from nbchat.store.rows import RequestRow
from nbchat.store.tool_calls import stop_tool_calls
from nbchat.store.turns import (
    Begun,
    drop_assistant,
    fail_user,
    save_request,
    update_assistant,
)
from nbchat.store.values import clean
from nbchat.tools import text_of_result
from nbchat.wires import Wire

T = TypeVar("T")

PROGRESS_S = 1.0
MOST_RETRIES = 10  # of one request, when an error hook wants ever more of them
PAUSED = {"type": "Paused", "message": "step() made one move; step() or resume() goes on"}
AWAITS = {
    "type": "AwaitsApproval",
    "message": "tool calls wait for approval; chat.approvals() has them, resume() goes on",
}


class Turn:
    """A turn that has begun; `run` brings it to its end."""

    def __init__(
        self, plan: Plan, begun: Begun, emit: Callable[[Event], None], worker: Worker
    ) -> None:
        self.plan = plan
        self.persist = plan.persist
        self.begun = begun
        self.draft = Draft(begun)
        self.emit = emit
        self.message_id = begun.assistant.id
        self.files = dict(begun.files)
        self.around = Around(plan, self.message_id)
        self.slots = asyncio.Semaphore(plan.toolbox.concurrency or 1_000)
        self._worker = worker
        begun_rounds = max((row.call.round for row in begun.calls), default=0)
        self._limit = rounds_allowed(begun.assistant, begun_rounds, plan.max_tool_rounds)
        self.unstored: list[RequestRow] = []
        self._prepared: list[PreparedCall] = []
        self._attempt: Attempt | None = None
        self._wire: Wire | None = None
        self._saves = 0
        self._saved_at = time.monotonic()
        self._progress: asyncio.Task[None] | None = None
        self._ended: Message | None = None

    async def run(self) -> Message:
        """The turn's message once it is stored whole; raises what ended it otherwise."""
        try:
            return await self._run()
        except HookRaised as raised:
            raise raised.error from None
        except StoreError as error:
            answer = error.unsaved or self.draft.snapshot(status="interrupted")
            kept = await rescued(error, answer, self.draft, self.plan, self._worker)
            raise kept from error

    async def _run(self) -> Message:
        begun = self.begun
        try:
            message = await self._rounds()
        except asyncio.CancelledError:
            message = self._ended or await self._stop(error=None)
        except Halt as halt:
            message = self._ended or await self._halt(halt)
        except HookRaised as raised:
            await self._end_by(raised.error)
            raise
        except (ToolRoundsExceeded, ToolError) as error:
            await self._end_by(error)
            raise
        except StoreError:
            raise
        except Exception as error:
            # what a turn had before it went on stays, whatever becomes of the rest
            had = begun.assistant.parts or begun.cut_off
            await (self._end_by(error) if had else self._fail(error))
            raise
        await self._tell_message(message)
        self.emit(DoneEvent(self.message_id, message))
        return message

    async def _tell_message(self, message: Message) -> None:
        if _is_kept(message):
            await self.around.message(message)

    async def _end_by(self, error: Exception) -> None:
        """Keep what arrived, with the error as the reason; an answer that is whole stays whole."""
        message = self._ended or await self._stop(error=error_json(error))
        if isinstance(error, ProviderError):
            error.partial = message.content
        try:
            await self._tell_message(message)
        except HookRaised as another:
            error.add_note(f"A hook raised, too: {another.error!r}")

    async def _rounds(self) -> Message:
        for moves in count():
            if moves and self.plan.one_move:
                return await self._stop(error=PAUSED)
            match next_move(self.draft.parts, self._limit):
                case Generate(number):
                    ended = await self._generate(number)
                case RunTools(calls):
                    ended = await self._run_tools([seq for seq, _ in calls])
                case Answer(text):
                    raise Halt(text)
                case Exceed():
                    raise await self._exceeded()
                case Done():
                    raise AssertionError("a round that owes nothing has ended the turn")
            if ended is not None:
                return ended
        raise AssertionError("moves are counted without end")

    async def _exceeded(self) -> ToolRoundsExceeded:
        error = ToolRoundsExceeded(
            f"The model asked for tools after {self._limit} rounds of them. Raise "
            "max_tool_rounds, let it go on with resume(), or ask again."
        )
        await self.around.error(error, None)
        return error

    # A round ----------------------------------------------------------------------------------

    async def _generate(self, number: int) -> Message | None:
        """One round: its reply stored; the finished message if it asks for no tools."""
        reply, row, changed = await self._reply(number)
        self._attempt = None
        raw = raw_of_round(reply, number, self.plan.target)
        self.draft.add_round(reply, number, raw, changed=changed)
        if not reply.tool_calls:
            return await self._finish(reply, row)
        may_run = number <= self._limit
        self._prepared = (
            prepare_calls(self.plan.toolbox, self.draft.parts, number) if may_run else []
        )
        await save_calls(self, [call for call in self._prepared if gets_row(self, call)])
        self._tell_usage(row.usage)
        await self.around.tell("response", reply, row)
        for call in self._prepared:
            await tell_refused(self, call)
        return None

    async def _run_tools(self, open_calls: list[int]) -> Message | None:
        """Run the round's calls; the message if that ends the turn."""
        prepared = self._prepared or await take_up(self, open_calls)
        self._prepared = []
        match await run_calls(self, prepared):
            case "waits":
                return await self._stop(error=AWAITS)
            case "proposed":
                return await self._complete(self.draft.snapshot(status="complete"))
        return None

    # A reply ----------------------------------------------------------------------------------

    async def _reply(self, number: int) -> tuple[Reply, RequestRow, bool]:
        """The round's reply, its row, and whether middleware changed it."""
        before = self.draft.attempts_in(number)
        for tries in count(1):
            await asyncio.sleep(0)  # a stop that came during a commit is heard before sending
            asked = request_of(self.plan, self.begun, self.draft, self.files)
            request = await self.around.request(asked)
            attempt = self._attempt = Attempt(number, before + tries, wire=self._wire)
            try:
                reply = await run_attempt(self.plan, request, attempt, self._show)
            except BaseException as error:
                await self._record(attempt, error)
                wait_s = await self._wait_after(error, attempt, tries, request)
                if wait_s is None:
                    raise
                self.emit(RetryEvent(self.message_id, attempt.number, wait_s, str(error)))
                await asyncio.sleep(wait_s)
            else:
                return await self._taken(reply, attempt)
        raise AssertionError("attempts are counted without end")

    async def _taken(self, reply: Reply, attempt: Attempt) -> tuple[Reply, RequestRow, bool]:
        row = request_row(self.plan.target, attempt, None)
        self.draft.rows.append(row)
        self.unstored.append(row)
        changed = await self.around.reply(reply, row)
        if changed.parts != reply.parts and changed.blocks is reply.blocks:
            changed = replace(changed, blocks=None)  # they say what is no longer said
        return changed, row, changed is not reply

    async def _wait_after(
        self, error: BaseException, attempt: Attempt, tries: int, request: Request
    ) -> float | None:
        """Seconds to the next try; None to give up."""
        if not isinstance(error, Exception):
            return None
        decision = await self.around.error(error, request)
        if not isinstance(error, ProviderError) or decision is Decision.STOP:
            return None
        if attempt.wire is not None and (amended := attempt.wire.amended(error)) is not None:
            self._wire = amended
            return 0.0
        if decision is Decision.RETRY and not attempt.began_answer and tries < MOST_RETRIES:
            return error.retry_after_s or 0.0
        return retry_delay(error, tries, shown=attempt.began_answer)

    async def _record(self, attempt: Attempt, error: BaseException) -> None:
        """Store an attempt that failed or was stopped, if it was made at all."""
        if not isinstance(error, ConfigError):
            row, message = request_row(self.plan.target, attempt, error), self.begun.assistant
            self.draft.rows.append(row)
            await self.save(lambda cursor: save_request(cursor, message, row, self.persist))

    def _show(self, delta: Delta) -> None:
        text = clean(delta.text)
        if delta.kind == "text":
            self.draft.say(text)
            self.emit(TextEvent(self.message_id, text))
        else:
            self.emit(ThinkingEvent(self.message_id, text))
        if time.monotonic() - self._saved_at > PROGRESS_S:
            self._save_progress()

    def _save_progress(self) -> None:
        """Store what has streamed in so far, for the case that this process dies."""
        self._saved_at = time.monotonic()
        if self._progress is None or self._progress.done():
            snapshot = self.draft.snapshot(self._arriving())
            self._progress = asyncio.create_task(self._save_quietly(snapshot, self._saves))

    async def _save_quietly(self, snapshot: Message, saves: int) -> None:
        def save(cursor: Cursor) -> None:
            if self._saves == saves:  # nothing newer was stored while this waited in line
                update_assistant(cursor, snapshot, self.persist)

        store = self.plan.store
        try:
            await self._worker.do(lambda: store.transact(save))
        except StoreError:
            return  # the end of the turn is written, or its failure raised, in any case

    def _arriving(self) -> tuple[Part, ...]:
        """Parts of the reply that is still coming in."""
        if self._attempt is None:
            return ()
        return parts_of_round(self._attempt.reply(), self._attempt.round, whole=False)

    async def save(self, work: Callable[[Cursor], T]) -> T:
        """What `work` returns once it is committed, even if the turn is stopped meanwhile."""
        self._saves += 1
        store = self.plan.store
        return await settled(self._worker.do(lambda: store.transact(work)))

    async def read(self, work: Callable[[Cursor], T]) -> T:
        """What `work`, which only reads, returns."""
        store = self.plan.store
        return await self._worker.do(lambda: store.read(work))

    def _tell_usage(self, usage: Usage) -> None:
        self.emit(
            UsageEvent(
                self.message_id,
                usage.input_tokens,
                usage.output_tokens,
                usage.cached_input_tokens,
                usage.cache_write_tokens,
                usage.thinking_tokens,
            )
        )

    # How it ends ------------------------------------------------------------------------------

    async def _finish(self, reply: Reply, row: RequestRow) -> Message:
        message = await self._complete(self.draft.snapshot(status="complete"))
        self._tell_usage(row.usage)
        await self.around.tell("response", reply, row)
        return message

    async def _halt(self, halt: Halt) -> Message:
        text = clean(text_of_result(halt.value))
        self.emit(TextEvent(self.message_id, text))
        self.draft.parts.append(Text(text, round=self.draft.last_round + 1))
        message = self.draft.snapshot(status="complete")
        whole = replace(message, content=text, finish_reason="stop")
        return await self._complete(whole, halted=True)

    async def _complete(self, message: Message, *, halted: bool = False) -> Message:
        def save(cursor: Cursor) -> None:
            self._save_requests(cursor, message)
            if halted:  # nobody need approve, or run, what was to run beside the answer
                stop_tool_calls(cursor, message.id, waiting=True)
            update_assistant(cursor, message, self.persist)

        await self._end(message, save)
        return message

    async def _stop(self, *, error: JSON) -> Message:
        """End the turn with what arrived; if that is nothing and has no reason, nothing stays."""
        message = replace(self.draft.snapshot(self._arriving(), status="stopped"), error=error)

        def save(cursor: Cursor) -> None:
            self._save_requests(cursor, message)
            stop_tool_calls(cursor, message.id)
            if _is_kept(message):
                update_assistant(cursor, message, self.persist)
            else:
                drop_assistant(cursor, message)

        await self._end(message, save)
        return message

    async def _fail(self, error: Exception) -> None:
        """Keep the user's message with the error, delete the placeholder, keep the audit."""
        if isinstance(error, ProviderError):
            error.partial = self.draft.text
        failed = error_json(error, partial=self.draft.text)
        whole = self.draft.snapshot(status="failed")

        def save(cursor: Cursor) -> None:
            for row in self.draft.rows:  # one that is there already stays as it is
                save_request(cursor, self.begun.assistant, row, self.persist)
            stop_tool_calls(cursor, self.begun.assistant.id, waiting=True)
            drop_assistant(cursor, self.begun.assistant)
            if digests_of([whole]):  # only the bytes of pictures can be left without a name
                drop_unused(cursor)
            fail_user(cursor, self.begun.user.id, failed, self.persist)

        try:
            await self._end(whole, save)
            self.plan.remember(replace(self.begun.user, error=failed))
        except Exception as cleanup:
            error.add_note(f"The failed turn could not be cleaned up: {cleanup}")

    def _save_requests(self, cursor: Cursor, message: Message) -> None:
        for row in self.unstored:
            save_request(cursor, message, row, self.persist)

    async def _end(self, message: Message, work: Callable[[Cursor], None]) -> None:
        self._saves += 1
        self.plan.remember(message)
        store = self.plan.store
        try:
            await settled(self._worker.do(lambda: store.transact(work)), last=True)
        except StoreError as error:
            error.unsaved = message
            raise
        self._ended = message


def _is_kept(message: Message) -> bool:
    """Whether a turn's message stays: one that was stopped before anything came does not."""
    return bool(message.status == "complete" or message.parts or message.error)
