"""A notebook's process, made to be killed: it asks turn after turn and says which have ended.

    python crashing_child.py turns STORE CHAT URL      until somebody kills it
    python crashing_child.py step STORE CHAT N WHEN    until its Nth transaction

What each turn is asked and answers follows from its number, so that the parent knows it too.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import nbchat
from nbchat.exchange import Request
from nbchat.messages import Thinking, ToolCall

KINDS = ("plain", "stream", "tools", "stream tools", "failure", "stream failure")
CHUNKS = [f"word{number} " for number in range(20)]
WHENS = ("before", "inside", "after")


def expected(kind: str) -> tuple[str, str, int, int]:
    """Status and content of a turn's last message, its requests and its tool calls."""
    text = "".join(CHUNKS)
    if "failure" in kind:
        return "failed", kind, 2, 2
    if "tools" in kind:
        return "complete", f"let me see {text}", 2, 2
    return "complete", text, 1, 0


def respond(request: Request) -> Any:
    """Plays the kind of turn that the last question names."""
    kind = next(m for m in reversed(request.messages) if m.role == "user").content
    last = request.messages[-1]
    if last.role == "user" and kind.split()[-1] in ("tools", "failure"):
        calls = [ToolCall("double", {"number": n}, f"c{n}") for n in (1, 2)]
        return [Thinking("hm", "sig"), "let me see ", *calls]
    return chunks(kind)


def chunks(kind: str) -> Iterator[Any]:
    yield from CHUNKS
    if "failure" in kind:
        yield nbchat.BadRequest("The provider answered 400: no", status=400)


def double(number: int) -> int:
    """Double a number."""
    return 2 * number


def run_turn(chat: nbchat.Chat, kind: str) -> None:
    try:
        if kind.startswith("stream"):
            for _ in chat.ask_stream(kind):
                pass
        else:
            chat.ask(kind)
    except nbchat.BadRequest:
        pass


def open_chat(path: str, name: str, url: str = "") -> nbchat.Chat:
    chat = nbchat.load_chat(name, store=path, respond=None if url else respond, tools=[double])
    if chat is None:
        model = "openai/x" if url else "function/x"
        options: dict[str, Any] = {"base_url": url} if url else {"respond": respond}
        chat = nbchat.create_chat(model, store=path, name=name, tools=[double], **options)
    return chat


def run_turns(chat: nbchat.Chat) -> None:
    asked = len({message.turn for message in chat.messages()})
    say({"ready": chat.id})
    while True:
        kind = KINDS[asked % len(KINDS)]
        run_turn(chat, kind)
        last = chat.messages()[-1]
        asked += 1
        say({"kind": kind, "turn": last.turn, "id": last.id})


def say(what: Any) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


def kill_at(store: nbchat.Store, number: int, when: str) -> None:
    """Have this process killed before, inside or after its Nth transaction from now."""
    transact = store.transact
    done = 0

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def counted(work: Callable[[Any], Any]) -> Any:
        nonlocal done
        done += 1
        if done != number:
            return transact(work)
        if when == "before":
            die()

        def inside(cursor: Any) -> None:
            work(cursor)
            if when == "inside":
                die()

        transact(inside)
        die()

    store.transact = counted  # type: ignore[method-assign]  # this process is the test


if __name__ == "__main__":
    mode, path, name, *rest = sys.argv[1:]
    if mode == "turns":
        run_turns(open_chat(path, name, rest[0]))
    else:
        chat = open_chat(path, name)
        kill_at(chat.store, int(rest[0]), rest[1])
        say("start")
        run_turn(chat, rest[2])
        say("survived")
