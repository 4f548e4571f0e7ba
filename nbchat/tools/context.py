"""What a tool may know and do about the call it is in, if it asks.

A parameter annotated with `ToolContext` is filled in by the engine and never shown to the
model. The class does nothing of its own: the engine gives the callables.
"""

import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


def _unheard(value: Any) -> None:
    """Progress outside a turn goes nowhere."""


def _unanswered(question: str) -> bool:
    """Outside a turn nobody is there to agree."""
    return False


async def _aunanswered(question: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class ToolContext:
    """The call that a tool is in: whose it is, what was given with the ask, and a way back.

    `call_id` is nbchat's own id of the call, `tool_call_id` the provider's, which may repeat.
    `inputs` are what the caller gave besides the words. `repeats` counts the same calls,
    name and arguments, earlier in this turn. `ToolContext()` serves to try a tool by hand.
    """

    chat: Any = None
    chat_id: str = ""
    message_id: str = ""
    call_id: str = ""
    tool_call_id: str = ""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    repeats: int = 0
    cancel: threading.Event = field(default_factory=threading.Event, repr=False)
    on_progress: Callable[[Any], None] = field(default=_unheard, repr=False)
    on_confirm: Callable[[str], bool] = field(default=_unanswered, repr=False)
    on_aconfirm: Callable[[str], Awaitable[bool]] = field(default=_aunanswered, repr=False)

    @property
    def cancelled(self) -> bool:
        """Whether the turn was stopped; a long tool looks now and then, and returns."""
        return self.cancel.is_set()

    def progress(self, value: Any) -> None:
        """Show how far the tool is; the model does not see it."""
        self.on_progress(value)

    def confirm(self, question: str) -> bool:
        """Whether the user agrees; waits for the answer. For tools that are not async."""
        return self.on_confirm(question)

    async def aconfirm(self, question: str) -> bool:
        """Whether the user agrees; for async tools."""
        return await self.on_aconfirm(question)
