"""Who writes: ids of rows, and of the process that owns a pending turn.

An owner is dead when host, process id and process start say so; anything that cannot be
told from here counts as alive, because a living turn must never be touched.
"""

import os
import re
import secrets
import socket
import sys
import time
import uuid
from functools import cache
from pathlib import Path

UUID_TEXT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def new_id() -> str:
    """A fresh UUIDv7 (RFC 9562): sorts by the millisecond it was made in."""
    milliseconds = time.time_ns() // 1_000_000
    number = milliseconds << 80 | secrets.randbits(80)
    number = number & ~(0xF << 76) | 0x7 << 76
    number = number & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=number))


def is_id(text: str) -> bool:
    """Whether this can be the id of a row, checked before DuckDB would refuse it."""
    return UUID_TEXT.fullmatch(text) is not None


def this_owner() -> str:
    """This process, as written beside a pending turn."""
    return _owner_of(os.getpid())


@cache
def _owner_of(pid: int) -> str:
    return f"{socket.gethostname()} {pid} {_started(pid) or '?'}"


def is_alive(owner: str | None) -> bool:
    """Whether the process that wrote this may still be running; without an owner none is."""
    if owner is None:
        return False
    match owner.rsplit(" ", 2):
        case [host, pid, started] if host == socket.gethostname() and pid.isdecimal():
            return _is_same(pid, started)
    return True


def _is_same(pid: str, started: str) -> bool:
    now = _started(int(pid))
    return (now is not None and "?" in (started, now)) or now == started


def _started(pid: int) -> str | None:
    """When the process started, as text that no clock change moves; None if there is none."""
    if sys.platform == "linux":
        return _started_linux(pid)
    return "?" if _exists(pid) else None


def _started_linux(pid: int) -> str | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="latin1")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
    state, *fields = stat.rpartition(")")[2].split()
    # a zombie has ended, only nobody has asked for its exit code yet
    return None if state == "Z" else f"{fields[18]}@{boot}"


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
