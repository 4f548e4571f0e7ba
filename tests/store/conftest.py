"""Stores in empty folders, and other Python processes to share them with."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import nbchat

ROOT = Path(nbchat.__file__).parents[1]


@pytest.fixture
def path(tmp_path):
    """Where a store may be made."""
    return tmp_path / "chats.duckdb"


@pytest.fixture
def store(path):
    """A new store."""
    with nbchat.open_store(path) as opened:
        yield opened


@pytest.fixture
def start(tmp_path):
    """Starts Python on some code, with pipes; what still runs at the end is killed."""
    running = []

    def start_python(code: str, *args: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            # newer Pythons warn of every fork beside threads
            [
                sys.executable,
                "-W",
                "ignore::DeprecationWarning",
                "-c",
                textwrap.dedent(code),
                *map(str, args),
            ],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        running.append(process)
        return process

    yield start_python
    for process in running:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its own children too
        process.communicate()
