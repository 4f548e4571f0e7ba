"""A whole conversation as static HTML and as text, for the notebook's file.

Invariant: it needs no script, no style sheet, no kernel and no trust; it stays small enough for
a notebook, and says what it leaves out. The HTML and the text say the same.
"""

from collections.abc import Callable, Sequence

from nbchat.messages import Message
from nbchat.render.plain import clip, escaped, one_line
from nbchat.render.transcript import framed, plain_message, render_message, render_note

MOST_MESSAGES = 200
MOST_CHARS = 1_000_000
WHO = {"user": "You", "assistant": "Assistant"}


def render_conversation(messages: Sequence[Message], *, title: str) -> str:
    """The conversation as safe HTML: the latest messages, as many as a notebook should hold."""
    pieces, left_out = latest(messages, _article)
    head = f"<p><strong>{escaped(one_line(title, 200))}</strong></p>"
    note = [render_note(_left_out(left_out))] if left_out else []
    return framed([head, *note, *pieces])


def plain_conversation(messages: Sequence[Message], *, title: str) -> str:
    """The same as text."""
    pieces, left_out = latest(messages, _paragraph)
    note = [f"[{_left_out(left_out)}]"] if left_out else []
    return "\n\n".join([one_line(title, 200), *note, *pieces])


def latest(messages: Sequence[Message], draw: Callable[[Message], str]) -> tuple[list[str], int]:
    """The last messages drawn, within the budget, and how many earlier ones are left out."""
    pieces: list[str] = []
    size = 0
    for message in reversed(messages[-MOST_MESSAGES:]):
        piece = draw(message)
        size += len(piece)
        if size > MOST_CHARS and pieces:
            break
        pieces.append(piece if len(piece) <= MOST_CHARS else clip_message(message))
    return pieces[::-1], len(messages) - len(pieces)


def clip_message(message: Message) -> str:
    """A single message that is too long for a notebook, as escaped text that is cut."""
    return f"<pre>{escaped(clip(message.content, MOST_CHARS // 10))}</pre>"


def _left_out(count: int) -> str:
    return f"{count:,} earlier message{' is' if count == 1 else 's are'} in the store only"


def _article(message: Message) -> str:
    who = WHO.get(message.role, message.role)
    body = render_message(message, footer=message.role == "assistant")
    return f"<p><strong>{who}</strong></p>{body}"


def _paragraph(message: Message) -> str:
    who = WHO.get(message.role, message.role)
    return f"{who}: {plain_message(message, footer=message.role == 'assistant')}"
