"""Starts the embedded engine when it is first needed, and finds it again after that.

Invariants: at most one engine a model and process, whatever the threads and forks; it ends
with this process, however that ends; its key is known to this process and the engine only.
How the engine is built is `server.py`'s matter.
"""

import atexit
import contextlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from nbchat.errors import ConfigError, MissingExtra, ProviderError
from nbchat.local import weights

CONTEXT_TOKENS = 4096
READY_WITHIN_S = 60.0
LOG_LINES = 3
MAX_THREADS = 8  # a model this small gains nothing from more, and a shared machine loses


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a running engine answers, and the key it asks for."""

    base_url: str
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Engine:
    """A running child process."""

    process: subprocess.Popen[bytes]
    log: IO[bytes]
    endpoint: Endpoint

    @property
    def is_alive(self) -> bool:
        """Whether the process still runs."""
        return self.process.poll() is None

    def close(self) -> None:
        """Ends the process and waits until it is gone."""
        close_process(self.process)
        self.log.close()


class Engines:
    """The engines of this process, by model."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.running: dict[str, Engine] = {}

    def endpoint(self, model: str, ready_within_s: float) -> Endpoint:
        """Where the model's engine answers; starts it unless it runs."""
        with self.lock:
            engine = self.running.get(model)
            if engine is None or not engine.is_alive:
                self.drop(model)
                engine = self.running[model] = launch(model, ready_within_s)
            return engine.endpoint

    def drop(self, model: str) -> None:
        """Forgets a model's engine, which is ended if it still runs."""
        engine = self.running.pop(model, None)
        if engine is not None:
            engine.close()

    def close(self) -> None:
        """Ends every engine; at exit another thread may hold the lock, so it is not taken."""
        for model in list(self.running):
            self.drop(model)

    def forget(self) -> None:
        """In a forked process: lets go of the parent's engines without ending them.

        The pipe must be closed here, or the fork would keep the engine of a dead parent alive.
        """
        for engine in self.running.values():
            close_pipe(engine.process)
            engine.process.poll()  # learns that it is not this process's child
            engine.log.close()
        self.running = {}
        self.lock = threading.Lock()  # another thread may have held it while forking


ENGINES = Engines()
atexit.register(ENGINES.close)
if sys.platform != "win32":
    os.register_at_fork(after_in_child=ENGINES.forget)


def endpoint(model: str, *, ready_within_s: float = READY_WITHIN_S) -> Endpoint:
    """Where the embedded model answers; starts its engine at the first call.

    Blocks until the engine is ready. Raises MissingExtra without the `local` extra, ConfigError
    without weights, UnknownModel, and ProviderError when the engine does not start.
    """
    return ENGINES.endpoint(model, ready_within_s)


def launch(model: str, ready_within_s: float) -> Engine:
    """A fresh engine that has loaded the model."""
    path = require_weights(model)
    key = secrets.token_urlsafe(32)
    settings = {
        "model": model,
        "path": str(path),
        "key": key,
        "threads": thread_count(),
        "context_tokens": CONTEXT_TOKENS,
    }
    log = tempfile.TemporaryFile()  # noqa: SIM115  the engine keeps it open
    process = spawn(log)
    try:
        started = time.monotonic()
        address = handshake(process, settings, ready_within_s)
        if address is None:
            late = time.monotonic() - started >= ready_within_s
            raise not_started(model, f"within {ready_within_s:g} s" if late else "", process, log)
    except BaseException:
        close_process(process)
        log.close()
        raise
    return Engine(process, log, Endpoint(f"{address}/v1", key))


def require_weights(model: str) -> Path:
    """The path of the model's weights; raises when they or the engine are missing."""
    path = weights.path_of(model)
    if find_spec("xllamacpp") is None:
        raise MissingExtra(
            "The embedded model needs its engine. "
            'Install it with `pip install "nbchat[local]"`, or name another model.'
        )
    if not weights.is_pulled(model):
        raise ConfigError(
            f"The weights of {model!r} are not in {path.parent}. "
            f"Get them with `nbchat pull {model}`, which shows size and licence first."
        )
    return path


def thread_count() -> int:
    """One thread less than there are cores, for with all of them a busy machine stalls."""
    if sys.platform == "linux":
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return max(1, min(cores - 1, MAX_THREADS))


def spawn(log: IO[bytes]) -> subprocess.Popen[bytes]:
    """The child process, waiting for its settings.

    It runs by path and with -P, so that no module of the working directory gets in, and in a
    session of its own, for a kernel's interrupt goes to the whole process group.
    """
    script = Path(__file__).with_name("server.py")
    return subprocess.Popen(
        [sys.executable, "-P", str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        start_new_session=True,
    )


def handshake(
    process: subprocess.Popen[bytes], settings: Mapping[str, object], limit_s: float
) -> str | None:
    """The engine's address, or None when it ended or was ended at the time limit."""
    assert process.stdin is not None
    assert process.stdout is not None
    alarm = threading.Timer(limit_s, process.kill)
    alarm.daemon = True
    alarm.start()
    try:
        process.stdin.write(json.dumps(settings).encode() + b"\n")
        process.stdin.flush()
        line = process.stdout.readline()
    except BrokenPipeError:
        line = b""
    finally:
        alarm.cancel()
    address: str | None = json.loads(line)["address"] if line else None
    return address


def not_started(
    model: str, within: str, process: subprocess.Popen[bytes], log: IO[bytes]
) -> ProviderError:
    """The error for an engine that ended before it was ready, with its last words."""
    code = process.wait()
    log.seek(0)
    lines = log.read().decode(errors="replace").splitlines()
    words = " | ".join([line.strip() for line in lines if line.strip()][-LOG_LINES:])
    how = f"was not ready {within} and was ended" if within else f"ended with exit code {code}"
    return ProviderError(
        f"The embedded engine for {model!r} {how}; its last words: {words.rstrip('.') or 'none'}. "
        f"If its weights are damaged, `nbchat pull {model}` replaces them.",
        provider="local",
        model=model,
    )


def close_process(process: subprocess.Popen[bytes]) -> None:
    """Ends the process: politely by closing its stdin, then by force."""
    close_pipe(process)
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def close_pipe(process: subprocess.Popen[bytes]) -> None:
    """Closes both pipes; what a dead child did not read is dropped."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
