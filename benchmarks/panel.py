"""The panel's side of a long answer, beside a panel that sends everything anew.

    python benchmarks/panel.py [TOKENS] [TOKENS_PER_S]

What is printed for each: messages a second, bytes sent for each byte of text, and the process's
CPU seconds. The naive one renders the whole answer for every piece and sends it, as a panel of
ipywidgets.HTML does. Then: how long a chat of 1,000 messages takes from opening to its snapshot.
"""

import json
import queue
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbchat
from nbchat.events import TextEvent
from nbchat.render.live import LiveAnswer
from nbchat.widget.attached import Attached
from nbchat.widget.saved import SavedTranscript
from nbchat.widget.session import Session

PARAGRAPH = (
    "Some **bold** words, `code` and a [link](https://example.org) in a sentence of some length. "
    "Another one follows, which says what the numbers mean and where they are from. "
    * 3
    + "\n\n- a first point that is made in a few words\n- a second one, no longer than that\n\n"
    + "```python\nfor row in rows:\n    print(row)\n```\n\n"
    + "Then the answer goes on in plain words, as answers do, until it comes to an end. " * 4
    + "\n\n| city | pairs |\n|---|---|\n| Oslo | 3 |\n| Rome | 6 |\n\n"
)


def pieces(count: int) -> Iterator[str]:
    """Tokens of about three characters."""
    text = PARAGRAPH * (3 * count // len(PARAGRAPH) + 1)
    for at in range(count):
        yield text[3 * at : 3 * at + 3]


def paced(count: int, per_s: float) -> Iterator[str]:
    """The tokens at that pace, by the clock."""
    start_s = time.monotonic()
    for at, piece in enumerate(pieces(count)):
        time.sleep(max(0.0, start_s + at / per_s - time.monotonic()))
        yield piece


def session_over(chat: Any, send: Callable[[Any], None]) -> Session:
    """The panel's session with its page connected."""
    session = Session(
        chat, send, saved=SavedTranscript(), attached=Attached(dict), commands={},
        last_figure=lambda: None,
    )  # fmt: skip
    session.take({"op": "hello", "have": -1})
    return session


def panel(folder: Path, count: int, per_s: float) -> tuple[int, int]:
    """Messages and bytes that the panel sends for one answer."""
    told: queue.SimpleQueue[Any] = queue.SimpleQueue()
    chat = nbchat.create_chat(
        "function/x", store=folder / "panel.duckdb", respond=lambda request: paced(count, per_s)
    )
    session = session_over(chat, told.put)
    while told.get()["op"] != "snap":
        pass
    session.take({"op": "send", "rid": "1", "text": "Go on."})
    messages = sent = 0
    while True:
        message = told.get()
        messages, sent = messages + 1, sent + len(json.dumps(message))
        if message["op"] == "said":
            session.close()
            return messages, sent


def rendered(text: str) -> str:
    """The whole answer, rendered anew."""
    answer = LiveAnswer()
    answer.feed(TextEvent("x", text))
    return answer.html()


def naive(count: int, per_s: float) -> tuple[int, int]:
    """The same for a panel that sends the whole answer for every piece."""
    messages = sent = 0
    text = ""
    for piece in paced(count, per_s):
        text += piece
        messages, sent = messages + 1, sent + len(json.dumps({"value": rendered(text)}))
    return messages, sent


def opening(folder: Path) -> float:
    """Seconds from opening a panel over 1,000 messages to its snapshot."""
    chat = nbchat.create_chat(
        "function/x", store=folder / "long.duckdb", respond=lambda request: PARAGRAPH
    )
    for number in range(500):
        chat.ask(f"Question {number}")
    told: queue.SimpleQueue[Any] = queue.SimpleQueue()
    start_s = time.monotonic()
    session = session_over(nbchat.load_chat(chat.id, store=chat.store), told.put)
    while told.get()["op"] != "snap":
        pass
    session.close()
    return time.monotonic() - start_s


def report(name: str, work: Callable[[], tuple[int, int]], text_bytes: int) -> None:
    """Run it, and print what it took."""
    start_s, cpu_s = time.monotonic(), time.process_time()
    messages, sent = work()
    wall_s = time.monotonic() - start_s
    print(
        f"{name:<8} {messages / wall_s:7.1f} messages/s  {sent / text_bytes:8.1f} bytes sent for a "
        f"byte of text  {time.process_time() - cpu_s:6.1f} s CPU  {wall_s:6.1f} s in all"
    )


def main(count: int = 5_000, per_s: float = 200) -> None:
    """Both kinds in one run."""
    text_bytes = sum(map(len, pieces(count)))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        report("panel", lambda: panel(Path(folder), count, per_s), text_bytes)
        report("naive", lambda: naive(count, per_s), text_bytes)
        print(f"1,000 messages: {opening(Path(folder)):.2f} s from opening to the snapshot")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
