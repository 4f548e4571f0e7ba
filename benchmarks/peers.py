"""What keeping a turn and loading a chat cost here and in other packages that keep chats.

    python benchmarks/peers.py [--conversations 20]

A turn is a user's and an assistant's text of 2 KB each, and the usage where the package keeps
it. Only what stores is timed, not what builds a package's own objects. Each loop keeps one turn
in every package, so that whatever else the machine does hits all alike. A package that is not
installed is left out; give them a virtualenv of their own:

    pip install llm==0.36 openai-agents==0.24.0 langgraph==1.2.22
      langgraph-checkpoint-sqlite==3.1.2 agno==3.1.10 sqlalchemy greenlet
"""

import argparse
import asyncio
import random
import re
import sqlite3
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import duckdb
from turn import Bare, Kept

import nbchat
from nbchat.exchange import Usage
from nbchat.store.schema import schema_sql

SHORT, LONG = 50, 500  # turns of a conversation
WORDS = [
    "".join(random.Random(n).choices("abcdefghiklmnoprstuvw", k=2 + n % 9)) for n in range(5000)
]
SQLITE = """
pragma journal_mode = wal;
pragma synchronous = full;
create table messages (id integer primary key, chat text, seq integer, role text, status text,
  content text, created_at real);
create table requests (id integer primary key, chat text, message integer, model text,
  duration_ms real, input_tokens integer, output_tokens integer);
create index messages_chat on messages (chat, seq);
"""


class Peer(Protocol):
    """A package that keeps chats in a file of its own."""

    def begin(self) -> None:
        """Start a conversation, with all before it in the file and nothing in a log."""

    def next_turn(self, question: str, answer: str) -> Callable[[], object]:
        """What stores this turn; building it is not timed."""

    def load(self) -> int:
        """Load the conversation; how many messages it has."""


class Nbchat:
    """A turn's two commits through the store, and the Messages of the chat."""

    def __init__(self, folder: Path) -> None:
        self.store = nbchat.open_store(folder / "nbchat.duckdb")

    def begin(self) -> None:
        self.store.close()
        self.kept = Kept(self.store)

    def next_turn(self, question: str, answer: str) -> Callable[[], object]:
        self.kept.question, self.kept.answer = question, answer
        return self.kept.keep_turn

    def load(self) -> int:
        chat = nbchat.load_chat(self.kept.chat_id, store=self.store)
        assert chat is not None
        return len(chat.messages())


class NbchatAsk:
    """The whole turn: chat.ask, with a provider that answers at once."""

    def __init__(self, folder: Path) -> None:
        self.store = nbchat.open_store(folder / "nbchat-ask.duckdb")

    def begin(self) -> None:
        self.store.close()
        self.chat = nbchat.create_chat(
            "function/bench",
            store=self.store,
            respond=lambda request: [self.answer, Usage(100, 50)],
        )

    def next_turn(self, question: str, answer: str) -> Callable[[], object]:
        self.answer = answer
        return lambda: self.chat.ask(question)

    def load(self) -> int:
        return len(self.chat.messages())


class RawDuckDB:
    """One connection, nbchat's tables, two commits; messages as tuples."""

    def __init__(self, folder: Path) -> None:
        self.database = duckdb.connect(str(folder / "raw.duckdb"))
        self.database.execute(schema_sql())

    def begin(self) -> None:
        self.database.execute("checkpoint")
        self.bare = Bare(self.database)

    def next_turn(self, question: str, answer: str) -> Callable[[], object]:
        self.bare.question, self.bare.answer = question, answer
        return self.bare.keep_turn

    def load(self) -> int:
        rows = self.database.execute(
            'select * from "messages" where "chat_id" = ? order by "seq"', [self.bare.chat_id]
        )
        return len(rows.fetchall())


class RawSQLite:
    """One connection, write-ahead log, full sync, two commits; messages as tuples."""

    def __init__(self, folder: Path) -> None:
        self.database = sqlite3.connect(folder / "raw.sqlite")
        self.database.executescript(SQLITE)

    def begin(self) -> None:
        self.chat, self.seq = str(uuid.uuid4()), 0

    def next_turn(self, question: str, answer: str) -> Callable[[], object]:
        def keep() -> None:
            add = "insert into messages (chat, seq, role, status, content, created_at) "
            now, database = time.time(), self.database
            with database:
                for role, status, text in (("user", "complete", question), ("assistant", "", "")):
                    self.seq += 1
                    row = database.execute(
                        f"{add} values (?, ?, ?, ?, ?, ?)",
                        (self.chat, self.seq, role, status, text, now),
                    )
            with database:
                database.execute(
                    "update messages set content = ?, status = 'complete' where id = ?",
                    (answer, row.lastrowid),
                )
                database.execute(
                    "insert into requests (chat, message, model, duration_ms, input_tokens, "
                    "output_tokens) values (?, ?, 'bench', 5, 100, 50)",
                    (self.chat, row.lastrowid),
                )

        return keep

    def load(self) -> int:
        rows = self.database.execute(
            "select * from messages where chat = ? order by seq", [self.chat]
        )
        return len(rows.fetchall())


