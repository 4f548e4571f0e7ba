"""Many processes on one store for a while, some of them killed: what they did, what is there."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

import nbchat

CHILD = Path(__file__).with_name("sharing_child.py")
WRITERS = ("write", "write_by_a_bad_clock", "bare")


@dataclass
class Worker:
    """One process after the other in the same role, under the same name."""

    role: str
    name: str
    place: Path
    process: "subprocess.Popen[bytes] | None" = None
    kills: int = 0
    exit_codes: list[int] = field(default_factory=list)

    def start(self, path: Path, seconds: float, pause_s: float) -> None:
        root = str(Path(nbchat.__file__).parents[1])
        arguments = [self.role, path, self.name, seconds, pause_s]
        errors = self.place / f"{self.name}.err"
        with (self.place / self.name).open("ab") as out, errors.open("ab") as err:
            self.process = subprocess.Popen(
                [sys.executable, str(CHILD), *map(str, arguments)],
                stdout=out,
                stderr=err,
                env={**os.environ, "PYTHONPATH": root},
            )

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        if self.process.wait() == -signal.SIGKILL:
            self.kills += 1

    def end(self) -> None:
        assert self.process is not None
        self.exit_codes.append(self.process.wait())

    def done(self) -> list[Any]:
        """What it said it did; a line that was not written whole was not said."""
        said = []
        for line in (self.place / self.name).read_bytes().splitlines(keepends=True):
            try:
                said.append(json.loads(line))
            except ValueError:
                continue  # cut by a kill
        return said

    def errors(self) -> str:
        return (self.place / f"{self.name}.err").read_text(encoding="utf-8")


def share(
    path: Path,
    roles: Sequence[str],
    *,
    seconds: float,
    pause_s: float = 0,
    kill_every_s: float | None = None,
) -> list[Worker]:
    """The workers after their time, the store at `path` as they left it."""
    place = path.parent / "said"
    place.mkdir()
    workers = [Worker(role, f"{role} {n}", place) for n, role in enumerate(roles)]
    ends = time.monotonic() + seconds
    for worker in workers:
        worker.start(path, seconds, pause_s)
    while kill_every_s is not None and time.monotonic() + kill_every_s < ends:
        time.sleep(kill_every_s)  # the moments of the kills are what is tried
        victim = random.choice(workers)
        victim.kill()
        victim.start(path, ends - time.monotonic(), pause_s)
    for worker in workers:
        worker.end()
    return workers


def answers_of(workers: Sequence[Worker]) -> dict[str, str]:
    """What was acknowledged as stored: the answers by their ids."""
    return {
        item["id"]: item["said"]
        for worker in workers
        if worker.role in WRITERS
        for item in worker.done()
        if "id" in item
    }


def lost_and_doubled(path: Path, workers: Sequence[Worker]) -> tuple[int, int]:
    """How many acknowledged answers are not there, and how many rows are there twice."""
    if "bare" in {worker.role for worker in workers}:
        with duckdb.connect(str(path)) as database:
            rows = database.execute("select id, said from turns where status = 'complete'")
            found = rows.fetchall()
    else:
        store = nbchat.open_store(path)
        frame = store.sql(
            "select id, content from messages where role = 'assistant' and status = 'complete'"
        )
        found = list(frame.itertuples(index=False, name=None))
        store.close()
    there = {str(id_): said for id_, said in found}
    lost = sum(there.get(id_) != said for id_, said in answers_of(workers).items())
    return lost, len(found) - len({said for _, said in found})
