"""What keeping a turn costs, beside bare DuckDB doing the same two transactions in the same run.

    python benchmarks/turn.py [--turns 300] [--rows 1000000]

Each loop does one turn of each kind, so that whatever else the machine does hits all alike.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb

import nbchat
from nbchat.exchange import Usage
from nbchat.messages import Text
from nbchat.store import Store
from nbchat.store.identity import new_id
from nbchat.store.persist import WHOLE
from nbchat.store.rows import RequestRow
from nbchat.store.schema import schema_sql
from nbchat.store.turns import begin_turn, save_request, update_assistant
from nbchat.store.values import utc_now

QUESTION = "What did we sell in March, and to whom? " * 5
ANSWER = "Mostly umbrellas, to people who stood in the rain. " * 40
MODEL = "function/bench"

FILL = """
insert into "messages" ("id", "chat_id", "seq", "turn", "role", "status", "content", "parts",
  "created_at")
select uuidv7(), uuidv7(), n, n, 'user', 'complete', 'filler ' || n, '[]', now()::timestamp
from range(?) as "filler"(n)
"""


class Bare:
    """DuckDB with the same tables, one connection, nobody to share with."""

    def __init__(
        self,
        database: duckdb.DuckDBPyConnection,
        question: str = QUESTION,
        answer: str = ANSWER,
    ) -> None:
        self.database, self.question, self.answer = database, question, answer
        self.chat_id = new_id()
        self.database.execute(
            'insert into "chats" ("id", "model", "provider", "settings", "metadata", '
            "\"created_at\", \"updated_at\") values (?, ?, 'function', '{}', '{}', ?, ?)",
            [self.chat_id, MODEL, utc_now(), utc_now()],
        )
        self.turn = 0

    def keep_turn(self) -> None:
        """Question and placeholder; then answer and request."""
        self.turn += 1
        database, user, assistant, now = self.database, new_id(), new_id(), utc_now()
        database.begin()
        for seq, (id_, role, status, text) in enumerate(
            [(user, "user", "complete", self.question), (assistant, "assistant", "pending", "")]
        ):
            database.execute(
                'insert into "messages" ("id", "chat_id", "seq", "turn", "role", "status", '
                '"content", "parts", "model", "provider", "created_at") '
                "values (?, ?, ?, ?, ?, ?, ?, '[]', ?, 'function', ?)",
                [id_, self.chat_id, self.turn * 2 + seq, self.turn, role, status, text, MODEL, now],
            )
        database.execute(
            'update "chats" set "head_message_id" = ?, "updated_at" = ? where "id" = ?',
            [assistant, now, self.chat_id],
        )
        database.commit()
        database.begin()
        database.execute(
            'insert into "requests" ("id", "chat_id", "message_id", "turn", "round", "attempt", '
            '"provider", "model", "started_at", "duration_ms", "input_tokens", "output_tokens") '
            "values (?, ?, ?, ?, 1, 1, 'function', ?, ?, 5, 100, 50)",
            [new_id(), self.chat_id, assistant, self.turn, MODEL, now],
        )
        database.execute(
            """update "messages" set "status" = 'complete', "content" = ?, "parts" = ?,
            "input_tokens" = 100, "output_tokens" = 50, "finished_at" = ? where "id" = ?""",
            [self.answer, f'[{{"kind": "text", "text": "{self.answer}"}}]', now, assistant],
        )
        database.commit()


class Kept:
    """The two transactions that a turn makes of itself, through the store."""

    def __init__(self, store: Store, question: str = QUESTION, answer: str = ANSWER) -> None:
        self.store, self.question, self.answer = store, question, answer
        self.chat_id = _new_chat(store).id

    def keep_turn(self) -> None:
        """As the engine does it, without the engine."""
        begun = self.store.transact(
            lambda cursor: begin_turn(
                cursor,
                self.chat_id,
                (Text(QUESTION),),
                QUESTION,
                model=MODEL,
                provider="function",
                persist=WHOLE,
            )
        )
        message = replace(
            begun.assistant,
            status="complete",
            content=self.answer,
            parts=(Text(self.answer),),
            input_tokens=100,
            output_tokens=50,
            finished_at=begun.user.created_at,
        )
        row = RequestRow(1, 1, "function", MODEL, utc_now(), 5.0, usage=Usage(100, 50))

        def save(cursor: duckdb.DuckDBPyConnection) -> None:
            save_request(cursor, message, row, WHOLE)
            update_assistant(cursor, message, WHOLE)

        self.store.transact(save)


def _new_chat(store: Store) -> nbchat.Chat:
    return nbchat.create_chat(MODEL, store=store, respond=lambda request: [ANSWER, Usage(100, 50)])


def _took_ms(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def filled(path: Path, rows: int) -> duckdb.DuckDBPyConnection:
    """A new file with nbchat's tables and messages that belong to no chat."""
    database = duckdb.connect(str(path))
    database.execute(schema_sql())
    database.execute(FILL, [rows])
    return database


def measure(folder: Path, turns: int, rows: int, history: int) -> dict[str, list[float]]:
    """Milliseconds of every turn, by kind; a chat begins anew after `history` turns."""
    bare = Bare(filled(folder / "bare.duckdb", rows))
    store = nbchat.open_store(folder / "kept.duckdb")
    store.sql(FILL, [rows], write=True)
    kept, chat = Kept(store), _new_chat(store)
    took: dict[str, list[float]] = {"bare": [], "kept": [], "ask": []}
    for number in range(turns):
        if number % history == 0:
            kept, chat = Kept(store), _new_chat(store)
        took["bare"].append(_took_ms(bare.keep_turn))
        took["kept"].append(_took_ms(kept.keep_turn))
        took["ask"].append(_took_ms(lambda: chat.ask(QUESTION)))  # noqa: B023  asked at once
    store.close()
    bare.database.close()
    return took


def main() -> None:
    """Measure, and print medians and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=300)
    parser.add_argument("--rows", type=int, default=0, help="messages that are there before")
    parser.add_argument("--history", type=int, default=10, help="turns of a chat")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        took = measure(Path(folder), given.turns, given.rows, given.history)
    medians = {kind: statistics.median(times) for kind, times in took.items()}
    names = {
        "bare": "bare DuckDB, two commits",
        "kept": "a turn's two commits through nbchat",
        "ask": "the whole turn, chat.ask, in-process provider",
    }
    for kind, name in names.items():
        p95 = statistics.quantiles(took[kind], n=20)[-1]
        ratio = medians[kind] / medians["bare"]
        print(f"{name:46} p50 {medians[kind]:7.2f} ms   p95 {p95:7.2f} ms   {ratio:5.2f} x bare")


if __name__ == "__main__":
    main()
