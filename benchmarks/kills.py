"""Kills processes with -9 at random moments of all they do, and looks at the store each time.

    python benchmarks/kills.py [--kills 1000] [--seed N] [--only KIND]

After each kill the file must open, every row that was acknowledged must be there, what holds of
every store must hold, and the next turn must work. Ends with 1 if anything was lost or broken.
"""

import argparse
import gzip
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbchat
from nbchat.testing import ReplayServer

TESTS = Path(__file__).parents[1] / "tests"
sys.path.insert(0, str(TESTS / "engine"))

from crashes import (  # noqa: E402  the tests are no package
    Child,
    assert_acknowledged,
    assert_healthy,
    assert_whole,
    killed_after,
    replay,
)
from crashing_child import expected, open_chat, respond  # noqa: E402

KILLS_PER_STORE = 20
WRITERS = 3
LONGEST_S = 0.4


@dataclass
class Tally:
    """What became of the kills of one kind."""

    kills: int = 0
    acknowledged: int = 0
    failed: dict[str, int] = field(default_factory=dict)


@dataclass
class Sweep:
    """A store that is killed again and again, and what its children said they had done."""

    path: Path
    tally: Tally
    dice: random.Random
    heard: dict[str, list[Any]] = field(default_factory=dict)
    purged: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Counts it if what must hold does not."""
        try:
            yield
        except Exception:
            self.tally.failed[name] = self.tally.failed.get(name, 0) + 1
            print(f"{name} failed in {self.path}", file=sys.stderr)
            traceback.print_exc()

    def kill(self, child: Child) -> None:
        """Kill it at some moment and remember what it had said."""
        told = killed_after(child, self.dice.uniform(0, LONGEST_S))
        self.tally.kills += 1
        if not told:
            return
        chat_id = told[0]["ready"]
        turns = [item for item in told[1:] if "turn" in item]
        self.heard.setdefault(chat_id, []).extend(turns)
        self.tally.acknowledged += len(turns)
        purged = [item["purged"] for item in told[1:] if "purged" in item]
        self.purged[chat_id] = max([self.purged.get(chat_id, 0), *purged])

    def check_kept(self) -> nbchat.Store | None:
        """What was acknowledged is there; the store, if it opens."""
        with self.step("open"):
            store = nbchat.open_store(self.path)
            for chat_id, turns in self.heard.items():
                with self.step("acknowledged"):
                    assert_acknowledged(store, chat_id, turns)
                    self.check_purged(store, chat_id)
            return store
        return None

    def check(self, next_ask: Callable[[], nbchat.Chat]) -> None:
        """All that must hold after a kill, once no other process uses the store."""
        if store := self.check_kept():
            for chat_id in self.heard:
                with self.step("whole"):
                    assert_whole(store, chat_id)
            with self.step("doctor"):
                assert_healthy(store)
            with self.step("next ask"):
                chat = next_ask()
                assert chat.ask("plain").content == expected("plain")[1]
            store.close()

    def check_purged(self, store: nbchat.Store, chat_id: str) -> None:
        """What was acknowledged as removed is not there any more."""
        chat = nbchat.load_chat(chat_id, store=store)
        assert chat is not None
        for message in chat.messages():
            assert message.turn > self.purged[chat_id] or message.content == ""


def talking(mode: str, url: str = "") -> Callable[[Sweep, int], None]:
    """Kills of a process that does turn after turn."""

    def kill(sweep: Sweep, _number: int) -> None:
        rest = [url] if mode == "turns" else []
        sweep.kill(Child(mode, sweep.path, "chat", *rest))
        sweep.check(lambda: open_chat(str(sweep.path), "chat", url))

    return kill


def several(sweep: Sweep, _number: int) -> None:
    """Kills of processes that share a store, one after the other."""
    children = [Child("turns", sweep.path, f"chat {n}", "") for n in range(WRITERS)]
    for child in children:
        sweep.kill(child)
        sweep.check_kept()
    sweep.check(lambda: open_chat(str(sweep.path), "chat 0"))


def migrating(old: bytes, known: list[nbchat.Message]) -> Callable[[Sweep, int], None]:
    """Kills of a process that opens a store of an older version."""

    def kill(sweep: Sweep, number: int) -> None:
        place = sweep.path.parent / str(number) / "chats.duckdb"
        place.parent.mkdir()
        place.write_bytes(old)
        killed_after(Child("migrate", place), sweep.dice.uniform(0, LONGEST_S))
        sweep.tally.kills += 1
        with sweep.step("open"):
            chat = nbchat.load_chat("golden", store=place, respond=respond)
            assert chat is not None
            with sweep.step("acknowledged"):
                assert chat.messages() == known
            with sweep.step("doctor"):
                assert_healthy(chat.store)
            with sweep.step("next ask"):
                assert chat.ask("plain").content == expected("plain")[1]
            chat.store.close()

    return kill


def kinds(url: str, folder: Path) -> dict[str, Callable[[Sweep, int], None]]:
    """What is killed, by its name in the table."""
    old = gzip.decompress((TESTS / "store" / "golden" / "v1.duckdb.gz").read_bytes())
    (folder / "known.duckdb").write_bytes(old)
    golden = nbchat.load_chat("golden", store=folder / "known.duckdb")
    assert golden is not None
    return {
        "ask, stream, tools": talking("turns"),
        "the same over HTTP": talking("turns", url),
        f"{WRITERS} writers at once": several,
        "compact": talking("compact"),
        "purge": talking("purge"),
        "migrate": migrating(old, golden.messages()),
    }


def sweep_all(
    kills: int, seed: int, only: str | None, folder: Path, tallies: dict[str, Tally]
) -> None:
    """Kill so many, the kinds taking turns, each in a new store after some kills."""
    dice = random.Random(seed)
    with ReplayServer(*[replay] * 100_000) as server:
        acts = kinds(server.url, folder)
        chosen = [name for name in acts if only is None or name.startswith(only)]
        number = 0
        while sum(tally.kills for tally in tallies.values()) < kills:
            for name in chosen:
                number += 1
                place = folder / str(number)
                place.mkdir()
                tally = tallies.setdefault(name, Tally())
                sweep = Sweep(place / "chats.duckdb", tally, dice)
                for repeat in range(KILLS_PER_STORE // (WRITERS if acts[name] is several else 1)):
                    acts[name](sweep, repeat)


def show(tallies: dict[str, Tally], took_s: float) -> bool:
    """Print the table; whether nothing failed."""
    print(f"{'killed in':22} {'kills':>6} {'turns acknowledged':>19}  failed")
    for name, tally in tallies.items():
        failed = ", ".join(f"{step} {count}" for step, count in tally.failed.items()) or "none"
        print(f"{name:22} {tally.kills:6} {tally.acknowledged:19}  {failed}")
    kills = sum(tally.kills for tally in tallies.values())
    turns = sum(tally.acknowledged for tally in tallies.values())
    failures = sum(sum(tally.failed.values()) for tally in tallies.values())
    print(f"{'in all':22} {kills:6} {turns:19}  {failures or 'none'}   ({took_s:.0f} s)")
    return failures == 0


def main() -> None:
    """Sweep, and print what became of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.randrange(10**9))
    parser.add_argument("--only", help="one kind, by how its name begins")
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    tallies: dict[str, Tally] = {}
    began = time.monotonic()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        try:
            sweep_all(given.kills, given.seed, given.only, Path(folder), tallies)
        finally:
            whole = show(tallies, time.monotonic() - began)
    sys.exit(0 if whole else 1)


if __name__ == "__main__":
    main()
