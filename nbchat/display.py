"""How a message and a chat show themselves as a cell's value: HTML and its plain-text twin.

Attached to their classes by the package, so that neither knows how it is drawn. Never
text/markdown: JupyterLab runs scripts from it.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbchat.messages import Message

if TYPE_CHECKING:
    from nbchat.chat import Chat


def message_bundle(message: Message, include: Any = None, exclude: Any = None) -> dict[str, str]:
    """A message with its numbers beneath."""
    from nbchat.render import transcript  # loads the Markdown libraries

    return {
        "text/html": transcript.render_message(message, footer=True),
        "text/plain": transcript.plain_message(message, footer=True),
    }


def chat_bundle(chat: "Chat", include: Any = None, exclude: Any = None) -> dict[str, str]:
    """A chat in one line: turns, tokens, cost, file."""
    from nbchat.render.card import plain_card, render_card

    used = chat.stats().astype(object).iloc[0]
    facts: dict[str, Any] = {
        "name": chat.name,
        "model": chat.model,
        "turns": used["turns"],
        "input_tokens": known(used["input_tokens"]),
        "output_tokens": known(used["output_tokens"]),
        "cost_usd": known(used["cost_usd"]),
        "cost_complete": bool(used["cost_complete"]),
        "store_path": short_path(chat.store.path),
        "is_recorded": known(used["requests"]) is not None,
    }
    return {"text/html": render_card(**facts), "text/plain": plain_card(**facts)}


def known(value: Any) -> Any:
    """The value, None for a frame's NA."""
    import pandas as pd  # loaded already, for the value came in a frame

    return None if pd.isna(value) else value


def short_path(path: str) -> str:
    """The path as seen from here, if it lies here."""
    place = Path(path)
    return str(place.relative_to(Path.cwd())) if place.is_relative_to(Path.cwd()) else path
