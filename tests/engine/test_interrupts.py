"""Ctrl-C, as the kernel sends it: a real signal to a real process, and the rows are right."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from four_ways import WAYS
from stored_rows import pending

import nbchat

CHILD = Path(__file__).with_name("interrupted_child.py")
KEPT = {
    "waiting": [["user", "complete", "waiting"]],
    "streaming": [["user", "complete", "streaming"], ["assistant", "stopped", "half an "]],
    "tool": [["user", "complete", "tool"], ["assistant", "stopped", "so "]],
}


@pytest.mark.parametrize("stage", KEPT)
@pytest.mark.parametrize("way", WAYS)
def test_a_signal_stops_the_turn_keeps_its_text_and_is_raised(
    tmp_path: Path, way: str, stage: str
) -> None:
    path = tmp_path / "chats.duckdb"
    search = os.pathsep.join(item for item in sys.path if item)
    process = subprocess.Popen(
        [sys.executable, str(CHILD), str(path), way, stage],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": search},
    )
    assert process.stdout is not None
    assert json.loads(process.stdout.readline()) == "interrupt me"
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    kept, again = map(json.loads, out.splitlines())
    assert kept == KEPT[stage]
    assert again == "fine"
    store = nbchat.open_store(path)
    assert pending(store) == []
    requests = store.sql("select error_type from requests order by turn, round")
    stopped = [None] if stage == "tool" else ["Stopped"]
    assert [value if isinstance(value, str) else None for value in requests["error_type"]] == [
        *stopped, None,
    ]  # fmt: skip
    calls = store.sql("select status from tool_calls")["status"].tolist()
    assert calls == (["stopped"] if stage == "tool" else [])
