"""Full, read-only and vanished disks: typed errors, and what was acknowledged stays.

The unhappy disks are real: a small tmpfs, where this process may mount one, else limits.
"""

import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import nbchat

CHILD = Path(__file__).with_name("full_disk_child.py")
OLD = Path(__file__).with_name("golden") / "v1.duckdb.gz"
BIG, SMALL, ASKED = 150_000, 4, 10

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits and permissions")


@pytest.fixture
def disk(tmp_path):
    """A folder that is a file system of its own, small, and remounted as it is told."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=40m,mode=0777", "tmpfs", str(place)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"nothing can be mounted here: {error}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture(params=["limit", "disk"])
def on_full_disk(request, tmp_path):
    """Runs an act of the child on a disk that fills up; what it told."""
    kind = request.param
    place = request.getfixturevalue("disk") if kind == "disk" else tmp_path

    def run(act, file=None):
        path = place / "chats.duckdb"
        if file is not None:
            path.write_bytes(file)
        command = [sys.executable, str(CHILD), kind, act, str(path)]
        root = str(Path(nbchat.__file__).parents[1])
        done = subprocess.run(
            command, env={**os.environ, "PYTHONPATH": root}, capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, "")
        return {"kind": kind, **json.loads(done.stdout)}

    return run


def assert_no_room(*ends):
    for end in ends:
        assert end["error"] == "StoreError"
        assert "no room" in end["text"]


def test_a_turn_on_a_full_disk_fails_and_its_answer_is_not_lost(on_full_disk):
    told = on_full_disk("turn")

    assert_no_room(*told["ends"])
    assert told["ends"][0]["unsaved"] == BIG
    known = [ASKED, SMALL] * 3 + [3, BIG] * 2
    assert told["before"][: len(known)] == known
    assert told["seqs"] == list(range(1, len(told["after"]) + 1))
    if told["kind"] == "limit":  # which leaves room for other files: the spool
        assert [end["unsaved"] for end in told["ends"]] == [BIG] * 3
        assert "is kept in" in told["ends"][0]["text"]
        assert told["spooled"]
        assert told["after"] == [*known, *[3, BIG] * 3, 5, SMALL]
    else:
        assert "in this error's .unsaved only" in told["ends"][0]["text"]
        assert not told["spooled"]
        assert told["after"][-2:] == [5, SMALL]


def test_a_checkpoint_on_a_full_disk_takes_nothing_back(on_full_disk):
    told = on_full_disk("checkpoint")

    kept = [number for number, end in enumerate(told["ends"]) if end["error"] is None]
    assert_no_room(*(end for end in told["ends"] if end["error"] is not None))
    assert told["after"] == kept
    assert told["before"] == kept[:-1]
    assert kept[:3] == [0, 1, 2]  # the third brought the checkpoint about


def test_a_store_whose_checkpoint_failed_goes_on_in_the_same_process(on_full_disk):
    told = on_full_disk("invalid")

    assert_no_room(told["ends"][0])
    known = [ASKED, SMALL] * 3 + [3, BIG] * 3
    later = [] if told["ends"][1]["error"] else [ASKED, SMALL]
    assert told["before"] == known + later
    assert told["after"] == [*known, *later, 5, SMALL]


def test_a_store_that_there_is_no_room_for_is_not_half_made(on_full_disk):
    told = on_full_disk("create")

    assert_no_room(*told["ends"])
    assert told["left"] == ["chats.duckdb.lock", "chats.duckdb.wait"]
    assert told["after"] == [ASKED, SMALL] * 3


def test_a_migration_that_there_is_no_room_for_leaves_the_store_as_it_was(on_full_disk):
    told = on_full_disk("migrate", gzip.decompress(OLD.read_bytes()))

    assert "no backup" in told["ends"][0]["text"]
    assert told["kept"][0] == [True, ["chats.duckdb", "chats.duckdb.lock", "chats.duckdb.wait"]]
    if told["kind"] == "disk":  # the backup had room, the change itself had none
        assert_no_room(told["ends"][1])
        same, left = told["kept"][1]
        assert same
        assert set(left) - {"chats.duckdb.wal"} == set(told["kept"][0][1])
    assert told["after"] == 1


def test_a_store_that_there_is_no_room_to_compact_is_as_it_was(on_full_disk):
    told = on_full_disk("compact")

    assert_no_room(*told["ends"])
    assert told["same"]
    assert told["left"] == ["chats.duckdb", "chats.duckdb.lock", "chats.duckdb.wait"]
    assert told["after"] == [ASKED, SMALL] * 3 + [3, BIG] * 4


@pytest.mark.parametrize("written", [0, 4096, 8192])
def test_a_store_whose_making_was_killed_is_made_anew(path, written):
    nbchat.open_store(path).close()
    half = path.read_bytes()[:written]
    path.unlink()
    folder = path.with_name("chats.duckdb.new")
    folder.mkdir()
    (folder / "store.duckdb").write_bytes(half)

    chat = nbchat.create_chat("function/x", store=path, respond=lambda request: "hi")

    assert chat.ask("hello").content == "hi"
    assert not folder.exists()


def talked(path, respond=lambda request: "hi"):
    chat = nbchat.create_chat("function/x", store=path, respond=respond)
    chat.ask("hello")
    return chat


def said(chat):
    return [message.content for message in chat.messages()]


def test_a_file_system_that_became_read_only_is_said_so(disk):
    chat = talked(disk / "chats.duckdb")
    chat.store.close()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)

    for act in (lambda: chat.ask("more"), chat.messages, chat.stats, chat.store.compact):
        with pytest.raises(nbchat.StoreError, match="file system that cannot be written"):
            act()
    with pytest.raises(nbchat.StoreError, match="file system that cannot be written"):
        nbchat.open_store(disk / "new.duckdb")

    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    chat.ask("again")
    assert said(chat) == ["hello", "hi", "again", "hi"]


AS_A_STRANGER = """
    import asyncio, os, sys, nbchat, nbchat.chat, nbchat.engine.running
    path, act = sys.argv[1:]

    def answered(request):
        if act == "later":
            os.chmod(os.path.dirname(path), 0o555)
        return "hi"

    # loads all that a stranger may not read
    nbchat.create_chat("function/x", store=":memory:", respond=lambda request: "hi").ask("x")
    if os.getuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    try:
        chat = nbchat.create_chat("function/x", store=path, respond=answered)
        chat.ask("hello")
        chat.store.close()
        chat.ask("more")
    except nbchat.StoreError as error:
        print(error, flush=True)
    if act == "later":
        os.chmod(os.path.dirname(path), 0o755)
        print([message.content for message in chat.messages()])
        chat.store.close()
