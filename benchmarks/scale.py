"""What questions cost in a large store, beside the bare SQL, SQLite and plain Python.

    python benchmarks/scale.py [--rows 100000 2000000 10000000] [--keep FOLDER] [--seconds 10]

Half as many requests as rows, so that two million rows are a million requests. Each loop asks
every way once, so that whatever else the machine does hits all alike; before a question is
timed, its answer is compared with the bare SQL's. Ten million rows take 12 GB of disk.
"""

import argparse
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
from turn import MODEL, Bare, Kept

import nbchat

HERE = Path(__file__).parent
LARGEST_COPY = 2_000_000  # messages; copies of more would fill the disk
MOST = 200
TERMS = {"rare": "copper lantern", "common": "weather report", "absent": "glacier violin"}
AD_HOC = 'select "model", count(*), sum("cost_usd") from "requests" group by "model" order by 1'
COUNT_MATCHES = """
select count(*) from "messages" where "content" {like} $first and "content" {like} $second
"""
MATCHES = 'select count(*) from "words" where "words" match $text'
ORDINARY = """
select "id"::varchar
from "chats"
where "name" <> 'long'
order by "created_at"
limit 1 offset (select count(*) // 2 from "chats")
"""
OPEN = {
    "nbchat": "import nbchat; work = lambda: nbchat.open_store({path!r}); nbchat.open_store",
    "bare DuckDB": "import duckdb; work = lambda: duckdb.connect({path!r}).execute("
    "'select count(*) from chats').fetchall()",
}
TIMED = "; import time; began = time.perf_counter(); work(); print(time.perf_counter() - began)"

Way = Callable[[], float]
Rows = list[tuple[Any, ...]]


def took_ms(work: Callable[[], object]) -> float:
    """Milliseconds that the work takes."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def again(work: Callable[[], object]) -> Way:
    """The work's second run in a row: what it needs is at hand."""

    def second_ms() -> float:
        work()
        return took_ms(work)

    return second_ms


def take_turns(ways: Mapping[str, Way], seconds: float) -> dict[str, list[float]]:
    """Milliseconds of every way, each once in a loop; at least three loops."""
    took: dict[str, list[float]] = {name: [] for name in ways}
    until = time.monotonic() + seconds
    for loop in range(MOST):
        if loop >= 3 and time.monotonic() > until:
            break
        for name, way in ways.items():
            took[name].append(way())
    return took


def show(what: str, took: Mapping[str, list[float]]) -> None:
    """Print a line per way: medians, p99, and how much of each peer's time nbchat takes."""
    nbchat_ms = statistics.median(took["nbchat"])
    for name, times in took.items():
        p99 = sorted(times)[min(len(times) - 1, round(len(times) * 0.99))]
        ratio = nbchat_ms / statistics.median(times)
        told = "" if name == "nbchat" else f"{ratio:8.2f}x" + (
            f"  {1 / ratio:6.1f}x faster" if ratio < 0.5 else ""
        )  # fmt: skip
        print(
            f"{what:34} {name:24} p50 {statistics.median(times):10.2f} ms   "
            f"p99 {p99:10.2f} ms   n {len(times):3} {told}",
            flush=True,
        )


def make(path: Path, rows: int) -> None:
    """A new store with that many messages."""
    nbchat.open_store(path).close()
    with duckdb.connect(str(path)) as database:
        database.execute("set memory_limit = '6GB'")
        database.execute(f"set variable turns = {rows // 2}")
        for statement in database.extract_statements((HERE / "fill.sql").read_text("utf-8")):
            database.execute(statement)


def bare_sql(name: str) -> str:
    """The question as somebody would write it who knows the tables."""
    return (HERE / "bare" / f"{name}.sql").read_text("utf-8")


@dataclass(frozen=True)
class Place:
    """The same rows, in several hands; `rows` are the requests as Python has them."""

    path: Path
    store: nbchat.Store
    bare: duckdb.DuckDBPyConnection
    sqlite: sqlite3.Connection | None
    rows: Rows
    chat_id: str

    def attached(self, sql: str, params: Any = None) -> None:
        """Attach the file to an instance that is there already, ask, and detach it."""
        database = self.bare.cursor()
        database.execute(f"attach '{self.path}.attached' as other (read_only)")
        database.execute("use other")
        database.execute(sql, params).df()
        database.execute("use memory")
        database.execute("detach other")


