"""Redaction that knows the shape of what it redacts: JSON values and messages.

Invariant: what nothing matches in comes back as the same object, and a message's content and
thinking stay the text of their parts if they were.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import count
from typing import Any

from nbchat.messages import JSON, Message, Part, Text, Thinking, ToolCall, ToolResult

Redact = Callable[[str], str]

LONGEST_LABELLED = 200


def redacted_json(value: JSON, redact: Redact) -> JSON:
    """The value with every string in it redacted, keys too; numbers stay.

    A short string is read with its key before it as well, so that `{"dob": "1985-03-12"}`
    is found. Keys that become the same are numbered. What is not JSON is returned as it is.
    """
    if isinstance(value, str):
        return redact(value)
    # one frame a level: what was deep enough to be parsed is not too deep to be redacted
    if isinstance(value, list):
        items = value
        for place, item in enumerate(value):
            new = redacted_json(item, redact)
            if new is not item and new != item:
                items = [*value] if items is value else items
                items[place] = new
        return items
    if isinstance(value, Mapping):
        fields: dict[Any, JSON] = {}
        for key, item in value.items():
            new = redacted_json(item, redact)
            if isinstance(item, str) and isinstance(key, str):
                new = _read_with(key, new, redact)
            fields[_redacted_key(key, redact, fields)] = new
        return fields if fields != value else value
    return value


def _read_with(label: str, text: str, redact: Redact) -> str:
    """The text redacted as what stands behind that label."""
    before = f"{label}: "
    if len(before) + len(text) > LONGEST_LABELLED:
        return text
    whole = redact(before + text)
    return whole.removeprefix(before) if whole.startswith(before) else text


def _redacted_key(key: Any, redact: Redact, taken: Mapping[Any, JSON]) -> Any:
    if not isinstance(key, str):
        return key
    new = redact(key)
    names = (new if number == 1 else f"{new} {number}" for number in count(1))
    return next(name for name in names if name not in taken)


def redacted_message(message: Message, redact: Redact) -> Message:
    """The message with all its text redacted.

    A signature vouches for exact text, so it goes when the text changes, and so do the
    provider's own blocks of that round. What is cut across parts is masked as well: the
    first of them then holds the text of all.
    """
    parts = _redacted_parts(message.parts, redact)
    fields: dict[str, Any] = {
        "content": _whole(message.content, Text, message.parts, parts, redact),
        "parts": parts,
        "data": redacted_json(message.data, redact),
        "error": redacted_json(message.error, redact),
        "raw": _kept_raw(message, parts, redact),
    }
    if message.thinking_text is not None:
        thinking = _whole(message.thinking_text, Thinking, message.parts, parts, redact)
        fields["thinking_text"] = thinking
        if thinking != message.thinking_text:
            signed = [part.signature for part in parts if isinstance(part, Thinking)]
            fields["thinking_signature"] = next(filter(None, reversed(signed)), None)
    same = all(getattr(message, name) == value for name, value in fields.items())
    return message if same else replace(message, **fields)


def _whole(
    text: str,
    kind: type[Text] | type[Thinking],
    before: Iterable[Part],
    after: Iterable[Part],
    redact: Redact,
) -> str:
    """The text of all parts of a kind as it is now; redacted by itself if it was not theirs."""
    return _joined(after, kind) if text == _joined(before, kind) else redact(text)


def _joined(parts: Iterable[Part], kind: type[Text] | type[Thinking]) -> str:
    return "".join(part.text for part in parts if isinstance(part, kind))


def _redacted_parts(parts: tuple[Part, ...], redact: Redact) -> tuple[Part, ...]:
    new = tuple(_redacted_part(part, redact) for part in parts)
    for kind in (Text, Thinking):
        joined = _joined(new, kind)
        whole = redact(joined)
        if whole != joined:  # a match runs from one part into the next
            new = _gathered(new, kind, whole)
    return new


def _redacted_part(part: Part, redact: Redact) -> Part:
    if isinstance(part, ToolCall):
        arguments = redacted_json(part.arguments, redact)
        same = arguments == part.arguments
        return part if same else replace(part, arguments=arguments, signature=None)
    if isinstance(part, ToolResult):
        return _telling(part, redact(part.content))
    return _saying(part, redact(part.text)) if isinstance(part, Text | Thinking) else part


def _telling(part: ToolResult, content: str) -> ToolResult:
    """The result with this content; a table that has lost lines is none."""
    if content == part.content:
        return part
    is_whole = content.count("\n") == part.content.count("\n")
    return replace(part, content=content, is_table=part.is_table if is_whole else None)


def _saying(part: Text | Thinking, text: str) -> Part:
    if text == part.text:
        return part
    if isinstance(part, Thinking):
        return replace(part, text=text, signature=None)
    return replace(part, text=text)


def _gathered(
    parts: tuple[Part, ...], kind: type[Text] | type[Thinking], whole: str
) -> tuple[Part, ...]:
    """The parts with the first of that kind saying it all; the others that spoke are gone."""
    gathered: list[Part] = []
    for part in parts:
        if not isinstance(part, kind) or not part.text:
            gathered.append(part)
        elif whole:
            gathered.append(_saying(part, whole))
            whole = ""
    return tuple(gathered)


def _kept_raw(
    message: Message, parts: tuple[Part, ...], redact: Redact
) -> tuple[Mapping[str, JSON], ...]:
    """The blocks of those rounds in which nothing that the model said has changed."""
    kept = tuple(
        raw
        for raw in message.raw
        if _said(message.parts, raw.get("round")) == _said(parts, raw.get("round"))
        and redacted_json(raw, redact) is raw
    )
    return kept if len(kept) < len(message.raw) else message.raw


def _said(parts: Iterable[Part], round: JSON) -> list[Part]:
    return [part for part in parts if part.round == round and not isinstance(part, ToolResult)]
