"""A notebook's process, made to be killed: it asks turn after turn and says which have ended.

    python crashing_child.py turns STORE CHAT URL      until somebody kills it
    python crashing_child.py step STORE CHAT N WHEN    until its Nth transaction
    python crashing_child.py loop STORE CHAT N WHEN WAY URL
                                                       until its Nth transaction of a turn with
                                                       two rounds of tools, or of going on with it
    python crashing_child.py take STORE CHAT QUESTIONS asks them all while others ask, too
    python crashing_child.py migrate STORE             opens an old store
    python crashing_child.py compact STORE CHAT        asks and compacts until somebody kills it
    python crashing_child.py purge STORE CHAT          asks and purges until somebody kills it
    python crashing_child.py trap TRAP N ACT STORE     migrates or compacts once, until its Nth
                                                       line of code (TRAP is line) or access to
                                                       the store's folder (TRAP is file)

What each turn is asked and answers follows from its number, so that the parent knows it too.
"""

import json
import math
import os
import signal
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from two_rounds import QUESTION, open_looping

import nbchat
from nbchat.engine import turn
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


def run_turns(chat: nbchat.Chat, tell: Callable[[Any], None]) -> None:
    asked = len({message.turn for message in chat.messages()})
    say({"ready": chat.id})
    while True:
        kind = KINDS[asked % len(KINDS)]
        run_turn(chat, kind)
        last = chat.messages()[-1]
        asked += 1
        tell({"kind": kind, "turn": last.turn, "id": last.id})


def say(what: Any) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


def kill_at(store: nbchat.Store, number: int, when: str) -> None:
    """Have this process killed before, inside or after its Nth transaction from now.

    An answer that takes long on a busy machine must not add one that keeps its progress.
    """
    turn.PROGRESS_S = math.inf
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


def loop(chat: nbchat.Chat, way: str) -> None:
    """Ask or resume, streamed or not."""
    asked = () if "resume" in way else (QUESTION,)
    given = getattr(chat, way)(*asked)
    if "stream" in way:
        for _ in given:
            pass


def take(chat: nbchat.Chat, questions: str) -> None:
    for question in questions.split(","):
        chat.ask(question)


def migrate(path: str) -> None:
    say("ready")
    nbchat.open_store(path).close()
    say("migrated")


def compact(path: str) -> None:
    nbchat.open_store(path).compact()


def run_compacts(chat: nbchat.Chat) -> None:
    """Turn after turn, each followed by compacting."""

    def compacted(turn: dict[str, Any]) -> None:
        say(turn)
        chat.store.compact()

    run_turns(chat, compacted)


def run_purges(chat: nbchat.Chat) -> None:
    """Turn after turn; every third time what was said in all of them is removed."""

    def purged(turn: dict[str, Any]) -> None:
        say(turn)
        if turn["turn"] % 3 == 0:
            chat.store.purge(timedelta(0), content_only=True)
            say({"purged": turn["turn"]})

    run_turns(chat, purged)


class Trap:
    """Kills this process at its Nth step, and says how many there were if it comes that far."""

    def __init__(self, number: int, path: str) -> None:
        self.left, self.path, self.count = number, path, 0

    def step(self) -> None:
        self.count += 1
        if self.count == self.left:
            os.kill(os.getpid(), signal.SIGKILL)

    def set(self, kind: str) -> None:
        if kind == "file":
            sys.addaudithook(self.on_event)
        else:
            sys.settrace(self.on_line)

    def on_event(self, event: str, args: tuple[Any, ...]) -> None:
        """Python's own file operations, each just before it happens."""
        if event == "open" or event.startswith("os."):
            place = args[0] if args and isinstance(args[0], str | os.PathLike) else ""
            if str(place).startswith(self.path) and not str(place).endswith((".wait", ".lock")):
                self.step()

    def on_line(self, frame: Any, event: str, arg: Any) -> Any:
        """Lines of the modules that migrate and compact, between which DuckDB works."""
        if Path(frame.f_code.co_filename).name not in ("migrate.py", "compact.py", "file.py"):
            return None
        if event == "line":
            self.step()
        return self.on_line


def trapped(kind: str, number: int, act: str, path: str) -> None:
    trap = Trap(number, path)
    trap.set(kind)
    {"migrate": migrate, "compact": compact}[act](path)
    sys.settrace(None)
    say({"steps": trap.count})


def main(mode: str, *rest: str) -> None:
    """Do as the arguments say."""
    if mode == "turns":
        run_turns(open_chat(*rest), say)
    elif mode == "migrate":
        migrate(*rest)
    elif mode == "compact":
        run_compacts(open_chat(*rest))
    elif mode == "purge":
        run_purges(open_chat(*rest))
    elif mode == "loop":
        path, name, number, when, way, url = rest
        looping = open_looping(path, name, url)
        kill_at(looping.store, int(number), when)
        say("start")
        loop(looping, way)
        say("survived")
    elif mode == "take":
        take(open_looping(*rest[:2]), rest[2])
        say("taken")
    elif mode == "trap":
        trapped(rest[0], int(rest[1]), *rest[2:])
    else:
        path, name, number, when, kind = rest
        chat = open_chat(path, name)
        kill_at(chat.store, int(number), when)
        say("start")
        run_turn(chat, kind)
        say("survived")


if __name__ == "__main__":
    main(*sys.argv[1:])
