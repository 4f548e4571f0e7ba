"""Many processes on one store: what each waits, what all get done, and that no row is lost.

    python benchmarks/sharing.py [--seconds 120] [--processes 8] [--part mixed|writers|notebooks]

Three parts: everything at once, with kills and clocks that jump; writers as fast as they can; and
notebooks at a turn a second each. The last two are also done by bare DuckDB, which opens the file
for each commit and tries again while it is locked. Ends with 1 if nbchat lost or doubled a row.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import duckdb

import nbchat

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "store"))

from sharing import (
    WRITERS,
    Worker,
    lost_and_doubled,
    share,
)

MIXED = ("write", "write", "write_by_a_bad_clock", "read", "question", "write", "write", "read")
NOTEBOOKS = 4
KILL_EVERY_S = 3.0


def waits(workers: Sequence[Worker]) -> list[float]:
    """Milliseconds of every transaction, shortest first."""
    return sorted(ms for worker in workers for item in worker.done() for ms in item.get("ms", ()))


def turns_ms(workers: Sequence[Worker]) -> list[float]:
    """Milliseconds of all transactions of each turn, shortest first."""
    return sorted(sum(item["ms"]) for worker in workers for item in worker.done() if "id" in item)


def part_of(numbers: Sequence[float], share_: float) -> float:
    return numbers[min(len(numbers) - 1, int(len(numbers) * share_))] if numbers else 0.0


def show(title: str, workers: Sequence[Worker], path: Path, seconds: float) -> bool:
    """Print a row for each role and what became of the rows; whether all is there once."""
    print(f"\n{title}")
    head = ("role", "processes", "kills", "transactions", "p50 ms", "p99 ms", "max ms", "unfair")
    print("{:22}{:>10}{:>7}{:>14}{:>9}{:>9}{:>9}{:>8}".format(*head))
    for role in dict.fromkeys(worker.role for worker in workers):
        same = [worker for worker in workers if worker.role == role]
        took = waits(same)
        counts = [len(waits([worker])) for worker in same]
        print(
            f"{role:22}{len(same):10}{sum(worker.kills for worker in same):7}{len(took):14}"
            f"{part_of(took, 0.5):9.1f}{part_of(took, 0.99):9.1f}{max(took, default=0):9.1f}"
            f"{max(counts) / max(1, min(counts)):8.2f}"
        )
    writers = [worker for worker in workers if worker.role in WRITERS]
    turns = turns_ms(writers)
    lost, doubled = lost_and_doubled(path, workers)
    errors = sum("error" in item for worker in workers for item in worker.done())
    failed = [worker.name for worker in workers if any(worker.exit_codes)]
    print(
        f"in all {len(waits(writers)) / seconds:.0f} commits/s; a turn's commits p50 "
        f"{part_of(turns, 0.5):.0f} ms, p99 {part_of(turns, 0.99):.0f} ms; answers acknowledged "
        f"{len(turns)}, LOST {lost}, DOUBLED {doubled}; errors {errors}, failed {failed or 'none'}"
    )
    for worker in workers:
        if worker.errors():
            print(f"{worker.name}: {worker.errors()[-2000:]}", file=sys.stderr)
    return not (lost or doubled or failed)


def run(
    title: str, roles: Sequence[str], seconds: float, pause_s: float = 0, *, kills: bool = False
) -> bool:
    """One part in a new folder; whether nothing was lost, or it was only the peer."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chats.duckdb"
        if "bare" in roles:
            with duckdb.connect(str(path)) as database:
                database.execute("create table turns (id varchar, said varchar, status varchar)")
        else:
            nbchat.open_store(path).close()
        workers = share(
            path,
            roles,
            seconds=seconds,
            pause_s=pause_s,
            kill_every_s=KILL_EVERY_S if kills else None,
        )
        whole = show(title, workers, path, seconds)
    return whole or "bare" in roles


def main() -> None:
    """Run the parts and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=120, help="of each run")
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--part", choices=("mixed", "writers", "notebooks"))
    given = parser.parse_args()
    count, seconds = given.processes, given.seconds
    mixed = [MIXED[n % len(MIXED)] for n in range(count)]
    parts = {
        "mixed": [("everything at once, with kills", mixed, 0.0, True)],
        "writers": [
            (f"{count} writers as fast as they can", ["write"] * count, 0.0, False),
            (f"{count} writers, bare DuckDB", ["bare"] * count, 0.0, False),
        ],
        "notebooks": [
            (f"{NOTEBOOKS} notebooks, a turn a second", ["write"] * NOTEBOOKS, 1.0, False),
            (f"{NOTEBOOKS} notebooks, bare DuckDB", ["bare"] * NOTEBOOKS, 1.0, False),
        ],
    }
    whole = True
    for name, runs in parts.items():
        for title, roles, pause_s, kills in runs if given.part in (None, name) else ():
            whole &= run(title, roles, seconds, pause_s, kills=kills)
    sys.exit(0 if whole else 1)


if __name__ == "__main__":
    main()
