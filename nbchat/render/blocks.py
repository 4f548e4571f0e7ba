"""A message as the panel shows it: a list of blocks, one for every piece that changes by itself.

Invariant: only a field named `html` holds HTML, made and cleaned by this room; all other strings
are shown as they are. A text has one block for each of its top-level Markdown blocks, so that a
growing answer changes its last ones only.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from nbchat.messages import File, Image, Message, Text, Thinking
from nbchat.render.markdown import block_starts, render_blocks
from nbchat.render.plain import clean, clip, escaped, one_line
from nbchat.render.transcript import (
    NOTHING_SHOWN,
    Segment,
    ShownKey,
    ToolRow,
    arguments_of,
    as_shown,
    partial_of,
    segments_of,
)

Block = dict[str, Any]

LONGEST_RESULT = 20_000
FAILED = "error"


def message_blocks(message: Message, shown: Mapping[ShownKey, str] = NOTHING_SHOWN) -> list[Block]:
    """The blocks of a stored message; `shown` is safe HTML of what tools returned."""
    blocks: list[Block] = []
    for at, segment in enumerate(segments_of(message)):
        if isinstance(segment, Image | File):
            _add_chip(blocks, attachment_chip(segment))
            continue
        blocks += segment_blocks(as_shown(segment, shown), role=message.role, key=f"t{at}")
    if partial := partial_of(message):
        blocks += text_blocks(partial)
    return blocks


def _add_chip(blocks: list[Block], chip: Block) -> None:
    if not blocks or blocks[-1]["kind"] != "user":
        blocks.append({"kind": "user", "text": "", "chips": []})
    blocks[-1]["chips"].append(chip)


def attachment_chip(part: Image | File) -> Block:
    """What was attached, on a line beneath the words."""
    return {
        "id": part.digest,
        "label": one_line(part.name, 60) or part.media_type,
        "kind": part.kind,
        "tokens": 0,
        "bytes": part.bytes if isinstance(part, File) else 0,
        "thumb": "",
        "error": "",
    }


def segment_blocks(
    segment: Segment, *, role: str = "assistant", key: str = "", is_open: bool = False
) -> list[Block]:
    """The blocks of one run of text or thinking, or of one tool call."""
    if isinstance(segment, ToolRow):
        return [tool_block(segment, segment.call_id or key)]
    if isinstance(segment, Thinking):
        label = "Thinking…" if is_open else "Thought"
        return [{"kind": "think", "text": clean(segment.text), "open": is_open, "label": label}]
    if not isinstance(segment, Text):
        return []
    if role == "user":
        return [{"kind": "user", "text": clean(segment.text), "chips": []}]
    return text_blocks(segment.text)


def text_blocks(text: str) -> list[Block]:
    """The blocks of a whole text: a link may be defined anywhere in it."""
    cleaned, links = clean(text), {"references": {}}  # type: ignore[var-annotated]
    render_blocks(cleaned, links)
    cuts = [0, *block_starts(cleaned)[1:], len(cleaned)]
    pieces = [cleaned[start:end] for start, end in pairwise(cuts)]
    known = links["references"]
    return html_blocks([render_blocks(piece, {"references": dict(known)}) for piece in pieces])


def html_blocks(pieces: Sequence[str]) -> list[Block]:
    """A block for each piece of safe HTML that shows something."""
    return [{"kind": "text", "html": html} for html in pieces if html.strip()]


def tool_block(row: ToolRow, key: str, *, ask: Block | None = None, progress: str = "") -> Block:
    """A tool call; `ask` is the question whether it may run."""
    arguments = clean(arguments_of(row))
    result = "" if row.result is None else f"<pre>{escaped(clip(row.result, LONGEST_RESULT))}</pre>"
    return {
        "kind": "tool",
        "key": key,
        "name": one_line(row.name, 100),
        "brief": one_line(arguments, 120),
        "status": FAILED if row.status == "failed" else row.status,
        "ms": None if row.duration_ms is None else round(row.duration_ms),
        "args": arguments_in_full(row),
        "html": row.shown or result,
        "progress": progress,
        "ask": ask,
    }


def arguments_in_full(row: ToolRow) -> str:
    """All arguments as indented JSON, or the raw text that could not be read."""
    if isinstance(row.arguments, str):
        return clean(row.arguments)
    return clean(json.dumps(row.arguments, ensure_ascii=False, indent=2, default=str))


def approval_nonce(call_id: str, arguments: Any) -> str:
    """What binds an approval to the very call and arguments that were shown."""
    said = json.dumps([call_id, arguments], sort_keys=True, default=str)
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def ask_block(call_id: str, arguments: Any, question: str | None) -> Block:
    """The question that a tool row asks."""
    return {
        "call": call_id,
        "nonce": approval_nonce(call_id, arguments),
        "question": clean(question or ""),
        "always": not question,
    }


def changed_from(old: Sequence[Block], new: Sequence[Block]) -> int | None:
    """The index of the first block that differs, None if none does."""
    for at, (before, after) in enumerate(zip(old, new, strict=False)):
        if before != after:
            return at
    return None if len(old) == len(new) else min(len(old), len(new))