def link(path: Path, name: str) -> str:
    """Another name of the file: one process may not open it twice under the same."""
    other = f"{path}.{name}"
    Path(other).unlink(missing_ok=True)
    os.link(path, other)
    return other


def copy_to_sqlite(bare: duckdb.DuckDBPyConnection, path: Path) -> sqlite3.Connection:
    """The columns that the questions need, indexed by chat; messages without parts."""
    path.unlink(missing_ok=True)
    copy = sqlite3.connect(path)
    copy.execute("pragma synchronous = off")
    columns = {
        "messages": "id chat_id turn role model content created_at",
        "requests": "id chat_id turn model status_code started_at duration_ms input_tokens "
        "output_tokens cached_input_tokens cache_write_tokens thinking_tokens cost_usd error_type",
        "tool_calls": "id chat_id turn name status started_at duration_ms",
    }
    casts = {"id": "varchar", "chat_id": "varchar", "created_at": "varchar"} | {
        "started_at": "varchar", "cost_usd": "double",
    }  # fmt: skip
    for table, listed in columns.items():
        names = listed.split()
        selected = ", ".join(f'"{n}"::{casts[n]}' if n in casts else f'"{n}"' for n in names)
        copy.execute(f'create table "{table}" ({", ".join(names)}, primary key ("id"))')
        source = bare.execute(f'select {selected} from "{table}"')
        while rows := source.fetchmany(10_000):
            copy.executemany(f'insert into "{table}" values ({", ".join("?" * len(names))})', rows)
        copy.execute(f'create index "{table}_chat" on "{table}" ("chat_id", "turn")')
    copy.execute("analyze")
    copy.commit()
    print(f"SQLite's index of words: {took_ms(lambda: index_words(copy)) / 1000:.1f} s", flush=True)
    return copy


def index_words(copy: sqlite3.Connection) -> None:
    """SQLite's full-text index, which takes its time to make and to keep."""
    copy.execute('create virtual table "words" using fts5(content, content = "messages")')
    copy.execute('insert into "words" ("words") values (\'rebuild\')')
    copy.commit()


def requests_as_rows(bare: duckdb.DuckDBPyConnection) -> Rows:
    """What the sum needs of every request, as tuples of Python's own values."""
    return bare.execute(
        """
        select "input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens",
          "thinking_tokens", "cost_usd"::double, "duration_ms", "error_type", "status_code"
        from "requests"
        """
    ).fetchall()


def sum_in_python(rows: Rows) -> tuple[list[float], int, bool]:
    """The sums, the failed and whether all have a price, of rows that are in memory already."""
    sums = [0.0] * 7
    failed, complete = 0, True
    for row in rows:
        for at in range(7):
            if row[at] is not None:
                sums[at] += row[at]
        failed += row[7] not in (None, "Stopped")
        complete &= row[5] is not None or not 200 <= (row[8] or 0) < 300
    return sums, failed, complete


def check_same(frame: Any, bare: duckdb.DuckDBPyConnection) -> None:
    """Stop unless the frame says what the bare SQL's rows, last executed, say."""
    rows, names = bare.fetchall(), [column[0] for column in bare.description or ()]
    assert len(frame) == len(rows), (len(frame), len(rows))
    for name, values in zip(names, zip(*rows, strict=True), strict=True):
        for ours, theirs in zip(frame[name], values, strict=True):
            assert is_same(ours, theirs), (name, ours, theirs)


def is_same(ours: Any, theirs: Any) -> bool:
    """Whether a frame's value is a row's: numbers but for rounding, times by their day."""
    if theirs is None:
        return str(ours) in ("<NA>", "NaT", "nan")
    if isinstance(theirs, int | float | Decimal):
        return abs(float(ours) - float(theirs)) <= 1e-6 * max(1.0, abs(float(theirs)))
    if isinstance(theirs, str):
        return str(ours) == theirs
    return str(ours)[:10] == str(theirs)[:10]


