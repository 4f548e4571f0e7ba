"""What the panel shows of a message: a list of blocks, as JSON, that change one at a time.

Invariant: only `html` holds HTML, and it is safe; every other string is shown as it is. A
live answer and its stored message give the same text, so that a repaint replaces the blocks
from the first that changed.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

from nbchat.messages import File, Image, Message, Thinking
from nbchat.render.markdown import markdown_blocks
from nbchat.render.plain import (
    CONTROLS,
    SURROGATES,
    clean,
    clip,
    escaped,
    one_line,
    size_in_words,
    time_in_words,
)
from nbchat.render.transcript import (
    Segment,
    ToolRow,
    arguments_of,
    folded,
    partial_of,
    segments_of,
    table_of,
)

Block = dict[str, Any]
RESULT_LIMIT = 20_000  # characters
ASTRAL = re.compile("[\U00010000-\U0010ffff]")  # two characters to JavaScript
UNSEEN = re.compile(f"{CONTROLS.pattern}|{SURROGATES.pattern}")
GROWS = {"text": "html", "think": "text"}
WITHOUT_RESULT = {"pending": "running", "complete": "proposed"}


def message_blocks(
    message: Message,
    *,
    rows: Sequence[ToolRow] = (),
    math: bool = True,
) -> list[Block]:
    """The blocks of a stored message.

    `rows` are the message's tool calls, in order, with what is known beyond the message: ids,
    statuses, durations, questions.
    """
    known = list(rows)
    blocks: list[Block] = []
    for segment in segments_of(message):
        if isinstance(segment, Image | File):
            add_chip(blocks, attachment_chip(segment))
        elif isinstance(segment, ToolRow):
            row = told_apart(segment, message.status)
            blocks.append(tool_block(joined_row(row, taken(row, known))))
        elif message.role == "user" and not isinstance(segment, Thinking):
            blocks.append({"kind": "user", "text": clean(segment.text), "chips": []})
        else:
            blocks += segment_blocks(segment, math=math)
    return blocks + text_blocks(markdown_blocks(partial_of(message), math=math))


def add_chip(blocks: list[Block], chip: Block) -> None:
    """Put what was attached beneath the user's words."""
    if not blocks or blocks[-1]["kind"] != "user":
        blocks.append({"kind": "user", "text": "", "chips": []})
    blocks[-1]["chips"].append(chip)


def attachment_chip(part: Image | File) -> Block:
    """What was attached, in a few words."""
    return {
        "id": part.digest,
        "label": one_line(part.name, 60) or part.media_type,
        "size": size_in_words(part.bytes) if isinstance(part, File) else "",
        "picture": picture_of(part) if isinstance(part, Image) else None,
    }


def picture_of(image: Image) -> Block:
    """A picture that the page asks for when its place is seen."""
    label = one_line(image.name, 60) or "image"
    return {"digest": image.digest, "label": label, "width": image.width, "height": image.height}


def segment_blocks(segment: Segment, *, is_open: bool = False, math: bool = True) -> list[Block]:
    """The blocks of one run of text or thinking, or of one tool call."""
    if isinstance(segment, ToolRow):
        return [tool_block(segment)]
    if isinstance(segment, Thinking):
        label = "Thinking…" if is_open else "Thought"
        return [{"kind": "think", "text": clean(segment.text), "open": is_open, "label": label}]
    if isinstance(segment, Image | File):
        return []
    return text_blocks(markdown_blocks(segment.text, math=math))


def text_blocks(htmls: Iterable[str]) -> list[Block]:
    """Blocks of safe HTML."""
    return [{"kind": "text", "html": html} for html in htmls]


