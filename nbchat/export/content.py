"""What an export holds: a chat, its current branch and its records, read at one moment.

Invariant: keys that this process knows by now are not in it, also where they were stored
before they were known. Which words describe it is decided here, how they look is not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

from nbchat.errors import StoreError
from nbchat.messages import Message
from nbchat.render.card import cost_in_words
from nbchat.render.conversation import time_of
from nbchat.render.plain import joined
from nbchat.render.transcript import render_footer
from nbchat.render.values import Pictures
from nbchat.store import Store
from nbchat.store.attachments import digests_of, load_attachments
from nbchat.store.chats import ChatRow, load_chat_row
from nbchat.store.records import Record, load_requests, load_tool_calls
from nbchat.store.turns import load_messages
from nbchat.store.values import clean

PICTURE_BYTES = 2_000_000  # a picture that takes more is named only


@dataclass(frozen=True, slots=True)
class Content:
    """A chat with the current branch's messages, and what was recorded of all its branches.

    `pictures` are the bytes of the branch's pictures, by digest.
    """

    chat: ChatRow
    messages: tuple[Message, ...]
    tool_calls: tuple[Record, ...] = ()
    requests: tuple[Record, ...] = ()
    pictures: Pictures = field(default_factory=dict)


def load_content(store: Store, chat_id: str) -> Content:
    """The chat and its messages without secrets; raises StoreError for one that is gone."""

    def load(cursor: Any) -> Content:
        row = load_chat_row(cursor, chat_id)
        if row is None:
            raise StoreError(f"Chat {chat_id} is no longer in the store, so it was not exported.")
        messages = tuple(load_messages(cursor, chat_id, row.head_message_id))
        return Content(
            row,
            messages,
            load_tool_calls(cursor, chat_id),
            load_requests(cursor, chat_id),
            load_attachments(cursor, digests_of(messages), most_bytes=PICTURE_BYTES),
        )

    content: Content = without_secrets(store.read(load))
    return content


def without_secrets(value: Any) -> Any:
    """The value with every text in it as it might be stored now."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {clean(key): without_secrets(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(without_secrets, value))
    if is_dataclass(value) and not isinstance(value, type):
        return replace(
            value,
            **{each.name: without_secrets(getattr(value, each.name)) for each in fields(value)},
        )
    return value


def title_of(content: Content) -> str:
    """What the chat is called."""
    return content.chat.name or f"Chat with {content.chat.model}"


def facts_of(content: Content) -> dict[str, str]:
    """What there is to say of the chat as a whole, by what it is."""
    chat = content.chat
    return {
        "Model": chat.model,
        "Started": time_of(chat.created_at),
        "Last turn": time_of(chat.updated_at),
        "Chat": chat.id,
    }


def totals_of(content: Content) -> str:
    """The sum of the messages on one line; a cost that is not wholly known says so."""
    answers = [message for message in content.messages if message.role == "assistant"]
    turns = len({message.turn for message in content.messages})
    costs = [answer.cost_usd for answer in answers if answer.cost_usd is not None]
    # what a failed turn cost is no message's
    failed = any(message.status == "failed" for message in content.messages)
    tokens = render_footer(
        input_tokens=_sum(answer.input_tokens for answer in answers),
        output_tokens=_sum(answer.output_tokens for answer in answers),
    )
    cost = cost_in_words(sum(costs) if costs else None, len(costs) == len(answers) and not failed)
    return joined([f"{turns:,} turn{'' if turns == 1 else 's'}", tokens, cost if turns else None])


def _sum(counts: Any) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
