"""An answer on its way: events in, the current state as HTML and text out.

Invariant: what is shown after the last event is exactly the stored message's transcript.
Finished blocks are rendered once, so that repainting costs the last block, not the answer.
"""

from dataclasses import replace
from typing import Any

from nbchat.events import (
    DoneEvent,
    Event,
    RetryEvent,
    TextEvent,
    ThinkingEvent,
    ToolEndEvent,
    ToolStartEvent,
)
from nbchat.messages import Message, Thinking
from nbchat.render.markdown import block_starts, render_blocks
from nbchat.render.plain import clean
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

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._finished = ""
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
        cut = max(block_starts(self._lines), default=0)
        if cut:
            self._finished += render_blocks(self._lines[:cut], {"references": self._links})
            self._lines = self._lines[cut:]
        links = {"references": dict(self._links)}
        return self._finished + render_blocks(self._lines + clean(self._rest), links)

    def plain(self) -> str:
        """The text so far, as it is."""
        return clean("".join(self._pieces))


class LiveAnswer:
    """One turn's answer, from its events."""

    def __init__(self, *, footer: bool = False) -> None:
        self._footer = footer
        self._segments: list[GrowingText | Thinking | ToolRow] = []
        self._notice = "waiting…"
        self._message: Message | None = None

    def feed(self, event: Event) -> None:
        """Take the next event."""
        self._notice = ""
        match event:
            case TextEvent():
                self._add_text(event.content)
            case ThinkingEvent():
                self._add_thinking(event.thinking)
            case ToolStartEvent(name=name, arguments=arguments, tool_call_id=call_id):
                self._segments.append(ToolRow(name, arguments, RUNNING, None, call_id))
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
        self._segments = [
            replace(item, status="stopped")
            if isinstance(item, ToolRow) and item.status == RUNNING
            else item
            for item in self._segments
        ]

    def html(self) -> str:
        """The answer so far, once done the stored message's transcript."""
        if self._message is not None:
            return render_message(self._message, footer=self._footer)
        pieces = [
            render_text(item.html()) if isinstance(item, GrowingText) else render_segment(item)
            for item in self._segments
        ]
        return framed([*pieces, render_note(self._notice)] if self._notice else pieces)

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
            last = GrowingText()
            self._segments.append(last)
        last.feed(text)

    def _add_thinking(self, text: str) -> None:
        last = self._segments[-1] if self._segments else None
        if isinstance(last, Thinking):
            self._segments[-1] = replace(last, text=last.text + text)
        else:
            self._segments.append(Thinking(text))

    def _end_tool(self, event: ToolEndEvent) -> None:
        """The first running row of that call ends: a provider's ids may repeat."""
        result = event.error if event.result is None else event.result
        call = (event.name, RUNNING, event.tool_call_id)
        for index, row in enumerate(self._segments):
            if isinstance(row, ToolRow) and (row.name, row.status, row.tool_call_id) == call:
                self._segments[index] = replace(row, status=event.status, result=result)
                return
        self._segments.append(ToolRow(event.name, {}, event.status, result, event.tool_call_id))