def ask_all(place: Place, seconds: float) -> None:
    """Every question whose answer is a frame."""
    store, chat = place.store, nbchat.load_chat(place.chat_id, store=place.store)
    assert chat is not None
    ask(place, seconds, "chat.stats()", chat.stats, "stats_of_chat")
    ask(place, seconds, "stats()", lambda: nbchat.stats(store=store), "stats")
    for by in ("model", "day", "tool"):
        ask(
            place,
            seconds,
            f"stats({by!r})",
            partial(nbchat.stats, by, store=store),
            f"stats_by_{by}",
        )
    ask(place, seconds, "list_chats()", lambda: nbchat.list_chats(store=store), "chats")


def ask(place: Place, seconds: float, what: str, work: Callable[[], Any], name: str) -> None:
    """One question, warm and after a pause, beside its bare SQL."""
    sql, bare, sqlite = bare_sql(name), place.bare, place.sqlite
    params = {"chat_id": place.chat_id} if "$chat_id" in sql else None
    check_same(work(), bare.execute(sql, params))
    ways = {
        "nbchat": again(work),
        "bare DuckDB, frame": again(lambda: bare.execute(sql, params).df()),
        "bare DuckDB, tuples": again(lambda: bare.execute(sql, params).fetchall()),
    }
    if sqlite and "SQLite" in sql:
        ways["SQLite"] = lambda: took_ms(lambda: sqlite.execute(sql, params or {}).fetchall())
    if place.rows and name == "stats":
        ways["Python"] = lambda: took_ms(lambda: sum_in_python(place.rows))
    show(what, take_turns(ways, seconds))
    show(f"{what}, after a pause", take_turns(after_a_pause(place, work, sql, params), seconds / 2))


def after_a_pause(
    place: Place, work: Callable[[], object], sql: str, params: Any = None
) -> dict[str, Way]:
    """The same with the file detached before, as it is a quarter of a second after the last use."""

    def from_the_start() -> float:
        place.store.close()
        return took_ms(work)

    return {
        "nbchat": from_the_start,
        "bare DuckDB, attached": lambda: took_ms(lambda: place.attached(sql, params)),
    }


def load(place: Place, seconds: float) -> None:
    """A chat of 1,000 messages, spread over the whole log."""

    def messages() -> None:
        chat = nbchat.load_chat("long", store=place.store)
        assert chat is not None
        assert len(chat.messages()) == 1000

    [(long,)] = place.bare.execute("""select "id" from "chats" where "name" = 'long'""").fetchall()
    sql, params = bare_sql("messages"), {"chat_id": long}
    ways = {
        "nbchat": again(messages),
        "bare DuckDB": again(lambda: place.bare.execute(sql, params).fetchall()),
    }
    show("load_chat().messages(), 1,000", take_turns(ways, seconds))
    show(
        "load ..., after a pause", take_turns(after_a_pause(place, messages, sql, params), seconds)
    )


def find(place: Place, seconds: float, how: str, text: str) -> None:
    """Search for two words, beside counting the messages that have both."""
    bare, sqlite = place.bare, place.sqlite
    params = dict(zip(("first", "second"), (f"%{word}%" for word in text.split()), strict=True))
    ilike, like = (COUNT_MATCHES.format(like=word) for word in ("ilike", "like"))
    ways: dict[str, Way] = {
        "nbchat": again(lambda: nbchat.search(text, store=place.store)),
        "bare DuckDB, ILIKE": again(lambda: bare.execute(ilike, params).fetchall()),
    }
    if sqlite:
        ways["SQLite, LIKE"] = lambda: took_ms(lambda: sqlite.execute(like, params).fetchall())
        match = {"text": text}
        ways["SQLite, FTS5"] = lambda: took_ms(lambda: sqlite.execute(MATCHES, match).fetchall())
    show(f"search, {how}", take_turns(ways, seconds))