"""


@pytest.fixture
def theirs():
    """A folder that belongs to nobody, where nobody may look; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory(prefix="theirs-") as folder:
        yield Path(folder)
        Path(folder).chmod(0o755)


def give_away(place):
    if os.getuid() == 0:
        for path in (place, *place.iterdir()):
            os.chown(path, 65534, 65534)


def test_a_read_only_file_is_said_so(theirs, start):
    path = theirs / "chats.duckdb"
    nbchat.open_store(path).close()
    give_away(theirs)
    path.chmod(0o444)
    before = path.read_bytes()

    out, err = start(AS_A_STRANGER, path, "now").communicate(timeout=60)

    assert err == ""
    assert out.startswith(f"The file {str(path)!r} cannot be written.")
    assert path.read_bytes() == before


def test_a_read_only_folder_of_a_store_is_said_so(theirs, start):
    path = theirs / "chats.duckdb"
    nbchat.open_store(path).close()
    give_away(theirs)
    theirs.chmod(0o555)

    out, err = start(AS_A_STRANGER, path, "now").communicate(timeout=60)

    assert err == ""
    assert out.startswith(f"The folder of {str(path)!r} cannot be written.")


def test_a_folder_that_becomes_read_only_costs_no_turn(theirs, start):
    path = theirs / "chats.duckdb"
    nbchat.open_store(path).close()
    give_away(theirs)

    out, err = start(AS_A_STRANGER, path, "later").communicate(timeout=60)

    assert err == ""
    *errors, told = out.splitlines()
    assert all("cannot be written" in error for error in errors)
    assert told.startswith("['hello', 'hi'")


def delete(folder):
    while folder.exists():  # the lease may end meanwhile, and take a file away first
        shutil.rmtree(folder, ignore_errors=True)


def test_a_folder_deleted_in_the_middle_of_a_turn_is_said_so(tmp_path):
    place = tmp_path / "project"
    place.mkdir()

    def respond(request):
        delete(place)
        return "dear"

    chat = nbchat.create_chat("function/x", store=place / "chats.duckdb", respond=respond)

    with pytest.raises(nbchat.StoreError, match=r"folder of .* does not exist. Create") as caught:
        chat.ask("hello")

    assert caught.value.unsaved.content == "dear"
    assert not place.exists()
    with pytest.raises(nbchat.StoreError, match="does not exist"):
        chat.messages()
    place.mkdir()
    assert said(talked(place / "chats.duckdb")) == ["hello", "hi"]


def test_a_deleted_folder_is_not_made_again_by_the_end_of_the_lease(tmp_path):
    place = tmp_path / "project"
    place.mkdir()
    chat = talked(place / "chats.duckdb")
    delete(place)

    file = chat.store._file
    file._keeper.join(timeout=20)

    assert not file._keeper.is_alive()
    assert not place.exists()


def test_a_file_deleted_in_the_middle_of_a_turn_is_said_so(path):
    def respond(request):
        path.unlink()
        return "dear"

    chat = nbchat.create_chat("function/x", store=path, respond=respond)

    with pytest.raises(nbchat.StoreError, match="is kept in") as caught:
        chat.ask("hello")

    assert caught.value.unsaved.content == "dear"
    assert said(talked(path)) == ["hello", "hi"]


# looks at every mode in a folder, again and again, until it is told to stop
LOOK = """
    import os, select, sys
    place, seen = sys.argv[1], set()
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        for entry in os.scandir(place):
            try:
                if os.stat(entry.path).st_mode & 0o077:
                    seen.add(entry.name)
            except OSError:
                pass
    print(sorted(seen))
"""


def test_nothing_of_a_store_can_be_read_by_others_at_any_moment(tmp_path, start):
    place = tmp_path / "watched"
    place.mkdir()
    watcher = start(LOOK, place)
    assert watcher.stdout.readline() == "ready\n"
    before = os.umask(0o022)
    try:
        for number in range(2):
            use_everything(place / f"{number}.duckdb")
    finally:
        os.umask(before)

    out, err = watcher.communicate("stop\n", timeout=60)

    assert err == ""
    assert out == "[]\n"


def use_everything(path):
    """Every way in which a store comes to write a file."""
    old = os.open(path.with_suffix(".old.duckdb"), os.O_WRONLY | os.O_CREAT, 0o600)
    with open(old, "wb") as file:
        file.write(gzip.decompress(OLD.read_bytes()))
    nbchat.open_store(path.with_suffix(".old.duckdb")).close()
    chat = talked(path)
    for _ in chat.ask_stream("more"):
        pass
    chat.store.close()
    chat.store.sql("create table mine (n integer)", write=True)
    chat.store.keep(chat.messages()[-1], [])
    assert said(chat) == ["hello", "hi", "more", "hi"]
    chat.store.compact()
    chat.store.close()
