"""What importing costs in a fresh process, beside Python itself and the libraries underneath.

    python benchmarks/imports.py [--runs 15]

Processes take turns, so that whatever else the machine does hits all alike.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
STATEMENTS = {
    "python": "pass",
    "import nbchat": "import nbchat",
    "nbchat.Chat": "import nbchat; nbchat.Chat",
    "import duckdb": "import duckdb",
    "import httpx": "import httpx",
    "import pydantic": "import pydantic; pydantic.BaseModel",
    "import pandas": "import pandas",
}


def took_ms(statement: str) -> float:
    """Milliseconds of a whole process that runs one statement."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], env=env, check=True)
    return (time.perf_counter() - began) * 1000


def main() -> None:
    """Measure, and print medians, what each adds to bare Python, and its share of pandas'."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=15)
    given = parser.parse_args()
    for statement in STATEMENTS.values():
        took_ms(statement)  # fills the file cache and writes bytecode
    took: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    for _ in range(given.runs):
        for name, statement in STATEMENTS.items():
            took[name].append(took_ms(statement))
    medians = {name: statistics.median(times) for name, times in took.items()}
    bare = medians["python"]
    pandas = medians["import pandas"] - bare
    for name, median in medians.items():
        added = median - bare
        print(
            f"{name:16} p50 {median:7.1f} ms   adds {added:7.1f} ms   "
            f"{median / bare:5.2f} x python   {added / pandas:5.2f} x pandas"
        )


if __name__ == "__main__":
    main()
