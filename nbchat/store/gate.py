"""Who may open the file: two lock files beside it, fair between processes.

DuckDB's own lock loses acknowledged commits when polled (measured on 2.0.0), so nobody
attaches the store without holding `PATH.lock`. `PATH.wait` is a turnstile: a newcomer
passes it before trying the lock, and a holder that finds it taken knows that somebody
waits. Nothing here knows DuckDB.
"""

import contextlib
import json
import os
import random
import sys
import time
from collections.abc import Callable

from filelock import FileLock, Timeout

from nbchat.errors import StoreBusy

HEAD_POLL_S = 0.002
LINE_POLL_S = (0.004, 0.024)
PATIENCE_S = 0.15


class Gate:
    """The right to attach one file, held by at most one process at a time."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = _lock_file(f"{path}.lock", on_acquired=_sign)
        self._wait = _lock_file(f"{path}.wait")

    def enter(self, timeout_s: float) -> None:
        """Take the right, waiting in line; raises StoreBusy naming who held it for too long."""
        deadline = time.monotonic() + timeout_s
        self._take(self._wait, deadline, timeout_s, _line_poll)
        try:
            self._take(self._lock, deadline, timeout_s, lambda waited_s: HEAD_POLL_S)
        finally:
            self._wait.release(force=True)

    def leave(self) -> None:
        """Give the right back."""
        self._lock.release(force=True)

    def somebody_waits(self) -> bool:
        """Whether another process stands in the turnstile, or there is nothing left to hold."""
        # taking a lock would make the folder again, after somebody deleted it
        if not os.path.isdir(os.path.dirname(self._path)) or not _try(self._wait):
            return True
        self._wait.release(force=True)
        return False

    def _take(
        self, lock: FileLock, deadline: float, timeout_s: float, poll: Callable[[float], float]
    ) -> None:
        began = time.monotonic()
        while not _try(lock):
            now = time.monotonic()
            if now > deadline:
                raise StoreBusy(
                    f"{self._path!r} has been held by {self._holder()} for over {timeout_s:g} s. "
                    "Wait for it, or interrupt or restart that process."
                )
            time.sleep(poll(now - began))

    def _holder(self) -> str:
        try:
            with open(f"{self._path}.lock", encoding="utf-8") as file:
                holder = json.load(file)
            return f"process {holder['pid']} ({holder['what']})"
        except (OSError, ValueError, KeyError):
            return "another process"


def _line_poll(waited_s: float) -> float:
    """How long to sleep before the turnstile is tried again: who has waited longer tries oftener.

    A long line that tried as fast as it could would take the time of who is at work.
    """
    soonest, latest = LINE_POLL_S
    return random.uniform(0.5, 1) * max(soonest, latest * (1 - waited_s / PATIENCE_S))


def _lock_file(path: str, **options: object) -> FileLock:
    # a soft lock would outlive a killed process, so a file system without flock is an error
    return FileLock(
        path,
        timeout=0,
        mode=0o600,
        thread_local=False,
        fallback_to_soft=False,
        preserve_lock_file=True,
        **options,  # type: ignore[arg-type]  # filelock types each option by itself
    )


def _try(lock: FileLock) -> bool:
    with contextlib.suppress(Timeout):
        lock.acquire(timeout=0)
        return True
    return False


def _sign(descriptor: int) -> None:
    """Write into the lock file who holds it, for the others' error messages."""
    notebook = os.environ.get("JPY_SESSION_NAME") or sys.argv[0] or "python"
    holder = json.dumps({"pid": os.getpid(), "what": os.path.basename(notebook)})
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, holder.encode())
