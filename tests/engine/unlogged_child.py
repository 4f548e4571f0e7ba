"""A notebook's process that dies in the middle of a stream, once some of it was saved.

    python unlogged_child.py STORE CHAT

The chat logs no content; what it streams holds the word that must not be found.
"""

import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

import nbchat
from nbchat.engine import turn

CANARY = "canary7319"
SAVED = (
    """select 1 from "messages" where "role" = 'assistant' and "content_removed_at" is not null"""
)


def until_saved(store: nbchat.Store) -> None:
    """Return when the answer that streams in has been saved as it stands."""
    for _ in range(10_000):
        if store.read(lambda cursor: cursor.execute(SAVED).fetchall()):
            return
    raise AssertionError("no progress was ever saved")


def streaming_into(store: nbchat.Store) -> Iterator[Any]:
    """An answer that goes on only after its first half was saved."""
    yield f"{CANARY} one "
    yield "and two "
    until_saved(store)


def main(path: str, name: str) -> None:
    turn.PROGRESS_S = 0.0
    store = nbchat.open_store(path)

    def respond(request: Any) -> Iterator[Any]:
        yield from streaming_into(store)
        os.kill(os.getpid(), signal.SIGKILL)

    chat = nbchat.load_chat(name, store=store, respond=respond)
    assert chat is not None
    print("start", flush=True)
    for _ in chat.ask_stream(f"{CANARY}?"):
        pass


if __name__ == "__main__":
    main(*sys.argv[1:])
