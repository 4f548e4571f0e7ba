"""A stored message as static HTML and as plain text.

Invariant: the two say the same, and a live answer ends as exactly what is rendered here.
Only the model's text is Markdown; names, arguments, results, thinking, errors and the
user's own words are shown as they are, escaped. The classes on the outermost element keep
the page's math typesetter away: "$5 and $10" is money, and math is a language with links.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import groupby
from typing import Any

from nbchat.messages import File, Image, Message, Text, Thinking, ToolCall, ToolResult, text_of
from nbchat.render.markdown import render_markdown
from nbchat.render.plain import clean, clip, escaped, joined, money, one_line
from nbchat.render.values import (
    NO_PICTURES,
    Pictures,
    render_picture,
    render_pictures,
    render_table,
)

FAINT = 'style="opacity: 0.7"'
AS_TYPED = 'style="white-space: pre-wrap"'
STATUS_WORDS = {
    "pending": "not finished",
    "stopped": "stopped",
    "interrupted": "interrupted: the process ended before the answer was whole",
    "failed": "failed",
}


@dataclass(frozen=True, slots=True)
class ToolRow:
    """One tool call with what is known of its outcome.

    `call_id` is nbchat's own, known while the call runs, which `is_open` says. `is_table` says
    that the result is a frame's CSV, `images` are its pictures. `place` is the call's round and
    number in it. `asks` says that the call waits for somebody, `question` what for if not to run.
    """

    name: str
    arguments: dict[str, Any] | str
    status: str
    result: str | None = None
    tool_call_id: str = ""
    call_id: str = ""
    is_open: bool = False
    is_table: bool = False
    images: tuple[Image, ...] = ()
    place: str = ""
    progress: str = ""
    asks: bool = False
    question: str | None = None
    duration_ms: float | None = None


Segment = Text | Thinking | ToolRow | Image | File


def render_message(
    message: Message,
    *,
    footer: bool = False,
    pictures: Pictures = NO_PICTURES,
    math: bool = False,
) -> str:
    """The message as safe HTML, with its numbers in a last line if `footer`.

    Formulas are MathML if `math`, else their source, which every notebook page shows.
    `pictures` are the bytes of those to be seen, by digest; the others are named.
    """
    return framed(message_pieces(message, footer=footer, pictures=pictures, math=math))


def message_pieces(
    message: Message,
    *,
    footer: bool = False,
    pictures: Pictures = NO_PICTURES,
    math: bool = False,
) -> list[str]:
    """What `render_message` puts into its frame."""
    pieces = [
        render_segment(segment, message.role, pictures=pictures, math=math)
        for segment in segments_of(message)
    ]
    if status := status_of(message):
        pieces.append(render_note(status))
    if partial := partial_of(message):
        pieces.append(render_segment(Text(partial), math=math))
    if footer and (line := footer_of(message)):
        pieces.append(render_note(line))
    return pieces


def plain_message(message: Message, *, footer: bool = False) -> str:
    """The message as text for a terminal; thinking is left out."""
    lines = [plain_segment(segment) for segment in segments_of(message)]
    if status := status_of(message):
        lines.append(f"[{clean(status)}]")
    lines.append(clean(partial_of(message)))
    if footer:
        lines.append(footer_of(message))
    return "\n".join(line for line in lines if line)


def framed(pieces: Iterable[str]) -> str:
    """The pieces in the element that every static transcript is."""
    inner = "".join(pieces)
    return f'<div class="nbchat-static tex2jax_ignore mathjax_ignore">{inner}</div>'


def render_note(line: str) -> str:
    """A faint line about the message."""
    return f'<div class="nbchat-note" {FAINT}>{escaped(line)}</div>'


def render_segment(
    segment: Segment,
    role: str = "assistant",
    *,
    pictures: Pictures = NO_PICTURES,
    math: bool = False,
) -> str:
    """One run of text or thinking, or one tool call, as HTML."""
    if isinstance(segment, ToolRow):
        return render_tool(segment, pictures)
    if isinstance(segment, Image):
        note = render_note(attachment_line(segment))
        return note + render_picture(segment, pictures.get(segment.digest))
    if isinstance(segment, File):
        return render_note(attachment_line(segment))
    if isinstance(segment, Thinking):
        return folded("thinking", "Thinking", f"<div {AS_TYPED}>{escaped(segment.text)}</div>")
    if role == "user":
        return f'<div class="nbchat-user" {AS_TYPED}>{escaped(segment.text)}</div>'
    return render_text(render_markdown(segment.text, math=math))


def render_text(html: str) -> str:
    """Safe HTML of the model's text in its element."""
    return f'<div class="nbchat-text">{html}</div>'


def render_tool(row: ToolRow, pictures: Pictures = NO_PICTURES) -> str:
    """A tool call on one line, arguments and result folded beneath, tables and pictures open."""
    arguments = clean(arguments_of(row))
    short = one_line(arguments, 120)
    heading = f"{one_line(row.name, 100)}({short})"
    summary = f"<code>{escaped(heading)}</code> {escaped(row.status)}"
    body = f"<pre>{escaped(arguments)}</pre>" if short != arguments else ""
    if row.result is not None:
        body += f"<pre>{escaped(clip(row.result, 20_000))}</pre>"
    table = table_of(row)
    return folded("tool", summary, body) + table + render_pictures(row.images, pictures)


