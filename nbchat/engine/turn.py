"""The turn: the one implementation behind ask, streams, async, panel and magics.

Each step is committed before the next begins, and however the turn ends its rows say so:
the message is finalized, kept with what arrived, or deleted when nothing did.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import TypeVar

from nbchat.engine.attempt import Attempt, run_attempt
from nbchat.engine.loop import Worker, settled
from nbchat.engine.moves import Done, Exceed, Generate, RunTools, next_move, retry_delay
from nbchat.engine.plan import Plan
from nbchat.engine.record import (
    error_json,
    parts_of_round,
    raw_of_round,
    request_row,
    sum_rows,
    thinking_of,
)
from nbchat.engine.tool_run import (
    PreparedCall,
    add_result,
    prepare_calls,
    run_call,
    tell_refused,
)
from nbchat.errors import (
    ConfigError,
    Halt,
    ProviderError,
    StoreBusy,
    StoreError,
    ToolError,
    ToolRoundsExceeded,
)
from nbchat.events import DoneEvent, Event, RetryEvent, TextEvent, ThinkingEvent, UsageEvent
from nbchat.exchange import Delta, Reply, Request, Usage
from nbchat.messages import JSON, Message, Part, Text
from nbchat.store.chats import is_deleted
from nbchat.store.file import Cursor
from nbchat.store.rows import RequestRow
from nbchat.store.turns import (
    Begun,
    drop_assistant,
    fail_user,
    save_request,
    save_tool_call,
    stop_tool_calls,
    update_assistant,
)
from nbchat.store.values import aware, clean, utc_now
from nbchat.tools import text_of_result
from nbchat.wires import Wire

T = TypeVar("T")

PROGRESS_S = 1.0


class Turn:
    """A turn that has begun; `run` brings it to its end."""

    def __init__(
        self, plan: Plan, begun: Begun, emit: Callable[[Event], None], worker: Worker
    ) -> None:
        self.plan = plan
        self.persist = plan.persist
        self.begun = begun
        self.parts: list[Part] = []
        self.emit = emit
        self._worker = worker
        self.message_id = begun.assistant.id
        self._said: list[str] = []
        self._raw: list[JSON] = []
        self._rows: list[RequestRow] = []
        self._prepared: list[PreparedCall] = []
        self._finish_reason: str | None = None
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
        except StoreError as error:
            raise await self._kept(error) from error

    async def _run(self) -> Message:
        try:
            message = await self._rounds()
        except asyncio.CancelledError as stop:
            message = self._ended or await self._stop(stop, error=None)
        except Halt as halt:
            message = await self._halt(halt)
        except (ToolRoundsExceeded, ToolError) as error:
            await self._stop(error, error=error_json(error))
            raise
        except StoreError:
            raise
        except Exception as error:
            await self._fail(error)
            raise
        self.emit(DoneEvent(self.message_id, message))
        return message

    async def _kept(self, error: StoreError) -> StoreError:
        """The error, once what was paid for is out of danger; it says where that is."""
        answer = error.unsaved or self.snapshot(status="interrupted")
        self.plan.remember(answer)
        is_worth = answer.parts and not await self._is_deleted(error)
        kept = type(error)(f"{error}{await self._aside(answer) if is_worth else ''}")
        kept.unsaved = answer
        return kept

    async def _aside(self, answer: Message) -> str:
        """Put what may be stored of the answer beside the file; what there is to say of that."""
        store, kept = self.plan.store, self.persist.answer(answer, self._rows)
        what = "The answer is" if self.persist.content else "Only what the answer used is"
        try:
            place = await settled(self._worker.do(lambda: store.keep(*kept)), last=True)
        except OSError as trouble:
            return f" The answer is in this error's .unsaved only ({trouble})."
        return f" {what} kept in {str(place)!r} until the store opens again." if place else ""

    async def _is_deleted(self, error: StoreError) -> bool:
        """Whether the chat is gone: nothing would ever take the answer in."""
        store, user = self.plan.store, self.begun.user
        if isinstance(error, StoreBusy):
            return False
        try:
            reading = self._worker.do(lambda: store.read(lambda cursor: is_deleted(cursor, user)))
            return await settled(reading, last=True)
        except StoreError:
            return False

    async def _rounds(self) -> Message:
        while True:
            match next_move(self.parts, self.plan.max_tool_rounds):
                case Generate(number):
                    ended = await self._generate(number)
                    if ended is not None:
                        return ended
                case RunTools():
                    await self._run_tools()
                case Exceed():
                    raise ToolRoundsExceeded(
                        f"The model asked for tools after {self.plan.max_tool_rounds} rounds of "
                        "them. Raise max_tool_rounds, or ask again to let it go on."
                    )
                case Done():
                    raise AssertionError("a round that owes nothing has ended the turn")

    async def _generate(self, number: int) -> Message | None:
        """One round: its reply stored; the finished message if it asks for no tools."""
        reply, row = await self._reply(number)
        self._attempt = None
        self._rows.append(row)
        self._finish_reason = reply.finish_reason
        self.parts += parts_of_round(reply, number)
        raw = raw_of_round(reply, number, self.plan.target)
        if raw is not None:
            self._raw.append(raw)
        if not reply.tool_calls:
            return await self._finish(row)
        may_run = number <= self.plan.max_tool_rounds
        self._prepared = prepare_calls(self.plan.tools, self.parts, number) if may_run else []
        await self._save_round(row)
        self._tell_usage(row.usage)
        for call in self._prepared:
            tell_refused(self, call)
        return None

    async def _save_round(self, row: RequestRow) -> None:
        """Commit the round and the rows of its tool calls, before any of them runs."""
        for call in self._prepared:
            if call.refusal is not None:
                add_result(self.parts, call.result(call.refusal, is_error=True))
        snapshot = self.snapshot()

        def save(cursor: Cursor) -> None:
            save_request(cursor, snapshot, row, self.persist)
            for call in self._prepared:
                save_tool_call(cursor, snapshot, call.row, self.persist)
            update_assistant(cursor, snapshot, self.persist)

        await self.save(save)

    async def _run_tools(self) -> None:
        """Run the round's calls at once; when all have ended, let one end the turn."""
        calls = (run_call(self, call) for call in self._prepared if call.refusal is None)
        ends = [end for end in await asyncio.gather(*calls, return_exceptions=True) if end]
        if ends:
            # a call whose end could not be stored must not pass for one that has
            raise max(ends, key=lambda end: isinstance(end, StoreError))

    async def _reply(self, number: int) -> tuple[Reply, RequestRow]:
        """The round's reply and its row, after as many attempts as it takes."""
        request = self._request()
        for attempt_number in count(1):
            await asyncio.sleep(0)  # a stop that came during a commit is heard before sending
            attempt = self._attempt = Attempt(number, attempt_number, wire=self._wire)
            try:
                reply = await run_attempt(self.plan, request, attempt, self._show)
            except BaseException as error:
                await self._record(attempt, error)
                wait_s = self._wait_after(error, attempt)
                if wait_s is None:
                    raise
                self.emit(RetryEvent(self.message_id, attempt_number, wait_s, str(error)))
                await asyncio.sleep(wait_s)
            else:
                return reply, request_row(self.plan.target, attempt, None)
        raise AssertionError("attempts are counted without end")

    def _wait_after(self, error: BaseException, attempt: Attempt) -> float | None:
        if not isinstance(error, ProviderError):
            return None
        if attempt.wire is not None and (amended := attempt.wire.amended(error)) is not None:
            self._wire = amended
            return 0.0
        return retry_delay(error, attempt.number, shown=attempt.began_answer)

    def _request(self) -> Request:
        plan = self.plan
        messages = (*self.begun.history, self.begun.user)
        replayed = tuple(
            message
            for message in messages
            if message.status != "failed" and message.content_removed_at is None
        )
        if self.parts:
            replayed = (*replayed, self.snapshot())
        return Request(
            provider=plan.target.provider.name,
            model=plan.target.model,
            messages=replayed,
            instructions=plan.instructions,
            tools=tuple(tool.spec for tool in plan.tools.values()),
            settings=plan.settings,
            stream=plan.stream,
        )

    async def _record(self, attempt: Attempt, error: BaseException) -> None:
        """Store an attempt that failed or was stopped, if it was made at all."""
        if not isinstance(error, ConfigError):
            row, message = request_row(self.plan.target, attempt, error), self.begun.assistant
            self._rows.append(row)
            await self.save(lambda cursor: save_request(cursor, message, row, self.persist))

    def _show(self, delta: Delta) -> None:
        text = clean(delta.text)
        if delta.kind == "text":
            self._said.append(text)
            self.emit(TextEvent(self.message_id, text))
        else:
            self.emit(ThinkingEvent(self.message_id, text))
        if time.monotonic() - self._saved_at > PROGRESS_S:
            self._save_progress()

    def _save_progress(self) -> None:
        """Store what has streamed in so far, for the case that this process dies."""
        self._saved_at = time.monotonic()
        if self._progress is None or self._progress.done():
            snapshot = self.snapshot(self._arriving())
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

    def snapshot(self, arriving: tuple[Part, ...] = (), status: str = "pending") -> Message:
        """The assistant's message as it stands."""
        parts = (*self.parts, *arriving)
        return replace(
            self.begun.assistant,
            status=status,
            content="".join(self._said),
            parts=parts,
            raw=tuple(self._raw),
            finish_reason=self._finish_reason,
            finished_at=None if status == "pending" else aware(utc_now()),
            **sum_rows(self._rows),
            **thinking_of(parts),
        )

    async def save(self, work: Callable[[Cursor], T]) -> T:
        """What `work` returns once it is committed, even if the turn is stopped meanwhile."""
        self._saves += 1
        store = self.plan.store
        return await settled(self._worker.do(lambda: store.transact(work)))

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

    async def _finish(self, row: RequestRow) -> Message:
        message = self.snapshot(status="complete")

        def save(cursor: Cursor) -> None:
            save_request(cursor, message, row, self.persist)
            update_assistant(cursor, message, self.persist)

        await self._end(message, save)
        self._tell_usage(row.usage)
        return message

    async def _halt(self, halt: Halt) -> Message:
        text = clean(text_of_result(halt.value))
        self.emit(TextEvent(self.message_id, text))
        last = self.parts[-1].round if self.parts else 0
        self.parts.append(Text(text, round=last + 1))
        message = replace(self.snapshot(status="complete"), content=text, finish_reason="stop")
        await self._end(message, lambda cursor: update_assistant(cursor, message, self.persist))
        return message

    async def _stop(self, reason: BaseException, *, error: JSON) -> Message:
        """End the turn with what arrived; the placeholder goes if that is nothing."""
        message = replace(self.snapshot(self._arriving(), status="stopped"), error=error)

        def save(cursor: Cursor) -> None:
            stop_tool_calls(cursor, message.id)
            if message.parts:
                update_assistant(cursor, message, self.persist)
            else:
                drop_assistant(cursor, message)

        await self._end(message, save)
        return message

    async def _fail(self, error: Exception) -> None:
        """Keep the user's message with the error, delete the placeholder, keep the audit."""
        partial = "".join(self._said)
        if isinstance(error, ProviderError):
            error.partial = partial
        failed = error_json(error, partial=partial)

        def save(cursor: Cursor) -> None:
            for row in self._rows:  # one that is there already stays as it is
                save_request(cursor, self.begun.assistant, row, self.persist)
            stop_tool_calls(cursor, self.begun.assistant.id)
            drop_assistant(cursor, self.begun.assistant)
            fail_user(cursor, self.begun.user.id, failed, self.persist)

        try:
            await self._end(self.snapshot(status="failed"), save)
            self.plan.remember(replace(self.begun.user, error=failed))
        except Exception as cleanup:
            error.add_note(f"The failed turn could not be cleaned up: {cleanup}")

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
