"""Torn logs and broken files: what was committed is there, or an error says what to do."""

import os
import signal
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import nbchat

TURNS = 12
# kept with -9 after so many turns, each of which said how long the log was then
TALK = """
    import os, signal, sys, nbchat
    store = nbchat.open_store(sys.argv[1])
    chat = nbchat.create_chat(
        "function/x", store=store, name="c", respond=lambda request: "answer " * 50
    )
    store.close()
    for number in range(int(sys.argv[2])):
        chat.ask(f"question {number}")
        print(os.path.getsize(sys.argv[1] + ".wal"), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def torn(path):
    """Puts a store of these bytes beside a log of those, as a crash left them."""

    def put(file, log=None):
        path.write_bytes(file)
        log_of(path).unlink(missing_ok=True)
        if log is not None:
            log_of(path).write_bytes(log)

    return put


@pytest.fixture(scope="module")
def crashed(tmp_path_factory):
    """The bytes of a killed store and of its log, and the log's length after each turn."""
    return crash_in(tmp_path_factory.mktemp("crashed") / "chats.duckdb", TURNS)


def crash_in(path, turns):
    root = str(Path(nbchat.__file__).parents[1])
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(TALK), str(path), str(turns)],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
    )
    assert (process.returncode, process.stderr) == (-signal.SIGKILL, "")
    lengths = [int(line) for line in process.stdout.split()]
    assert len(lengths) == turns
    return path.read_bytes(), log_of(path).read_bytes(), lengths


def log_of(path):
    return path.with_name(path.name + ".wal")


def contents(path):
    chat = nbchat.load_chat("c", store=path)
    return [(message.role, message.content) for message in chat.messages()]


def said(turns):
    return [
        row
        for number in range(turns)
        for row in (("user", f"question {number}"), ("assistant", "answer " * 50))
    ]


def ask_and_close(path):
    chat = nbchat.load_chat("c", store=path, respond=lambda request: "fine")
    assert chat.ask("go on").content == "fine"
    chat.store.close()


def test_a_log_that_was_cut_anywhere_keeps_every_turn_before(path, crashed, torn):
    file, log, lengths = crashed
    ends = [0, *lengths]
    cuts = [ends[n] + part for n in (0, 5, TURNS - 1) for part in (0, 9, 1500)]
    for cut in cuts:
        torn(file, log[:cut])
        whole = sum(length <= cut for length in lengths)
        found = contents(path)
        assert found[: 2 * whole] == said(whole)
        assert found[2 * whole :] in ([], [("user", f"question {whole}")])
        ask_and_close(path)


# that ones are passed over, too, is so since DuckDB 2.0.1; before, they were told as damage
TAILS = {"zeros": bytes(5000), "garbage": b"\x01\x02garbage!" * 500, "ones": b"\xff" * 5000}


@pytest.mark.parametrize("tail", TAILS.values(), ids=TAILS)
def test_what_follows_the_last_record_is_passed_over(path, crashed, torn, tail):
    file, log, _ = crashed
    torn(file, log + tail)

    assert contents(path) == said(TURNS)
    ask_and_close(path)


def test_a_record_that_is_damaged_is_said_so_and_nothing_is_changed(path, crashed, torn):
    file, log, lengths = crashed
    broken = bytearray(log)
    broken[lengths[5] + 400 : lengths[5] + 420] = b"\xaa" * 20
    damaged = bytes(broken)
    torn(file, damaged)

    with pytest.raises(nbchat.StoreError, match=r"\.wal' is damaged: .* move the log") as caught:
        nbchat.load_chat("c", store=path)

    assert "Stack Trace" not in str(caught.value)
    assert (path.read_bytes(), log_of(path).read_bytes()) == (file, damaged)
    log_of(path).unlink()
    assert contents(path) == []


def test_a_record_whose_length_is_damaged_ends_the_log_for_duckdb(path, crashed, torn):
    """DuckDB 2.0 takes it for a torn end and drops what follows, silently; what is before stays."""
    file, log, lengths = crashed
    # each record: its length, its checksum, so many bytes; the first follows a short header
    starts = next(
        found for found in (records(log, start) for start in range(100)) if found is not None
    )
    at = next(start for start in starts if start > lengths[5])
    broken = bytearray(log)
    struct.pack_into("<Q", broken, at, 1 << 30)
    torn(file, bytes(broken))

    found = contents(path)

    assert found[:12] == said(6)
    assert len(found) < 2 * TURNS


def records(log, start):
    """Where the records begin if the first does at `start`; None if it does not."""
    found = []
    while start + 16 <= len(log):
        found.append(start)
        start += 16 + struct.unpack_from("<Q", log, start)[0]
    return found if start == len(log) and len(found) > TURNS else None


def test_a_log_of_another_time_or_another_store_is_refused_untouched(path, crashed, torn, tmp_path):
    file, log, _ = crashed
    torn(file, log)
    ask_and_close(path)
    later = path.read_bytes()
    _, others_log, _ = crash_in(tmp_path / "other.duckdb", 1)
    for foreign in (log, others_log):
        torn(later, foreign)

        with pytest.raises(nbchat.StoreError, match="of another store, or of this one at another"):
            nbchat.load_chat("c", store=path)

        assert (path.read_bytes(), log_of(path).read_bytes()) == (later, foreign)
    log_of(path).unlink()
    assert contents(path) == [*said(TURNS), ("user", "go on"), ("assistant", "fine")]


def overwritten(at, size=64):
    return lambda file: file[:at] + os.urandom(size) + file[at + size :]


BROKEN = {
    "first header": (overwritten(100), "damaged"),
    "second header": (overwritten(4100), "damaged"),
    "third header": (overwritten(8200), "damaged"),
    "a page": (overwritten(12_400), "damaged"),
    "magic word": (overwritten(8, 4), "not a DuckDB file"),
    "cut in half": (lambda file: file[: len(file) // 2], "damaged"),
    "cut within the headers": (lambda file: file[:5000], "damaged"),
    "cut after the headers": (lambda file: file[:12_288], "damaged"),
    "empty": (lambda file: b"", "not a DuckDB file"),
    "zeros": (lambda file: bytes(len(file)), "not a DuckDB file"),
}


@pytest.mark.parametrize(("spoil", "told"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_refused_untouched(path, spoil, told):
    store = nbchat.open_store(path)
    nbchat.create_chat("function/x", store=store, name="c", respond=lambda request: "hi").ask("x")
    store.close()
    broken = spoil(path.read_bytes())
    path.write_bytes(broken)

    with pytest.raises(nbchat.StoreError, match=told) as caught:
        nbchat.load_chat("c", store=path).messages()

    assert isinstance(caught.value, nbchat.NotAStore) == (told != "damaged")
    store.close()
    assert path.read_bytes() == broken
    left = [place.name for place in path.parent.iterdir()]
    assert sorted(left) == ["chats.duckdb", "chats.duckdb.lock", "chats.duckdb.wait"]


def test_a_damaged_row_is_said_so_when_it_is_read(path):
    store = nbchat.open_store(path)
    chat = nbchat.create_chat("function/x", store=store, name="c", respond=lambda request: "dear")
    for _ in range(3):
        chat.ask("x")
    store.close()
    whole = path.read_bytes()
    at = whole.rindex(b"dear")
    path.write_bytes(overwritten(at, 4)(whole))

    with pytest.raises(nbchat.StoreError, match="damaged"):
        nbchat.load_chat("c", store=path).messages()

    path.write_bytes(whole)
    assert [message.content for message in chat.messages()] == ["x", "dear"] * 3
