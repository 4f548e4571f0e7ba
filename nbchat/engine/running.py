"""A turn under way, seen from the thread that asked: wait for it, follow it, stop it.

Sync and async callers share one coroutine on the engine's thread; what differs is only how
they wait. Whenever control returns to the caller, the rows are right.
"""

import asyncio
import concurrent.futures
import contextlib
import contextvars
import math
import os
import queue
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, Self

from nbchat.engine.loop import (
    Worker,
    engine_loop,
    engine_runs,
    in_thread,
    on_engine_thread,
    settled,
    submit,
)
from nbchat.engine.plan import Plan
from nbchat.engine.prepare import require_tools
from nbchat.engine.tool_run import current_call
from nbchat.engine.turn import Turn
from nbchat.engine.watching import TurnBegun, TurnEnded, tell
from nbchat.errors import ChatBusy, ConfigError
from nbchat.events import Event
from nbchat.messages import Message
from nbchat.prices import price_list
from nbchat.store import Store
from nbchat.store.attachments import digests_of, load_attachments, save_attachments
from nbchat.store.branches import begin_again
from nbchat.store.chats import always_allowed
from nbchat.store.file import Cursor
from nbchat.store.persist import recalled
from nbchat.store.resume import resume_turn
from nbchat.store.turns import Begun, begin_turn

# short enough that Ctrl-C is heard where waiting itself cannot be interrupted
WAIT_S = 0.2
DROPPED_S = 1.0
BUSY_POLL_S = 0.1

_END = object()
_asking: contextvars.ContextVar[frozenset[tuple[int, int, str]]] = contextvars.ContextVar(
    "nbchat_asking", default=frozenset()
)
_locks: "weakref.WeakValueDictionary[tuple[int, int, str], asyncio.Lock]"
_locks = weakref.WeakValueDictionary()
_workers: "weakref.WeakKeyDictionary[Store, Worker]" = weakref.WeakKeyDictionary()


def refuse_on_engine() -> None:
    """Raise before a turn begins that would wait on the very thread that has to run it."""
    if on_engine_thread():
        raise ConfigError(
            "An async tool cannot wait here. Use `await chat.aask(...)` or chat.aask_stream(...)."
        )


