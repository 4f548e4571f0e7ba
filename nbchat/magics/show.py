"""An answer shown while it comes: in place on a page, as running text in a terminal.

Invariant: a page is repainted at most 15 times a second, never lags behind an answer that
pauses, and ends as the stored message's static transcript, of HTML and plain text only.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from nbchat.errors import ConfigError, NbchatError
from nbchat.events import (
    ApprovalEvent,
    DoneEvent,
    Event,
    TextEvent,
    ToolProgressEvent,
    ToolStartEvent,
)
from nbchat.messages import Message
from nbchat.render.live import INTERVAL_S, LiveAnswer, repaint_due
from nbchat.render.plain import clean, one_line
from nbchat.render.transcript import ToolRow, plain_segment, status_of

if TYPE_CHECKING:
    from nbchat.chat import Chat
    from nbchat.engine.running import Stream


class View:
    """Where an answer is shown; this one shows nothing."""

    def feed(self, event: Event) -> None:
        """Take the next event."""

    def tick(self) -> None:
        """Show what has not been shown yet, unless it is too early for that."""

    def flush(self) -> None:
        """Show now what has not been shown yet."""

    def end(self, reason: str) -> None:
        """Say why no message comes."""


class Page(View):
    """One output of a notebook cell, updated in place."""

    def __init__(self, shell: Any) -> None:
        self._publish = shell.display_pub.publish
        self._id = uuid4().hex
        self._answer = LiveAnswer(footer=True)
        self._is_painted = True
        self._paint(update=False)

    def feed(self, event: Event) -> None:
        self._answer.feed(event)
        self._is_painted = False
        if isinstance(event, DoneEvent):
            self._paint()

    def tick(self) -> None:
        if not self._is_painted and repaint_due(time.monotonic(), self._painted_s, self._cost_s):
            self._paint()

    def flush(self) -> None:
        self._paint()

    def end(self, reason: str) -> None:
        self._answer.end(reason)
        self._paint()

    def _paint(self, update: bool = True) -> None:
        start_s = time.monotonic()
        bundle = {"text/html": self._answer.html(), "text/plain": self._answer.plain()}
        self._publish(bundle, {}, transient={"display_id": self._id}, update=update)
        self._is_painted, self._painted_s = True, time.monotonic()
        self._cost_s = self._painted_s - start_s


class Terminal(View):
    """Text printed as it comes, with tool calls on lines of their own; no thinking."""

    def __init__(self) -> None:
        self._is_inside_line = False

    def feed(self, event: Event) -> None:
        match event:
            case TextEvent(content=text) if text:
                self._write(text)
                self._is_inside_line = not text.endswith("\n")
            case ToolStartEvent(name=name, arguments=arguments):
                self._line(plain_segment(ToolRow(name, arguments, "running")))
            case ToolProgressEvent(name=name, progress=progress):
                self._line(one_line(f"[tool] {name}: {progress}", 200))
            case DoneEvent(message=message):
                self._line(f"[{status}]" if (status := status_of(message)) else "")

    def end(self, reason: str) -> None:
        self._line(f"[{reason}]")

    def _line(self, text: str) -> None:
        self._write(("\n" if self._is_inside_line else "") + (f"{text}\n" if text else ""))
        self._is_inside_line = False

    def _write(self, text: str) -> None:
        sys.stdout.write(clean(text))
        sys.stdout.flush()


def view_for(shape: str, shell: Any) -> View:
    """Where an answer of that format is shown: json is shown once it is whole."""
    if shape == "html":
        return Page(shell)
    return Terminal() if shape == "text" else View()


def follow(chat: "Chat", stream: "Stream", view: View) -> Message:
    """The turn's message, shown as it comes; what ends a turn early is shown, then raised."""
    message = None
    try:
        with stream:
            for event in ticking(stream, view):
                view.feed(event)
                if isinstance(event, ApprovalEvent) and chat._own.confirm == "deny":
                    view.flush()
                    decide(chat, event)
                message = event.message if isinstance(event, DoneEvent) else None
    except BaseException as error:
        end(chat, stream, view, error)
        raise
    if message is None:  # stopped while it waited in line, which no event tells
        message = stream.running.outcome.result()
        view.end("stopped")
    return message


def decide(chat: "Chat", event: ApprovalEvent) -> None:
    """Ask the person at the notebook about a call; without one, nothing is approved."""
    call = plain_segment(ToolRow(event.name, event.arguments, "?"))
    question = event.question or call.removeprefix("[tool] ").removesuffix(" -> ?")
    always = "" if event.question else ", [a]lways in this chat"
    try:
        said = input(f"{one_line(question, 500)}\n[y]es{always}, or no: ").strip().lower()
    except (EOFError, NotImplementedError, OSError):  # nbconvert and the like have no input
        said = ""
    with suppress(ConfigError):  # somebody else was faster
        if said in ("y", "yes", "a", "always"):
            chat.approve(event.call_id, always=said.startswith("a") and not event.question)
        else:
            chat.deny(event.call_id)


def ticking(stream: "Stream", view: View) -> Iterator[Event]:
    """The stream's events; between them, and while none comes, the view ticks."""
    while True:
        try:
            event = stream.next_within(INTERVAL_S)
        except StopIteration:
            return
        if event is not None:
            yield event
        view.tick()


def end(chat: "Chat", stream: "Stream", view: View, error: BaseException) -> None:
    """Show what the store kept of a turn that ended early, else what was shown and why it ended."""
    message = kept(chat, stream)
    if message is not None:
        view.feed(DoneEvent(message.id, message))
    elif isinstance(error, KeyboardInterrupt):
        view.end("stopped")
    else:
        view.end(f"failed: {type(error).__name__}: {error}")


def kept(chat: "Chat", stream: "Stream") -> Message | None:
    """The assistant's message of that turn, None when the store has none."""
    with suppress(NbchatError):
        return next((m for m in chat.messages() if m.id == stream.message_id), None)
    return None
