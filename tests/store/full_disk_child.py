"""A process whose disk fills up: what it then does to a store, told as one line of JSON.

    python full_disk_child.py KIND ACT STORE

KIND is `disk` (the store's folder is a small file system of its own, filled by a file) or
`limit` (no file may grow beyond a size, which needs no rights and no file system).
"""

import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import nbchat

SMALL, BIG = "fine", 150_000


class Disk:
    """The room that is left for the store at `path`."""

    def __init__(self, kind: str, path: Path) -> None:
        self.kind, self.path = kind, path
        self.filler = path.parent / "filler"

    def leave(self, size: int) -> None:
        """So many bytes can still be written."""
        if self.kind == "disk":
            space = os.statvfs(self.path.parent)
            self.filler.write_bytes(bytes(max(0, space.f_bavail * space.f_frsize - size)))
            return
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        log = Path(f"{self.path}.wal")
        largest = log.stat().st_size if log.exists() else 0
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest + size, resource.RLIM_INFINITY))

    def free(self) -> None:
        if self.kind == "disk":
            self.filler.unlink()
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)


def tried(act: Callable[[], Any]) -> dict[str, Any]:
    """What came of it: nothing, or an error of ours in words."""
    try:
        act()
    except nbchat.StoreError as error:
        unsaved = error.unsaved and len(error.unsaved.content)
        return {"error": type(error).__name__, "text": str(error), "unsaved": unsaved}
    return {"error": None}


def contents(chat: nbchat.Chat) -> list[int]:
    """How long each message of the chat is."""
    return [len(message.content) for message in chat.messages()]


def listed(path: Path) -> list[str]:
    return sorted(place.name for place in path.parent.iterdir() if place.name != "filler")


def respond(request: Any) -> str:
    """Text that compresses badly, as long as the question says."""
    wanted = request.messages[-1].content
    return os.urandom(BIG // 2).hex() if wanted == "big" else SMALL


def talked(path: Path) -> nbchat.Chat:
    chat = nbchat.create_chat("function/x", store=path, name="c", respond=respond)
    for _ in range(3):
        chat.ask("a question")
    return chat


def turn(disk: Disk) -> dict[str, Any]:
    """Full while a turn's answer is stored, three times; then there is room."""
    chat = talked(disk.path)
    for _ in range(2):
        chat.ask("big")
    disk.leave(BIG // 3)
    ends = [tried(lambda: chat.ask("big")) for _ in range(3)]
    before = contents(chat)
    spooled = Path(f"{disk.path}.spool").exists()
    disk.free()
    chat.ask("go on")
    seqs = [message.seq for message in chat.messages()]
    return {
        "ends": ends, "before": before, "spooled": spooled, "after": contents(chat), "seqs": seqs,
    }  # fmt: skip


def checkpoint(disk: Disk) -> dict[str, Any]:
    """Room for the log, but not for the checkpoints that commits bring about."""
    store = nbchat.open_store(disk.path)
    run = partial(store.sql, write=True)
    run("create table own (id integer, text varchar)")
    run(
        "insert into own select -n, md5(n::varchar) || md5((7 * n)::varchar) "
        "from range(1, 40000) as r(n)"
    )
    store.close()

    def insert(number: int) -> dict[str, Any]:
        values = [number, os.urandom(BIG // 2).hex()]
        return tried(lambda: run("insert into own values (?, ?)", values))

    def there() -> list[int]:
        return store.sql("select id from own where id >= 0 order by id")["id"].tolist()

    run("set wal_autocheckpoint = '250KB'")
    disk.leave(5 * BIG if disk.kind == "disk" else disk.path.stat().st_size)
    ends = [insert(number) for number in range(4)]
    before = there()
    disk.free()
    ends.append(insert(4))
    return {"ends": ends, "before": before, "after": there()}


def invalid(disk: Disk) -> dict[str, Any]:
    """Room for the log, but not for the checkpoint that DuckDB makes in place of a log entry."""
    chat = talked(disk.path)
    for _ in range(3):
        chat.ask("big")
    chat.store.close()
    chat.store.transact(lambda cursor: cursor.execute("set wal_autocheckpoint = '200KB'"))
    disk.leave(3 * BIG if disk.kind == "disk" else disk.path.stat().st_size)
    ends = [tried(lambda: chat.ask("a question")) for _ in range(2)]
    before = contents(chat)
    disk.free()
    chat.ask("go on")
    return {"ends": ends, "before": before, "after": contents(chat)}


def create(disk: Disk) -> dict[str, Any]:
    """No room for a new store."""
    disk.leave(0)
    ends = [tried(lambda: nbchat.open_store(disk.path))]
    left = listed(disk.path)
    disk.free()
    return {"ends": ends, "left": left, "after": contents(talked(disk.path))}


def migrate(disk: Disk) -> dict[str, Any]:
    """An old store that is opened: no room for its backup, then none for the change itself."""
    old = disk.path.read_bytes()
    size = len(old)
    ends, kept = [], []
    for room in (size // 2, size + 20_000):
        disk.leave(room)
        ends.append(tried(lambda: nbchat.open_store(disk.path)))
        kept.append([disk.path.read_bytes() == old, listed(disk.path)])
        disk.free()
    return {"ends": ends, "kept": kept, "after": len(nbchat.list_chats(store=disk.path))}


def compact(disk: Disk) -> dict[str, Any]:
    """No room for the fresh file."""
    chat = talked(disk.path)
    for _ in range(4):
        chat.ask("big")
    chat.store.close()
    before = disk.path.read_bytes()
    disk.leave(BIG)
    ends = [tried(chat.store.compact)]
    same, left = disk.path.read_bytes() == before, listed(disk.path)
    disk.free()
    chat.store.compact()
    return {"ends": ends, "same": same, "left": left, "after": contents(chat)}


ACTS = {act.__name__: act for act in (turn, checkpoint, invalid, create, migrate, compact)}

if __name__ == "__main__":
    kind, act, place = sys.argv[1:]
    print(json.dumps(ACTS[act](Disk(kind, Path(place)))))
