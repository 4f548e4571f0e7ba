"""A chat as JSON lines: first the chat, then every message with all that is stored of it.

Nothing is lost, so that the lines can be read back. Characters that could drive a terminal
or be taken for the end of a line are written as JSON escapes.
"""

import re
from dataclasses import fields
from datetime import datetime
from decimal import Decimal
from typing import Any

from nbchat.export.content import Content
from nbchat.messages import JSON, Message, part_to_json
from nbchat.store.chats import ChatRow
from nbchat.store.values import dump_json

# they stand only inside JSON's strings: outside them a line is ASCII
ODD = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def lines_of(content: Content) -> str:
    """One object per line: kind "chat", then kind "message" for each, first to last.

    Times are ISO 8601 in UTC, `cost_usd` is a string, for it is decimal.
    """
    messages = (_line("message", message) for message in content.messages)
    return _line("chat", content.chat) + "".join(messages)


def _line(kind: str, value: ChatRow | Message) -> str:
    held = {each.name: _plain(each.name, getattr(value, each.name)) for each in fields(value)}
    text = dump_json({"kind": kind, **held})
    return ODD.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n"


def _plain(name: str, value: Any) -> JSON:
    if name == "parts":
        return [part_to_json(part) for part in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value
