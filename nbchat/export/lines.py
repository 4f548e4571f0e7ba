"""A chat as JSON lines: the chat, its current branch's messages, all tool calls and requests.

Nothing of these rows is lost, so that the lines can be read back. Characters that could drive
a terminal or be taken for the end of a line are written as JSON escapes.
"""

import re
from dataclasses import fields
from datetime import datetime
from decimal import Decimal
from typing import Any

from nbchat.export.content import Content
from nbchat.messages import JSON, Message, part_to_json
from nbchat.store.chats import ChatRow
from nbchat.store.records import Record
from nbchat.store.values import dump_json

# they stand only inside JSON's strings: outside them a line is ASCII
ODD = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def lines_of(content: Content) -> str:
    """One object per line, by kind: "chat", then each "message", "tool_call" and "request".

    Times are ISO 8601 in UTC, `cost_usd` is a string, for it is decimal.
    """
    lines = [
        _line("chat", _held(content.chat)),
        *(_line("message", _held(message)) for message in content.messages),
        *(_line("tool_call", row) for row in content.tool_calls),
        *(_line("request", row) for row in content.requests),
    ]
    return "".join(lines)


def _held(value: ChatRow | Message) -> Record:
    held = {each.name: getattr(value, each.name) for each in fields(value)}
    if isinstance(value, Message):
        held["parts"] = [part_to_json(part) for part in value.parts]
    return held


def _line(kind: str, row: Record) -> str:
    text = dump_json({"kind": kind, **{name: _plain(row[name]) for name in row}})
    return ODD.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n"


def _plain(value: Any) -> JSON:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value
