"""A process that kills itself in the middle of a secret that streams in.

    python on_store_child.py STORE SECRET

Its progress is stored after every piece; it dies once the beginning of the answer is in the store.
"""

import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

import nbchat
from nbchat.engine import turn

FIRST = "The beginning of it. "


def answer(store: nbchat.Store, secret: str) -> Iterator[str]:
    def stored(cursor: Any) -> Any:
        return cursor.execute(
            "select max(content) from messages where role = 'assistant'"
        ).fetchall()

    yield f"{FIRST}The key is {secret} and "
    yield "so it goes on. " * 40
    yield "the other one is "
    for letter in secret[:-1]:
        yield letter
        store.read(stored)  # behind the snapshot of the letter before
    while not store.read(stored)[0][0].startswith(FIRST):
        yield secret[-2]
    os.kill(os.getpid(), signal.SIGKILL)


def main(path: str, secret: str) -> None:
    """Ask, and die."""
    turn.PROGRESS_S = -1.0
    store = nbchat.open_store(path)
    chat = nbchat.create_chat(
        "function/x", store=store, name="killed", middleware=[nbchat.redact()],
        respond=lambda request: answer(store, secret),
    )  # fmt: skip
    list(chat.ask_stream(f"My key is {secret}."))


if __name__ == "__main__":
    main(*sys.argv[1:])
