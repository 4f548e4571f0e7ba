"""An answer on its way: events in, the current state as HTML and text out.

Invariant: what is shown after the last event is exactly the stored message's transcript.
Finished blocks are rendered once, so that repainting costs the last block, not the answer.
"""

from dataclasses import replace
from typing import Any

from nbchat.events import (
    ApprovalEvent,
    DoneEvent,
    Event,
    RetryEvent,
    TextEvent,
    ThinkingEvent,
    ToolEndEvent,
    ToolProgressEvent,
    ToolStartEvent,
)
from nbchat.messages import Image, Message, Thinking
from nbchat.render.blocks import Block, message_blocks, segment_blocks, text_blocks
from nbchat.render.markdown import block_starts, html_blocks
from nbchat.render.plain import clean, one_line
from nbchat.render.transcript import (
    ToolRow,
    framed,
    plain_message,
    plain_segment,
    render_message,
    render_note,
    render_segment,
    render_text,
)

RUNNING = "running…"
WAITING = "needs approval"
AWAITED = "waiting…"
INTERVAL_S = 1 / 15
SLOW_S = 0.02


def repaint_due(now_s: float, last_s: float, last_cost_s: float) -> bool:
    """Whether to repaint: at most 15 times a second.

    A repaint longer than 20 ms doubles the interval, as does each doubling beyond, up to
    about two seconds.
    """
    interval_s, slow_s = INTERVAL_S, SLOW_S
    while last_cost_s > slow_s and interval_s < 2:
        interval_s, slow_s = 2 * interval_s, 2 * slow_s
    return now_s - last_s >= interval_s


class GrowingText:
    """Markdown that comes in pieces; all blocks but the last are rendered once.

    A block is finished when another one starts on a later, whole line. A link defined
    below its use shows as text until the final rendering.
    """

    def __init__(self, *, math: bool = False) -> None:
        self._math = math
        self._pieces: list[str] = []
        self._finished: list[str] = []
        self._links: dict[str, Any] = {}
        self._lines = ""  # whole lines, cleaned, of the blocks not finished
        self._rest = ""  # the last line, as it came

    def feed(self, text: str) -> None:
        """Take the next piece."""
        self._pieces.append(text)
        lines, newline, self._rest = (self._rest + text).rpartition("\n")
        self._lines += clean(lines + newline)

    def html(self) -> str:
        """The text so far."""
        return "".join(self.blocks())

    def blocks(self) -> list[str]:
        """The text so far, one string of HTML per top-level block."""
        cut = max(block_starts(self._lines), default=0)
        if cut:
            self._finished += html_blocks(
                self._lines[:cut], {"references": self._links, "math": self._math}
            )
            self._lines = self._lines[cut:]
        links = {"references": dict(self._links), "math": self._math}
        return self._finished + html_blocks(self._lines + clean(self._rest), links)

    def plain(self) -> str:
        """The text so far, as it is."""
        return clean("".join(self._pieces))


def progressed(
    row: ToolRow, event: ToolStartEvent | ApprovalEvent | ToolProgressEvent, status: str
) -> ToolRow:
    """The open row of a call as far as the event says."""
    asks = isinstance(event, ApprovalEvent)
    return replace(
        row,
        status=status,
        arguments=row.arguments if isinstance(event, ToolProgressEvent) else event.arguments,
        asks=asks,
        question=event.question if isinstance(event, ApprovalEvent) else None,
        progress=one_line(str(event.progress), 300) if isinstance(event, ToolProgressEvent) else "",
    )


def placed(item: Thinking | ToolRow, place: int) -> Thinking | ToolRow:
    """A tool call that has no id of its own is known by its place in the answer."""
    return replace(item, place=f"0.{place}") if isinstance(item, ToolRow) else item


