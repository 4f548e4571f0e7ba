"""What the page shows of a chat, as the JSON of the protocol's table.

Pure: messages and numbers in, plain dicts out. HTML is made by the one rendering pipeline.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from nbchat.messages import Image, Message, attached_in, text_of
from nbchat.render.blocks import message_blocks
from nbchat.render.plain import clean, money, one_line
from nbchat.render.transcript import ToolRow, footer_of, status_of
from nbchat.store.shown import Surroundings

JSONObject = dict[str, Any]
UNNAMED = "Untitled chat"
TITLE = 80


def shown_message(
    message: Message, around: Surroundings, blocks: list[JSONObject] | None = None
) -> JSONObject:
    """The message as a row of the page; `blocks` in place of its own while it is on its way.

    An answer goes without its source: who copies it asks for it.
    """
    is_user = message.role == "user"
    rating, note = around.ratings.get(message.id, (0, ""))
    family = around.siblings.get(message.id, (message.id,)) if is_user else ()
    return {
        "id": message.id,
        "role": message.role,
        "turn": message.turn,
        "blocks": stored_blocks(message, around) if blocks is None else blocks,
        "footer": "" if is_user or message.status == "pending" else footer_of(message),
        "state": message.status,
        "note": "" if message.status == "pending" else clean(status_of(message)),
        "retry": message.status in ("failed", "stopped", "interrupted"),
        "at": message.created_at.isoformat() if message.created_at else "",
        "sib": sibling_place(message.id, family),
        "rating": rating,
        "note_text": clean(note),
        "text": source_of(message) if is_user else None,
    }


def source_of(message: Message) -> str:
    """The message's text as it was written, for copying and editing."""
    return clean(text_of(message.parts) or message.content)


def images_of(message: Message) -> list[Image]:
    """The pictures that were sent with the message, and those that its tools returned."""
    return [part for part in attached_in(message.parts) if isinstance(part, Image)]


def stored_blocks(message: Message, around: Surroundings) -> list[JSONObject]:
    """The blocks of a stored message, its calls with what their rows know."""
    rows = [
        ToolRow(
            call.name, {}, "" if call.status == "pending" else call.status,
            tool_call_id=call.tool_call_id, call_id=call.id, is_open=call.waits, asks=call.waits,
            duration_ms=call.duration_ms,
        )
        for call in around.calls.get(message.id, ())
    ]  # fmt: skip
    return message_blocks(message, rows=rows)


def sibling_place(id_: str, family: Sequence[str]) -> JSONObject | None:
    """Where the message stands among those asked in its place; None for the only one."""
    if len(family) < 2:
        return None
    return {"at": family.index(id_) + 1, "of": len(family), "ids": list(family)}


def title_of(name: str | None, first: str = "") -> str:
    """What the chat is called: its name, else the beginning of its first question."""
    return one_line(name or first, TITLE) or UNNAMED


def header_of(
    used: Mapping[Any, Any],
    *,
    id_: str,
    title: str,
    model: str,
    context: int | None,
    limit: int | None,
) -> JSONObject:
    """The head of the panel; `used` is the row of the chat's stats, None for what is unknown."""
    return {
        "id": id_,
        "title": title,
        "model": model,
        "tokens": tokens_in_words(used),
        "cost": cost_in_words(used),
        "context": {"used": context, "limit": limit, "text": context_in_words(context, limit)},
    }


def tokens_in_words(used: Mapping[Any, Any]) -> str:
    """Tokens in and out; '' before the first request, or when nobody knows either."""
    counts = [used.get("input_tokens"), used.get("output_tokens")]
    if not used.get("requests") or counts == [None, None]:
        return ""
    went_in, came_out = ("?" if count is None else f"{count:,}" for count in counts)
    return f"{went_in} in / {came_out} out"


def cost_in_words(used: Mapping[Any, Any]) -> str:
    """What the chat cost, as far as it is known; '' before the first request."""
    if not used.get("requests"):
        return ""
    cost = used.get("cost_usd")
    if cost is None:
        return "cost unknown"
    return money(cost) if used.get("cost_complete") else f"{money(cost)} or more"


def context_in_words(used: int | None, limit: int | None) -> str:
    """How much of the model's context the last request filled; '' when nobody knows."""
    if used is None:
        return ""
    if not limit:
        return f"{used:,} tokens of context"
    return f"{used / limit:.0%} of {limit:,} tokens of context"