class Llm:
    """llm: response.log_to_db, one transaction after the answer."""

    def __init__(self, folder: Path) -> None:
        import llm
        import sqlite_utils

        peer = self

        class Scripted(llm.Model):  # type: ignore[misc]  # llm may be missing
            model_id = "bench"

            def execute(self, prompt: Any, stream: Any, response: Any, conversation: Any) -> Any:
                response.set_usage(input=100, output=50)
                yield peer.answer

        self.database = sqlite_utils.Database(folder / "llm.sqlite")
        self.model = Scripted()

    def begin(self) -> None:
        self.conversation = self.model.conversation()

    def next_turn(self, question: str, answer: str) -> Callable[[], object]:
        self.answer = answer
        response = self.conversation.prompt(question)
        response.text()
        return lambda: response.log_to_db(self.database)

    def load(self) -> int:
        from llm.logs import LogStore

        thread = self.database["threads"].get(self.conversation.id)
        return len(LogStore(self.database).load_chain(thread["tip_message_hash"]))


class OpenAIAgents:
    """openai-agents: SQLiteSession.add_items, question and answer apart; it keeps no usage."""

    def __init__(self, folder: Path) -> None:
        import agents

        self.open: Callable[..., Any] = agents.SQLiteSession
        self.path = folder / "agents.sqlite"
        self.loop = asyncio.new_event_loop()

    def begin(self) -> None:
        self.session = self.open(str(uuid.uuid4()), self.path)

    def next_turn(self, question: str, answer: str) -> Callable[[], object]:
        async def keep() -> None:
            await self.session.add_items([{"role": "user", "content": question}])
            await self.session.add_items([{"role": "assistant", "content": answer}])

        return lambda: self.loop.run_until_complete(keep())

    def load(self) -> int:
        return len(self.loop.run_until_complete(self.session.get_items()))


class LangGraph:
    """langgraph: a graph of one node over SqliteSaver, durability "sync"."""

    def __init__(self, folder: Path) -> None:
        from langchain_core.messages import AIMessage, HumanMessage
        from langgraph.checkpoint.sqlite import SqliteSaver
        from langgraph.graph import START, MessagesState, StateGraph

        def answer(state: Any) -> Any:
            usage = {"input_tokens": 100, "output_tokens": 50, "total_tokens": 150}
            return {"messages": [AIMessage(self.answer, usage_metadata=usage)]}

        graph = StateGraph(MessagesState)
        graph.add_node("answer", answer)
        graph.add_edge(START, "answer")
        connection = sqlite3.connect(folder / "langgraph.sqlite", check_same_thread=False)
        self.graph = graph.compile(checkpointer=SqliteSaver(connection))
        self.human = HumanMessage

    def begin(self) -> None:
        self.config = {"configurable": {"thread_id": str(uuid.uuid4())}}

    def next_turn(self, question: str, answer: str) -> Callable[[], object]:
        self.answer = answer
        given = {"messages": [self.human(question)]}
        return lambda: self.graph.invoke(given, self.config, durability="sync")

    def load(self) -> int:
        return len(self.graph.get_state(self.config).values["messages"])


