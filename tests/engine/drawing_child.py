"""A notebook's process whose tool draws, killed at one of its writes.

    python drawing_child.py STORE N WHEN

It dies before, inside or after the Nth transaction of its turn.
"""

import io
import sys
from typing import Any

from crashing_child import kill_at
from PIL import Image as Picture

import nbchat
from nbchat.messages import ToolCall


def draw() -> list[Any]:
    """Draw twice."""
    pictures = []
    for colour in ("red", "blue"):
        held = io.BytesIO()
        Picture.new("RGB", (3, 2), colour).save(held, format="PNG")
        pictures.append(held.getvalue())
    return pictures


def respond(request: Any) -> Any:
    """Draw first, then say so; a question brings an answer."""
    return [ToolCall("draw"), ToolCall("draw")] if len(request.messages) == 1 else "drawn"


def main(path: str, number: str, when: str) -> None:
    store = nbchat.open_store(path)
    chat = nbchat.create_chat("function/x", store=store, name="chat", respond=respond, tools=[draw])
    kill_at(store, int(number), when)
    chat.ask("draw")


if __name__ == "__main__":
    main(*sys.argv[1:])