def tool_block(row: ToolRow) -> Block:
    """The block of a tool call."""
    return {
        "kind": "tool",
        "key": row.call_id or row.place,
        "name": one_line(row.name, 100),
        "brief": one_line(arguments_of(row), 120),
        "status": clean(state_of(row)),
        "time": "" if row.duration_ms is None else time_in_words(row.duration_ms),
        "args": arguments_text(row.arguments),
        "html": result_html(row),
        "pictures": [picture_of(image) for image in row.images],
        "progress": row.progress if row.is_open else "",
        "ask": ask_of(row) if row.is_open and row.asks else None,
    }


def state_of(row: ToolRow) -> str:
    """The row's status in one word or two."""
    if not row.is_open:
        return row.status
    return "needs approval" if row.asks else "running"


def ask_of(row: ToolRow) -> Block:
    """What somebody is asked, with the nonce that binds the answer to what is shown."""
    return {
        "call": row.call_id,
        "nonce": approval_nonce(row.call_id, row.arguments),
        "question": clean(row.question or ""),
        "always": row.question is None,
    }


def approval_nonce(call_id: str, arguments: dict[str, Any] | str) -> str:
    """The same for one call with the same arguments only, so that what is shown is approved."""
    text = json.dumps([call_id, arguments], sort_keys=True, default=str)
    return sha256(text.encode()).hexdigest()[:16]


def arguments_text(arguments: dict[str, Any] | str) -> str:
    """The arguments, complete; a character that would not be seen stands as its escape."""
    whole = isinstance(arguments, str)
    text = arguments if whole else json.dumps(arguments, ensure_ascii=False, indent=2, default=str)
    return UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", str(text))


def result_html(row: ToolRow) -> str:
    """Safe HTML of the result; beside a table or a picture its text is folded."""
    if row.result is None:
        return ""
    text, table = f"<pre>{escaped(clip(row.result, RESULT_LIMIT))}</pre>", table_of(row)
    return table + folded("tool", "As text", text) if table or row.images else text


def told_apart(row: ToolRow, message_status: str) -> ToolRow:
    """A stored row whose status is the panel's word."""
    if row.status == "failed":
        return replace(row, status="error")
    if row.status == "no result":
        return replace(row, status=WITHOUT_RESULT.get(message_status, "stopped"))
    return row


def taken(row: ToolRow, known: list[ToolRow]) -> ToolRow | None:
    """The first of the known rows that is the same call, taken out of them."""
    call = (row.name, row.tool_call_id)
    found = next((item for item in known if (item.name, item.tool_call_id) == call), None)
    if found is not None:
        known.remove(found)
    return found


def joined_row(row: ToolRow, known: ToolRow | None) -> ToolRow:
    """The stored row with what else is known of its call."""
    if known is None:
        return row
    return replace(
        row,
        status=known.status or row.status,
        call_id=known.call_id,
        is_open=known.is_open and row.result is None,
        asks=known.asks,
        question=known.question,
        duration_ms=known.duration_ms,
    )


def growth(old: Sequence[Block], new: Sequence[Block], first: int | None) -> Block | None:
    """How the last block grew: `keep` so much of it, then the `rest`, and maybe `more` blocks.

    None where anything else changed, or where the page counts characters otherwise.
    """
    if first is None or first != len(old) - 1 or first >= len(new):
        return None
    key = GROWS.get(new[first]["kind"])
    if key is None or old[first] | {key: ""} != new[first] | {key: ""}:
        return None
    before, after = old[first][key], new[first][key]
    pairs = enumerate(zip(before, after, strict=False))
    keep = next((at for at, (a, b) in pairs if a != b), min(len(before), len(after)))
    if not before or ASTRAL.search(after, 0, keep):
        return None
    more = list(new[first + 1 :])
    return {"keep": keep, "rest": after[keep:], **({"more": more} if more else {})}


def changed_from(old: Sequence[Block], new: Sequence[Block]) -> int | None:
    """The index of the first block that changed, None when all are equal."""
    pairs = zip(old, new, strict=False)
    same = next((index for index, (a, b) in enumerate(pairs) if a != b), None)
    if same is not None or len(old) == len(new):
        return same
    return min(len(old), len(new))
