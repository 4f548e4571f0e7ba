"""Another process that takes part in an approval.

    python approving_child.py ask STORE CHAT             asks, says the id of the call that waits,
                                                         and then how the turn ended
    python approving_child.py decide STORE CHAT ID WORD  approves, denies, or says always
    python approving_child.py resume STORE CHAT          has the turn go on, and says its content

Every time that the tool runs it adds a line to STORE.ran.
"""

import json
import os
import sys
from typing import Any

import nbchat
from nbchat.messages import ToolCall


def say(what: Any) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


def respond(request: Any) -> Any:
    asked = request.messages[-1].role == "user"
    return [ToolCall("cancel", {"order": 1}, "c1")] if asked else "done"


def open_chat(path: str, chat_id: str) -> nbchat.Chat:
    """The chat, with a tool that needs approval."""

    @nbchat.tool(policy="confirm")
    def cancel(order: int) -> str:
        """Cancel an order."""
        with open(f"{path}.ran", "a", encoding="utf-8") as ran:
            ran.write(f"{order}\n")
        return f"cancelled {order}"

    chat = nbchat.load_chat(chat_id, store=path, respond=respond, tools=[cancel])
    assert chat is not None
    return chat


def ask(chat: nbchat.Chat) -> None:
    for event in chat.ask_stream("hello", confirm="wait"):
        if event.kind == "approval":
            say(event.call_id)
        if event.kind == "done":
            say([event.message.status, event.message.content])


if __name__ == "__main__":
    mode, path, chat_id, *rest = sys.argv[1:]
    chat = open_chat(path, chat_id)
    if mode == "ask":
        ask(chat)
    elif mode == "resume":
        say(chat.resume().content)
    elif rest[1] == "deny":
        chat.deny(rest[0])
    else:
        chat.approve(rest[0], always=rest[1] == "always")
