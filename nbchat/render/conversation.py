"""A whole chat as one static transcript: safe HTML for a notebook's output, and its text twin.

Invariant: what a saved notebook holds of a chat is bounded. The oldest messages are left out
first, and the transcript says how many and where they are.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from nbchat.messages import Message
from nbchat.render.plain import clean, clip, escaped, joined, one_line
from nbchat.render.transcript import FAINT, framed, message_pieces, plain_message, render_note
from nbchat.render.values import NO_PICTURES, Pictures

WHO = {"user": "User", "assistant": "Assistant"}
MESSAGES = 200
SIZE = 300_000  # bytes of all messages: a host takes them in anew after every turn
HTML_LIMIT = 200_000  # characters of one message's HTML; a longer one is shown as cut text
PLAIN_LIMIT = 20_000  # characters of one message's text


def render_conversation(
    messages: Sequence[Message],
    *,
    title: str,
    store_path: str = "",
    pictures: Pictures = NO_PICTURES,
) -> str:
    """The chat's last messages as safe HTML, at most 200 of them and 300 KB.

    `store_path` is where the messages are that are not shown, `pictures` the bytes of those to
    be seen, by digest.
    """
    shown = last_shown(messages, lambda message: render_entry(message, pictures))
    earlier = earlier_of(len(messages) - len(shown), store_path)
    head = f"<div><strong>{escaped(one_line(title, 200))}</strong></div>"
    return framed([head, *([render_note(earlier)] if earlier else []), *shown])


def plain_conversation(messages: Sequence[Message], *, title: str, store_path: str = "") -> str:
    """The same as text; each message is cut after 20,000 characters."""
    shown = last_shown(messages, plain_entry)
    earlier = earlier_of(len(messages) - len(shown), store_path)
    note = [f"[{clean(earlier)}]"] if earlier else []
    return "\n\n".join([one_line(title, 200), *note, *shown])


def last_shown(messages: Sequence[Message], entry_of: Callable[[Message], str]) -> list[str]:
    """The entries of the last messages, in order, as many as the bounds let in."""
    entries: list[str] = []
    size = 0
    for message in reversed(messages[-MESSAGES:]):
        entry = entry_of(message)
        size += len(entry.encode(errors="replace"))
        if size > SIZE:
            break
        entries.append(entry)
    return entries[::-1]


def earlier_of(count: int, store_path: str) -> str:
    """That messages are not shown, in words; '' when all are."""
    if not count:
        return ""
    where = f": {store_path}" if store_path else ""
    which = "1 earlier message is" if count == 1 else f"{count:,} earlier messages are"
    return f"{which} not shown here but in the store{where}"


def render_entry(message: Message, pictures: Pictures = NO_PICTURES) -> str:
    """A message beneath who said it and when."""
    time = time_of(message.created_at)
    when = f" <span {FAINT}>{time}</span>" if time else ""
    who = f"<div><strong>{WHO[message.role]}</strong>{when}</div>"
    removed = removed_of(message)
    note = render_note(removed) if removed else ""
    is_answer = message.role == "assistant"
    body = "".join(message_pieces(message, footer=is_answer, pictures=pictures))
    if len(body) > HTML_LIMIT and pictures:
        return render_entry(message)
    if len(body) > HTML_LIMIT:
        body = f"<pre>{escaped(clip(plain_message(message), PLAIN_LIMIT))}</pre>"
    return f'<hr><div class="nbchat-entry">{who}{note}{body}</div>'


def plain_entry(message: Message) -> str:
    """The same as text."""
    who = joined([WHO[message.role], time_of(message.created_at)])
    text = plain_message(message, footer=message.role == "assistant")
    lines = [f"{who}:", removed_of(message), clip(text, PLAIN_LIMIT)]
    return "\n".join(line for line in lines if line)


def removed_of(message: Message) -> str:
    """That the message's content was removed, in words; '' while it is here."""
    if message.content_removed_at is None:
        return ""
    return f"What was said was removed, or not kept ({time_of(message.content_removed_at)})."


def time_of(time: datetime | None) -> str:
    """The time to the second, '' for none."""
    return f"{time:%Y-%m-%d %H:%M:%S} UTC" if time else ""
