"""One of many notebooks on a store: does its part until its time is over, and says what it did.

    python sharing_child.py ROLE STORE NAME SECONDS PAUSE_S

Every line it says is one thing done, as JSON: `ms` is how long each transaction took with all
its waiting, and `id` and `said` are of an answer that is stored.
"""

import json
import os
import random
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import duckdb

import nbchat
from nbchat.store import values
from nbchat.store.file import StoreFile

TURNS_PER_CHAT = 20
JUMPS_S = (-3 * 86_400, -3600, -1, 0, 1, 3600, 86_400)
SLOW = "select count(*) from range(20_000_000) as r(n) where hash(n) % 7 = 3"


def say(what: Any) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


@contextmanager
def timed() -> Iterator[list[float]]:
    """The milliseconds of every transaction within."""
    transact = StoreFile.transact
    took: list[float] = []

    def measured(file: StoreFile, *args: Any, **options: Any) -> Any:
        began = time.perf_counter()
        try:
            return transact(file, *args, **options)
        finally:
            took.append((time.perf_counter() - began) * 1000)

    StoreFile.transact = measured  # type: ignore[method-assign]  # this process is the test
    try:
        yield took
    finally:
        StoreFile.transact = transact  # type: ignore[method-assign]


def write(path: str, name: str) -> Iterator[Any]:
    """Turn after turn, in one chat after the other."""
    while True:
        chat = nbchat.create_chat(
            "function/x", store=path, name=name, respond=lambda r: r.messages[-1].content
        )
        for _ in range(TURNS_PER_CHAT):
            with timed() as took:
                message = chat.ask(f"{name} {uuid.uuid4()}")
            yield {"id": message.id, "said": message.content, "ms": took}


def write_by_a_bad_clock(path: str, name: str) -> Iterator[Any]:
    """As `write`, while the wall clock jumps by days before every turn."""
    now, now_ns = time.time, time.time_ns
    jump = 0

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.fromtimestamp(now() + jump, tz or UTC)

    values.datetime = Clock  # type: ignore[misc]  # its C twin cannot be changed
    time.time = lambda: now() + jump
    time.time_ns = lambda: now_ns() + jump * 10**9
    for done in write(path, name):
        jump = random.choice(JUMPS_S)
        yield done


def read(path: str, name: str) -> Iterator[Any]:
    """Questions as a notebook asks them; every chat that is found must load."""
    store = nbchat.open_store(path)
    while True:
        with timed() as took:
            chats = nbchat.list_chats(store=store)
            whole = nbchat.stats(store=store)
            for id_ in chats["id"].tolist()[:3]:
                chat = nbchat.load_chat(id_, store=store)
                assert chat is not None
                order = [message.seq for message in chat.messages()]
                assert order == sorted(set(order))
        yield {"ms": took, "turns": int(whole["turns"].iloc[0])}


def question(path: str, name: str) -> Iterator[Any]:
    """SQL that takes long and holds the file."""
    store = nbchat.open_store(path)
    while True:
        began = time.perf_counter()
        nbchat.sql(SLOW, store=store)
        yield {"ms": [(time.perf_counter() - began) * 1000]}


def bare(path: str, name: str) -> Iterator[Any]:
    """The peer: DuckDB alone, opened for each of a turn's two commits, again while it is locked."""
    while True:
        id_, said, took = str(uuid.uuid4()), f"{name} {uuid.uuid4()}", []
        for sql in (
            "insert into turns values ($id, $said, 'pending')",
            "update turns set said = $said, status = 'complete' where id = $id",
        ):
            began = time.perf_counter()
            retried(lambda: commit(path, sql, {"id": id_, "said": said}))  # noqa: B023  at once
            took.append((time.perf_counter() - began) * 1000)
        yield {"id": id_, "said": said, "ms": took}


def commit(path: str, sql: str, params: dict[str, str]) -> None:
    with duckdb.connect(path) as database:
        database.execute(sql, params)


def retried(act: Callable[[], None]) -> None:
    """As users do it: wait a little and try again."""
    pause_s = 0.001
    while True:
        try:
            return act()
        except duckdb.IOException as error:
            if "Could not set lock" not in str(error):
                say({"error": str(error).splitlines()[0]})
        time.sleep(random.uniform(0, pause_s))
        pause_s = min(pause_s * 2, 0.05)


ROLES = {role.__name__: role for role in (write, write_by_a_bad_clock, read, question, bare)}


def main(role: str, path: str, name: str, seconds: str, pause_s: str) -> None:
    """Do as the role says until the time is over."""
    deadline = time.monotonic() + float(seconds)
    for done in ROLES[role](path, name):
        say(done)
        time.sleep(float(pause_s))
        if time.monotonic() > deadline:
            break


if __name__ == "__main__":
    main(*sys.argv[1:])