def table_of(row: ToolRow) -> str:
    """The frame that a call came to, as a table; '' for any other result."""
    return render_table(row.result) if row.is_table and row.result else ""


def folded(name: str, summary: str, body: str) -> str:
    """HTML that shows its summary and opens on a click."""
    return f'<details class="nbchat-{name}"><summary>{summary}</summary>{body}</details>'


def plain_segment(segment: Segment) -> str:
    """One run of text, or one tool call on a line, '' for thinking."""
    if isinstance(segment, Thinking):
        return ""
    if isinstance(segment, Text):
        return clean(segment.text)
    if isinstance(segment, Image | File):
        return attachment_line(segment)
    outcome = segment.status if segment.result is None else one_line(segment.result, 200)
    failed = "" if segment.result is None or segment.status == "ok" else f"{segment.status}: "
    call = f"{one_line(segment.name, 100)}({one_line(arguments_of(segment), 200)})"
    return clean(f"[tool] {call} -> {failed}{outcome}")


def arguments_of(row: ToolRow) -> str:
    """The arguments as in a call, or the raw text that could not be read."""
    if isinstance(row.arguments, str):
        return row.arguments
    values = (
        f"{name}={json.dumps(value, ensure_ascii=False, default=str)}"
        for name, value in row.arguments.items()
    )
    return ", ".join(values)


def segments_of(message: Message) -> list[Segment]:
    """The message's runs of text and thinking and its tool calls, in order.

    Content that no part holds, as a Halt's value, comes last.
    """
    parts = [part for part in message.parts if not isinstance(part, ToolResult)]
    if not text_of(parts).endswith(message.content):
        parts.append(Text(message.content))
    rows = iter(rows_of(message))
    segments: list[Segment] = []
    for kind, run in groupby(parts, key=type):
        if kind is ToolCall:
            segments += [next(rows) for _ in run]
        elif kind is Text:
            segments.append(Text(text_of(run)))
        elif kind in (Image, File):
            segments += [part for part in run if isinstance(part, Image | File)]
        else:
            thoughts = (part.text for part in run if isinstance(part, Thinking))
            segments.append(Thinking("\n\n".join(text or "(redacted)" for text in thoughts)))
    return [
        segment
        for segment in segments
        if not isinstance(segment, Text | Thinking) or segment.text.strip()
    ]


def attachment_line(part: Image | File) -> str:
    """What was attached, on one line."""
    return f"[{part.kind}: {one_line(part.name, 100) or part.media_type}]"


def rows_of(message: Message) -> list[ToolRow]:
    """Every tool call with its result, found by round and place: ids may repeat."""
    results = {
        (part.round, part.seq): part for part in message.parts if isinstance(part, ToolResult)
    }
    rows = []
    for number, calls in groupby(message.tool_calls, key=lambda call: call.round):
        for seq, call in enumerate(calls, start=1):
            result = results.get((number, seq))
            status = "no result" if result is None else "failed" if result.is_error else "ok"
            content = None if result is None else result.content
            row = ToolRow(call.name, call.arguments, status, content, call.tool_call_id)
            if result is not None:
                row = replace(row, is_table=bool(result.is_table), images=result.images)
            rows.append(replace(row, place=f"{number}.{seq}"))
    return rows


def status_of(message: Message) -> str:
    """What kept the message from being whole, in words; '' for a complete one."""
    if message.status == "complete":
        return ""
    error = message.error or {}
    reason = [str(error[key]) for key in ("type", "message") if error.get(key)]
    return ": ".join([STATUS_WORDS.get(message.status, message.status), *reason])


def partial_of(message: Message) -> str:
    """The text that had arrived before a turn failed."""
    return str((message.error or {}).get("partial") or "")


def footer_of(message: Message) -> str:
    """The message's own numbers as a footer."""
    start, end = message.created_at, message.finished_at
    return render_footer(
        model=message.model,
        input_tokens=message.input_tokens,
        cached_input_tokens=message.cached_input_tokens,
        output_tokens=message.output_tokens,
        cost_usd=message.cost_usd,
        duration_ms=(end - start).total_seconds() * 1000 if start and end else None,
        turn=message.turn or None,
    )


def render_footer(
    *,
    model: str | None = None,
    input_tokens: int | None = None,
    cached_input_tokens: int | None = None,
    output_tokens: int | None = None,
    cost_usd: Decimal | float | None = None,
    duration_ms: float | None = None,
    turn: int | None = None,
) -> str:
    """What is known of a turn, on one line of text; None is left out, never shown as 0."""
    cached = "" if cached_input_tokens is None else f" ({cached_input_tokens:,} cached)"
    tokens = [
        None if input_tokens is None else f"{input_tokens:,} in{cached}",
        None if output_tokens is None else f"{output_tokens:,} out",
    ]
    return joined(
        [
            model,
            " / ".join(piece for piece in tokens if piece),
            None if cost_usd is None else money(cost_usd),
            None if duration_ms is None else f"{duration_ms / 1000:,.1f} s",
            None if turn is None else f"turn {turn:,}",
        ]
    )
