"""A turn's answer on its way: what the page has of it, and what it is to be told next.

Nothing is sent from here. The clock only spaces the looks at an answer that grows.
"""

import time
from collections.abc import Sequence
from typing import Any

from nbchat.events import ApprovalEvent, DoneEvent, RetryEvent, ToolEndEvent, ToolStartEvent
from nbchat.messages import Message
from nbchat.render.blocks import Block, changed_from, growth, message_blocks
from nbchat.render.live import LiveAnswer, repaint_due
from nbchat.render.plain import one_line
from nbchat.store.shown import Surroundings
from nbchat.widget.shown import stored_blocks

TICK_S = 0.12  # between two looks


class Answer:
    """The answer of `running`, stored as `id`; `before` is shown of a turn that goes on."""

    def __init__(self, running: Any, id_: str, before: Sequence[Block] = ()) -> None:
        self.running, self.id = running, id_
        self.is_dirty = False
        self._live = LiveAnswer(math=True)
        self._before, self._told = list(before), list[Block]()
        self._looked_s = self._cost_s = 0.0

    def feed(self, event: Any) -> None:
        """Take the next event."""
        self._live.feed(event)
        self.is_dirty = True
        if isinstance(event, DoneEvent):
            self._before = []  # its message has all of the turn

    def blocks(self) -> list[Block]:
        """All that is to be seen of it now."""
        return [*self._before, *self._live.blocks()]

    def is_known(self, blocks: list[Block]) -> bool:
        """Whether the page has exactly these blocks."""
        return self._told == blocks

    def told(self, blocks: list[Block]) -> None:
        """The page got these, all of them."""
        self._told = list(blocks)

    def is_due(self) -> bool:
        """Whether it has changed and it is time to look."""
        now_s = time.monotonic()
        is_soon = now_s - self._looked_s < TICK_S
        return self.is_dirty and not is_soon and repaint_due(now_s, self._looked_s, self._cost_s)

    def news(self, *, is_last: bool) -> dict[str, Any] | None:
        """The message that brings the page up to date; None where it is. Call it, and send it.

        `is_last` says that nothing follows the answer in the page, so that it may just grow.
        """
        self.is_dirty = False
        start_s = time.monotonic()
        blocks = self.blocks()
        first = changed_from(self._told, blocks)
        grown = growth(self._told, blocks, first) if is_last else None
        self._told = blocks
        self._looked_s = time.monotonic()
        self._cost_s = self._looked_s - start_s
        if grown is not None:
            return {"op": "grow", **grown}
        if first is None:
            return None
        return {"op": "blk", "id": self.id, "k": first, "blocks": blocks[first:]}


def blocks_before(message: Message, around: Surroundings) -> list[Block]:
    """What a turn that goes on has shown already; calls that had no result then are told anew."""
    pairs = zip(message_blocks(message), stored_blocks(message, around), strict=True)
    return [known for then, known in pairs if then.get("status") != "running"]


def state_after(event: Any) -> tuple[str, str] | None:
    """What happens after an event: a state, and the words for it; None for no change."""
    match event:
        case ApprovalEvent():
            return "approval", f"{one_line(event.name, 60)} needs your approval"
        case ToolStartEvent():
            return "tool", f"Running {one_line(event.name, 60)}…"
        case ToolEndEvent():
            return "waiting", "Waiting for the model…"
        case RetryEvent():
            words = f"Attempt {event.attempt} failed, next in {event.wait_s:.1f} s: {event.error}"
            return "retrying", one_line(words, 300)
        case _:
            return ("streaming", "Answering…") if event.content else None
