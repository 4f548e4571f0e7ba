"""One daemon thread with its own asyncio loop, where every turn runs.

Started at the first turn. It is the only place from which streaming, Stop and other cells
work at the same time on every kernel. A forked child starts its own.
"""

import asyncio
import atexit
import concurrent.futures
import contextlib
import contextvars
import os
import queue
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from nbchat import http

T = TypeVar("T")

EXIT_S = 3.0


class _Engine:
    def __init__(self) -> None:
        self.pid = os.getpid()
        self.closing = False
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, name="nbchat-loop", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        while not self.closing:
            # an exit raised in a task of a user's leaves the loop, which all other turns need
            with contextlib.suppress(SystemExit, KeyboardInterrupt):
                self.loop.run_forever()

    def close(self) -> None:
        """End what runs, let it write its end, then stop the thread."""
        if os.getpid() != self.pid or not self.thread.is_alive():
            return
        ended = asyncio.run_coroutine_threadsafe(_end_tasks(), self.loop)
        with contextlib.suppress(Exception):
            ended.result(EXIT_S)
        self.closing = True
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(EXIT_S)
        if not self.thread.is_alive():
            self.loop.close()


async def _end_tasks() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=EXIT_S) if tasks else None
    await asyncio.get_running_loop().shutdown_asyncgens()
    await http.close()


_engine: _Engine | None = None
_starting = threading.RLock()  # garbage collection may stop a turn while one starts
if hasattr(os, "register_at_fork"):
    # a child must not inherit it locked by a thread that it does not have
    os.register_at_fork(
        before=_starting.acquire,
        after_in_parent=_starting.release,
        after_in_child=_starting.release,
    )


def engine_loop() -> asyncio.AbstractEventLoop:
    """The engine's loop, started if this process has none yet."""
    global _engine  # noqa: PLW0603  one thread per process
    with _starting:
        if _engine is None or _engine.pid != os.getpid():
            _engine = _Engine()
            atexit.register(_engine.close)
        return _engine.loop


def engine_runs() -> bool:
    """Whether this process has an engine that can still bring a turn to its end."""
    return _engine is not None and _engine.pid == os.getpid() and _engine.thread.is_alive()


def on_engine_thread() -> bool:
    """Whether this is the engine's own thread, which must never wait for itself."""
    return _engine is not None and threading.current_thread() is _engine.thread


def submit(work: Coroutine[Any, Any, T]) -> "concurrent.futures.Future[T]":
    """Start a coroutine on the engine."""
    return asyncio.run_coroutine_threadsafe(work, engine_loop())


async def in_thread(work: Callable[[], T]) -> T:
    """What `work` returns, run on a thread of its own that sees the caller's context.

    Cancelling leaves the thread behind: Python cannot end one. It is a daemon, so it never
    keeps the process alive.
    """
    future: concurrent.futures.Future[T] = concurrent.futures.Future()
    context = contextvars.copy_context()
    run = threading.Thread(
        target=lambda: _settle(future, lambda: context.run(work)), name="nbchat-work", daemon=True
    )
    run.start()
    return await asyncio.wrap_future(future)


def _settle(future: "concurrent.futures.Future[T]", work: Callable[[], T]) -> None:
    if future.set_running_or_notify_cancel():
        _finish(future, work)


def _finish(future: "concurrent.futures.Future[T]", work: Callable[[], T]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:
        future.set_exception(_carriable(error))


def _carriable(error: BaseException) -> Exception:
    """The error, but for one that no future can hold, or that would end the engine's loop."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    said = f": {error}" if str(error) else ""
    return RuntimeError(f"{type(error).__name__} was raised{said}")


async def contained(work: Awaitable[T]) -> T:
    """What a user's coroutine gives; an exit or a cancellation of its own is a plain error."""
    try:
        return await work
    except Exception:
        raise
    except BaseException as error:
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise
        raise _carriable(error) from error


class Worker:
    """One thread that does work in the order it was given; for a store's transactions."""

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self.pid = os.getpid()
        threading.Thread(
            target=_work_off, args=[self._work], name="nbchat-store", daemon=True
        ).start()
        # not at exit: turns that end then are still to be written
        weakref.finalize(self, self._work.put, None).atexit = False

    def do(self, work: Callable[[], T]) -> "asyncio.Future[T]":
        """What `work` returns, after all that was given before; given work is always done."""
        future: concurrent.futures.Future[T] = concurrent.futures.Future()
        future.set_running_or_notify_cancel()
        self._work.put(lambda: _finish(future, work))
        return asyncio.wrap_future(future)


def _work_off(waiting: "queue.SimpleQueue[Callable[[], None] | None]") -> None:
    while (work := waiting.get()) is not None:
        work()
        del work  # a thread that waits must hold on to nobody's store


async def settled(work: Awaitable[T], *, last: bool = False) -> T:
    """What the awaitable gives, finished even if this task is cancelled meanwhile.

    The cancellation takes effect at the next await; with `last` it is forgotten, because
    the turn is already ending.
    """
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            cancelled = True
    current = asyncio.current_task()
    if cancelled and not last and current is not None:
        current.cancel()
    return task.result()