class LiveAnswer:
    """One turn's answer, from its events; with `math` its formulas are drawn as MathML."""

    def __init__(self, *, footer: bool = False, math: bool = False) -> None:
        self._footer = footer
        self._math = math
        self._segments: list[GrowingText | Thinking | ToolRow] = []
        self._pictures: dict[str, bytes] = {}
        self._notice = AWAITED
        self._message: Message | None = None
        self._is_ended = False

    def feed(self, event: Event) -> None:
        """Take the next event."""
        self._notice = ""
        match event:
            case TextEvent():
                self._add_text(event.content)
            case ThinkingEvent():
                self._add_thinking(event.thinking)
            case ToolStartEvent():
                self._set_tool(event, RUNNING)
            case ApprovalEvent():
                self._set_tool(event, f"{WAITING}: {event.question}" if event.question else WAITING)
            case ToolProgressEvent():
                self._set_tool(event, f"{RUNNING} {one_line(str(event.progress), 100)}")
            case ToolEndEvent():
                self._end_tool(event)
            case RetryEvent():
                self._notice = f"attempt {event.attempt} failed, next in {event.wait_s:.1f} s"
                self._notice += f": {event.error}"
            case DoneEvent():
                self._message = event.message

    def end(self, reason: str) -> None:
        """Say why no message comes; what was shown stays, tools that still ran are stopped."""
        self._notice = reason
        self._is_ended = True
        self._segments = [
            replace(item, status="stopped", is_open=False)
            if isinstance(item, ToolRow) and item.is_open
            else item
            for item in self._segments
        ]

    def html(self) -> str:
        """The answer so far, once done the stored message's transcript."""
        if self._message is not None:
            return render_message(
                self._message, footer=self._footer, pictures=self._pictures, math=self._math
            )
        pieces = [
            render_text(item.html())
            if isinstance(item, GrowingText)
            else render_segment(item, pictures=self._pictures)
            for item in self._segments
        ]
        return framed([*pieces, render_note(self._notice)] if self._notice else pieces)

    def blocks(self) -> list[Block]:
        """The answer so far as the panel's blocks, once done the stored message's."""
        if self._message is not None:
            rows = [item for item in self._segments if isinstance(item, ToolRow)]
            return message_blocks(self._message, rows=rows, math=self._math)
        blocks: list[Block] = []
        for place, item in enumerate(self._segments):
            if isinstance(item, GrowingText):
                blocks += text_blocks(item.blocks())
                continue
            is_open = not self._is_ended and place == len(self._segments) - 1
            blocks += segment_blocks(placed(item, place), is_open=is_open)
        if self._notice not in ("", AWAITED):
            blocks.append({"kind": "note", "text": clean(self._notice)})
        return blocks

    def plain(self) -> str:
        """The same as text for a terminal."""
        if self._message is not None:
            return plain_message(self._message, footer=self._footer)
        lines = [
            item.plain() if isinstance(item, GrowingText) else plain_segment(item)
            for item in self._segments
        ]
        return "\n".join(line for line in [*lines, clean(self._notice)] if line)

    def _add_text(self, text: str) -> None:
        last = self._segments[-1] if self._segments else None
        if not isinstance(last, GrowingText):
            last = GrowingText(math=self._math)
            self._segments.append(last)
        last.feed(text)

    def _add_thinking(self, text: str) -> None:
        last = self._segments[-1] if self._segments else None
        if isinstance(last, Thinking):
            self._segments[-1] = replace(last, text=last.text + text)
        else:
            self._segments.append(Thinking(text))

    def _set_tool(
        self, event: ToolStartEvent | ApprovalEvent | ToolProgressEvent, status: str
    ) -> None:
        """The row of that call, a new one if it has none yet, is as far as the event says."""
        found = self._open_row(event)
        if found is not None and not (isinstance(event, ToolStartEvent) and not event.call_id):
            self._segments[found] = progressed(self._row_at(found), event, status)
            return
        arguments = {} if isinstance(event, ToolProgressEvent) else event.arguments
        row = ToolRow(
            event.name, arguments, status, None, event.tool_call_id, event.call_id, is_open=True
        )
        self._segments.append(progressed(row, event, status))

    def _end_tool(self, event: ToolEndEvent) -> None:
        """The running row of that call ends."""
        result = event.error if event.result is None else event.result
        self._pictures |= {image.digest: image.data for image in event.images}
        found = self._open_row(event)
        if found is None:
            row = ToolRow(event.name, event.arguments, "", None, event.tool_call_id, event.call_id)
            self._segments.append(row)
            found = len(self._segments) - 1
        self._segments[found] = replace(
            self._row_at(found),
            status=event.status,
            result=result,
            is_open=False,
            is_table=event.is_table,
            images=tuple(image.part for image in event.images if isinstance(image.part, Image)),
            duration_ms=event.duration_ms,
        )

    def _open_row(self, event: Any) -> int | None:
        """Where the first open row of the event's call is: a provider's ids may repeat."""
        call = (event.name, event.tool_call_id, event.call_id)
        for index, row in enumerate(self._segments):
            if not isinstance(row, ToolRow) or not row.is_open:
                continue
            if (row.name, row.tool_call_id, row.call_id) == call:
                return index
        return None

    def _row_at(self, index: int) -> ToolRow:
        row = self._segments[index]
        assert isinstance(row, ToolRow)
        return row