def ad_hoc(place: Place, seconds: float) -> None:
    """SQL of one's own: nbchat takes a DuckDB of its own, locked down, for each question."""
    ways = {
        "nbchat": again(lambda: nbchat.sql(AD_HOC, store=place.store)),
        "bare DuckDB, frame": again(lambda: place.bare.execute(AD_HOC).df()),
        "bare DuckDB, attached": again(lambda: place.attached(AD_HOC)),
    }
    show("nbchat.sql()", take_turns(ways, seconds))


def open_fresh(path: Path) -> None:
    """Open the file in a new process; imports are not counted."""

    def seconds_of(statement: str) -> float:
        code = statement.format(path=str(path)) + TIMED
        env = {**os.environ, "PYTHONPATH": str(HERE.parent)}
        done = subprocess.run(
            [sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True
        )
        return float(done.stdout) * 1000

    ways = {name: lambda s=statement: seconds_of(s) for name, statement in OPEN.items()}
    show("open_store, fresh process", take_turns(ways, 10))


def keep_turns(place: Place) -> None:
    """A turn's two commits, in blocks that take turns on the same file."""
    took: dict[str, list[float]] = {"nbchat": [], "bare DuckDB": []}
    for _ in range(8):
        kept = Kept(place.store)
        took["nbchat"] += [took_ms(kept.keep_turn) for _ in range(14)][2:]
        place.store.close()
        with duckdb.connect(str(place.path)) as database:
            bare = Bare(database)
            took["bare DuckDB"] += [took_ms(bare.keep_turn) for _ in range(14)][2:]
            for table in ("messages", "requests", "chats"):  # as it was, for another run
                database.execute(f'delete from "{table}" where "model" = ?', [MODEL])
    show("a turn's two commits", took)


def tend(place: Place, rows: int) -> None:
    """What is done now and then."""
    store, copy = place.store, Path(f"{place.path}.copy")
    show("doctor()", {"nbchat": [took_ms(store.doctor)]})
    show("purge(dry_run=True)", {"nbchat": [took_ms(lambda: store.purge("90d", dry_run=True))]})
    if rows > LARGEST_COPY:
        return

    def copy_by_hand() -> None:
        store.close()
        copy.unlink(missing_ok=True)
        with duckdb.connect() as database:
            database.execute(f"attach '{place.path}' as store (read_only)")
            database.execute(f"attach '{copy}' as fresh")
            database.execute("copy from database store to fresh")

    took = {"nbchat": [took_ms(store.compact)], "bare DuckDB, copy": [took_ms(copy_by_hand)]}
    show("compact()", took)
    copy.unlink()


def measure(folder: Path, rows: int, seconds: float) -> None:
    """All of it, in a store with that many messages."""
    path = folder / f"scale-{rows}.duckdb"
    if not path.exists():
        print(f"{rows:,} messages: filled in {took_ms(lambda: make(path, rows)) / 1000:.0f} s")
    print(f"{rows:,} messages, {path.stat().st_size / 1e6:,.0f} MB", flush=True)
    open_fresh(path)
    store = nbchat.open_store(path)
    link(path, "attached")
    with duckdb.connect() as bare:
        bare.execute(f"attach '{link(path, 'bare')}' as bare (read_only)")
        bare.execute("use bare")
        small = rows <= LARGEST_COPY
        sqlite = copy_to_sqlite(bare, folder / f"scale-{rows}.sqlite") if small else None
        [(chat_id,)] = bare.execute(ORDINARY).fetchall()
        bare_rows = requests_as_rows(bare) if small else []
        place = Place(path, store, bare, sqlite, bare_rows, chat_id)
        ask_all(place, seconds)
        load(place, seconds)
        for how, text in TERMS.items():
            find(place, seconds, how, text)
        ad_hoc(place, seconds)
    keep_turns(place)
    tend(place, rows)
    store.close()


def main() -> None:
    """Measure every size, and print medians and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 2_000_000, 10_000_000])
    parser.add_argument("--keep", type=Path, help="folder for the stores, to be used again")
    parser.add_argument("--seconds", type=float, default=10, help="for each question")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for rows in given.rows:
            measure(given.keep or Path(folder), rows, given.seconds)


if __name__ == "__main__":
    main()