class Running:
    """One turn on the engine; `follow` is called on its thread with every event, then the end."""

    def __init__(self, plan: Plan, follow: Callable[[Any], None] | None = None) -> None:
        self._pid = os.getpid()
        key = (self._pid, id(plan.store), plan.chat_id)
        if key in _asking.get():
            raise ChatBusy(
                "A tool of this chat cannot ask the same chat. Give it a chat of its own."
            )
        self.plan = plan
        self.outcome: concurrent.futures.Future[Message] = concurrent.futures.Future()
        self.outcome.set_running_or_notify_cancel()  # only the turn itself can end it
        self.begun: concurrent.futures.Future[str] = concurrent.futures.Future()
        self._follow = follow or (lambda event: None)
        self._task: asyncio.Task[Any] | None = None
        self._cancelled = False
        self._parent = current_call.get()  # in the context of whoever asks
        self._warming: asyncio.Future[Any] | None = None
        plan.turns.add(self)  # before it begins: from then on somebody may stop it
        token = _asking.set(_asking.get() | {key})
        try:
            submit(self._run(key))
        finally:
            _asking.reset(token)

    async def _run(self, key: tuple[int, int, str]) -> None:
        self._task = asyncio.current_task()
        try:
            if self._cancelled:
                raise asyncio.CancelledError
            self.outcome.set_result(await self._locked_turn(key))
        except asyncio.CancelledError:  # stopped while it waited in line: nothing is stored
            stopped = Message("", self.plan.chat_id, "assistant", status="stopped")
            self.outcome.set_result(stopped)
        except BaseException as error:
            self.outcome.set_exception(error)
        finally:
            self.plan.turns.discard(self)
            began = self.begun.done()
            if not began:
                self.begun.cancel()
            self._follow(_END)
            self._tell(TurnEnded(self, began, self.outcome.exception()))

    def _tell(self, news: Event | TurnBegun | TurnEnded) -> None:
        tell(self.plan.store.path, self.plan.chat_id, news)

    def _emit(self, event: Event) -> None:
        self._follow(event)
        self._tell(event)

    async def _locked_turn(self, key: tuple[int, int, str]) -> Message:
        lock = _locks.get(key) or _locks.setdefault(key, asyncio.Lock())
        if lock.locked() and not self.plan.wait:
            raise ChatBusy("This chat is answering. Wait for it, stop it, or ask with wait=True.")
        async with lock:
            worker = _worker_of(self.plan.store)
            begun = await self._begin(worker)
            self.begun.set_result(begun.assistant.id)
            self._tell(TurnBegun(begun.user, begun.assistant, self))
            if self.plan.target.provider.prices:
                # while the model thinks, not between its answer and the caller
                self._warming = asyncio.ensure_future(in_thread(price_list))
            return await Turn(self.plan, begun, self._emit, worker).run()

    async def _begin(self, worker: Worker) -> Begun:
        plan = self.plan

        def begin() -> Begun:
            begun = plan.store.transact(self._first_work)
            plan.remember(begun.user)
            history = (recalled(message, plan.remembered) for message in begun.history)
            return replace(begun, history=tuple(history))

        while True:
            try:
                return await settled(worker.do(begin))
            except ChatBusy:
                if not plan.wait:
                    raise
                await asyncio.sleep(BUSY_POLL_S)

    def _first_work(self, cursor: Cursor) -> Begun:
        """Begin the turn, or an earlier one again, or have the last one go on."""
        plan = self.plan
        if plan.toolbox.tools:
            plan.toolbox.always.update(always_allowed(cursor, plan.chat_id))
        common: dict[str, Any] = {
            "model": plan.target.full_model,
            "provider": plan.target.provider.name,
            "instructions_version": plan.instructions_version,
        }
        save_attachments(cursor, plan.storable(plan.attachments))
        begun = self._turn_begun(cursor, common)
        digests = digests_of((*begun.history, begun.user, begun.assistant))
        return replace(begun, files={**load_attachments(cursor, digests), **plan.files})

    def _turn_begun(self, cursor: Cursor, common: dict[str, Any]) -> Begun:
        plan = self.plan
        recall = partial(recalled, remembered=plan.remembered)
        asks: dict[str, Any] = {"persist": plan.persist, "parent_tool_call_id": self._parent}
        if plan.again is not None:
            return begin_again(
                cursor, plan.chat_id, plan.again.message_id, plan.again.text, recall=recall,
                **asks, **common,
            )  # fmt: skip
        if not plan.parts:
            begun = resume_turn(cursor, plan.chat_id, recall=recall, **common)
            require_tools(plan.toolbox, begun.assistant.parts, begun.calls)
            return begun
        return begin_turn(cursor, plan.chat_id, plan.parts, plan.content, **asks, **common)

    def cancel(self) -> None:
        """Ask the turn to end with what arrived; returns at once, from any thread."""
        if os.getpid() != self._pid:
            return  # a forked child sees its parent's turn, and cannot end it
        self._cancelled = True

        def cancel() -> None:
            if self._task is not None and not self._task.done():
                self._task.cancel()

        with contextlib.suppress(RuntimeError):  # the loop is gone: so is the turn
            engine_loop().call_soon_threadsafe(cancel)

    def wait(self) -> Message:
        """The turn's message; Ctrl-C stops the turn, waits for its end, and is raised."""
        try:
            return self._wait()
        except KeyboardInterrupt:
            self.end()
            raise

    def _wait(self) -> Message:
        while True:
            with contextlib.suppress(TimeoutError):
                return self.outcome.result(WAIT_S)
            if self.outcome.done():
                return self.outcome.result()

    def end(self, patience_s: float = math.inf) -> None:
        """Cancel and wait until the rows are right; what went wrong stays in `outcome`."""
        self.cancel()
        deadline = time.monotonic() + patience_s
        can_end = os.getpid() == self._pid and not on_engine_thread()
        while can_end and engine_runs() and not self.outcome.done():
            concurrent.futures.wait([self.outcome], min(WAIT_S, patience_s))
            if time.monotonic() > deadline:
                return


def _worker_of(store: Store) -> Worker:
    """The thread that runs this store's transactions in order; a forked child has its own."""
    worker = _workers.get(store)
    if worker is None or worker.pid != os.getpid():
        worker = _workers[store] = Worker()
    return worker