class Agno:
    """agno: the session's row and the run's, as Agent.run stores them at its end."""

    def __init__(self, folder: Path) -> None:
        from agno.db.sqlite import SqliteDb

        self.database = SqliteDb(db_file=str(folder / "agno.sqlite"))

    def begin(self) -> None:
        from agno.session.agent import AgentSession

        self.session = AgentSession(
            session_id=str(uuid.uuid4()), agent_id="bench", session_data={}, runs=[]
        )

    def next_turn(self, question: str, answer: str) -> Callable[[], object]:
        from agno.metrics import MessageMetrics, RunMetrics
        from agno.models.message import Message
        from agno.run.agent import RunInput, RunOutput, RunStatus

        spent = {"input_tokens": 100, "output_tokens": 50, "total_tokens": 150}
        run = RunOutput(
            run_id=str(uuid.uuid4()),
            agent_id="bench",
            session_id=self.session.session_id,
            input=RunInput(input_content=question),
            content=answer,
            model="bench",
            messages=[
                Message(role="user", content=question),
                Message(role="assistant", content=answer, metrics=MessageMetrics(**spent)),
            ],
            metrics=RunMetrics(**spent, duration=0.5),
            status=RunStatus.completed,
        )

        def keep() -> None:
            self.session.upsert_run(run=run)
            self.database.upsert_session(self.session)
            at = len(self.session.runs or []) - 1
            self.database.upsert_run(run, self.session.session_id, run_index=at)

        return keep

    def load(self) -> int:
        from agno.db.base import SessionType

        session: Any = self.database.get_session(self.session.session_id, SessionType.AGENT)
        return sum(len(run.messages) for run in session.runs)


PEERS: dict[str, Callable[[Path], Peer]] = {
    "nbchat, two commits": Nbchat,
    "nbchat, chat.ask": NbchatAsk,
    "raw DuckDB, two commits": RawDuckDB,
    "raw SQLite, two commits": RawSQLite,
    "llm": Llm,
    "openai-agents SQLiteSession": OpenAIAgents,
    "langgraph SqliteSaver": LangGraph,
    "agno SqliteDb": Agno,
}


def installed(folder: Path) -> dict[str, Peer]:
    """The packages that are here, each with a folder of its own."""
    peers = {}
    for name, make in PEERS.items():
        place_of(folder, name).mkdir()
        try:
            peers[name] = make(place_of(folder, name))
        except ImportError as error:
            print(f"{name}: left out, because {error.name} is not installed")
    return peers


def place_of(folder: Path, name: str) -> Path:
    """The folder of one of the packages."""
    return folder / re.sub(r"\W+", "-", name)


def took_ms(work: Callable[[], object]) -> float:
    """Milliseconds that the work takes."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def text(chance: random.Random) -> str:
    """2 KB that look like words."""
    return " ".join(chance.choices(WORDS, k=400))[:2048]


def converse(peers: dict[str, Peer], turns: int) -> dict[str, list[float]]:
    """Milliseconds of every turn of the conversation that has begun, in every package."""
    chance = random.Random(turns)
    took: dict[str, list[float]] = {name: [] for name in peers}
    for _ in range(turns):
        question, answer = text(chance), text(chance)
        for name, peer in peers.items():
            took[name].append(took_ms(peer.next_turn(question, answer)))
    return took


def begin_all(peers: dict[str, Peer], folder: Path) -> dict[str, float]:
    """Start a conversation in each; the megabytes that what was before takes on disk."""
    for peer in peers.values():
        peer.begin()
    for file in folder.rglob("*.sqlite"):
        with closing(sqlite3.connect(file)) as database:
            database.execute("pragma wal_checkpoint(truncate)")
    return {
        name: sum(file.stat().st_size for file in place_of(folder, name).iterdir()) / 1e6
        for name in peers
    }


def main() -> None:
    """Keep turns, load them, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--conversations", type=int, default=20, help=f"of {SHORT} turns each")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as named:
        folder = Path(named)
        peers = installed(folder)
        short: dict[str, list[float]] = {name: [] for name in peers}
        for _ in range(given.conversations):
            begin_all(peers, folder)
            for name, times in converse(peers, SHORT).items():
                short[name] += times
        sizes = begin_all(peers, folder)
        long = converse(peers, LONG)
        loads: dict[str, list[float]] = {name: [] for name in peers}
        for _ in range(20):
            for name, peer in peers.items():
                loads[name].append(took_ms(peer.load))
                assert peer.load() == LONG * 2, name
        long_sizes = begin_all(peers, folder)
    print(
        f"milliseconds, p50; MB after {given.conversations * SHORT} turns, then after {LONG} more"
    )
    for name in peers:
        p99 = statistics.quantiles(short[name], n=100)[-1]
        print(
            f"{name:28} a turn {statistics.median(short[name]):6.2f} (p99 {p99:7.2f})   "
            f"turn {LONG - SHORT + 1}-{LONG} {statistics.median(long[name][-SHORT:]):6.2f}   "
            f"load {LONG * 2} messages {statistics.median(loads[name]):6.2f}   "
            f"{sizes[name]:7.1f} MB  {long_sizes[name]:7.1f} MB"
        )


if __name__ == "__main__":
    main()