class Stream:
    """The events of a turn as they come: an iterator, a context manager, `close()`.

    The turn runs from the moment it is asked. Leaving the loop early, closing, or dropping
    the stream stops it and keeps what arrived.
    """

    def __init__(self, plan: Plan) -> None:
        refuse_on_engine()
        self._events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.running = Running(plan, self._events.put)
        self._ended = False
        _streams_here().add(self)

    @property
    def message_id(self) -> str:
        """The id of the assistant's message, once its row is stored."""
        return _message_id(self.running)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        while True:
            if (event := self.next_within(WAIT_S)) is not None:
                return event

    def next_within(self, timeout_s: float) -> Event | None:
        """The next event, None when none comes in that time; StopIteration at the end."""
        if self._ended:
            raise StopIteration
        try:
            event = self._events.get(timeout=timeout_s)
        except queue.Empty:
            return None
        except KeyboardInterrupt:
            self.close()
            raise
        if event is _END:
            self._ended = True
            self.running.outcome.result()
            raise StopIteration
        result: Event = event
        return result

    def close(self) -> None:
        """Stop the turn if it still runs, keep what arrived, and wait until that is stored."""
        self._ended = True
        if not self.running.outcome.done():
            self.running.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        running = getattr(self, "running", None)
        if running is not None and not self._ended:
            # Python may collect a stream while this very thread has the store
            running.end(DROPPED_S)


class _Here(threading.local):
    def __init__(self) -> None:
        self.streams: weakref.WeakSet[Stream] = weakref.WeakSet()
        self.async_streams: weakref.WeakSet[AsyncStream] = weakref.WeakSet()


_here = _Here()


def _streams_here() -> "weakref.WeakSet[Stream]":
    return _here.streams


def close_abandoned(chat_id: str) -> None:
    """Close what this thread streams from the chat and no longer reads, before it asks again."""
    for stream in list(_streams_here()):
        if stream.running.plan.chat_id == chat_id:
            stream.close()


def stop_abandoned(chat_id: str) -> None:
    """As `close_abandoned` for the running task: what it streamed ends before its next turn.

    Another task's stream is in use, and is waited for.
    """
    close_abandoned(chat_id)
    for stream in list(_here.async_streams):
        if stream.running.plan.chat_id == chat_id and stream.is_asked_by(asyncio.current_task()):
            stream.running.cancel()


def _message_id(running: Running) -> str:
    with contextlib.suppress(concurrent.futures.CancelledError):
        return running.begun.result()
    running.outcome.result()
    raise ChatBusy("The turn ended before it began.")


async def wait_async(running: Running) -> Message:
    """The turn's message, awaited on the caller's loop; cancelling stops the turn first."""
    waiting = asyncio.wrap_future(running.outcome)
    try:
        while not waiting.done():
            # an idle main loop of a kernel is not woken by an interrupt, a ticking one is
            await asyncio.wait([waiting], timeout=WAIT_S)
    except asyncio.CancelledError:
        running.cancel()
        await _ended(waiting)
        raise
    return waiting.result()


async def _ended(waiting: "asyncio.Future[Message]") -> None:
    """Wait for the turn's end, whatever it is, even if cancelled again."""
    while not waiting.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([waiting])
    waiting.exception()


class AsyncStream:
    """The events of a turn for `async for`; as Stream otherwise, with `aclose()`."""

    def __init__(self, plan: Plan) -> None:
        loop = asyncio.get_running_loop()
        self._asker = asyncio.current_task()
        self._events: asyncio.Queue[Any] = asyncio.Queue()
        put = self._events.put_nowait

        def follow(event: Any) -> None:
            with contextlib.suppress(RuntimeError):  # the caller's loop is closed
                loop.call_soon_threadsafe(put, event)

        self.running = Running(plan, follow)
        self._ended = False
        _here.async_streams.add(self)

    @property
    def message_id(self) -> str:
        """The id of the assistant's message, once its row is stored."""
        return _message_id(self.running)

    def __aiter__(self) -> Self:
        return self

    def is_asked_by(self, task: "asyncio.Task[Any] | None") -> bool:
        """Whether this task asked, and the turn still runs."""
        return task is self._asker and not self.running.outcome.done()

    async def __anext__(self) -> Event:
        if self._ended:
            raise StopAsyncIteration
        try:
            event = await self._next()
        except asyncio.CancelledError:
            await self.aclose()
            raise
        if event is _END:
            self._ended = True
            self.running.outcome.result()
            raise StopAsyncIteration
        result: Event = event
        return result

    async def _next(self) -> Any:
        while True:
            # not wait_for: it forgets a cancellation that comes together with an event
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WAIT_S):
                    return await self._events.get()

    async def aclose(self) -> None:
        """Stop the turn if it still runs, keep what arrived, and wait until that is stored."""
        self._ended = True
        if not self.running.outcome.done():
            self.running.cancel()
            await _ended(asyncio.wrap_future(self.running.outcome))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        if not getattr(self, "_ended", True):
            self.running.cancel()
