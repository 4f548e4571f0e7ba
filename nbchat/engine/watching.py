"""Who watches the turns of this process: every turn of a chat is told, whoever asked it.

Watchers are called on the engine's thread, in order, and must return at once. What one of them
raises is its own: a turn never fails because somebody looks on.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nbchat.events import Event
from nbchat.messages import Message

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class TurnBegun:
    """A turn has its two rows; `running` is whoever runs it."""

    user: Message
    assistant: Message
    running: Any


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """A turn is over and its rows are right; `error` is what its asker gets instead of a message.

    `began` is False for one that was stopped or refused before it had rows.
    """

    running: Any
    began: bool
    error: BaseException | None = None


Watcher = Callable[[Event | TurnBegun | TurnEnded], None]
_watchers: dict[Key, list[Watcher]] = {}


def watch(store_path: str, chat_id: str, watcher: Watcher) -> Callable[[], None]:
    """Have this watcher told of the chat's turns from now on; what is returned ends that."""
    watchers = _watchers.setdefault((store_path, chat_id), [])
    watchers.append(watcher)

    def end() -> None:
        with contextlib.suppress(ValueError):
            watchers.remove(watcher)
        if not watchers:
            _watchers.pop((store_path, chat_id), None)

    return end


def tell(store_path: str, chat_id: str, news: Event | TurnBegun | TurnEnded) -> None:
    """Tell whoever watches this chat."""
    for watcher in list(_watchers.get((store_path, chat_id), ())):
        with contextlib.suppress(Exception):
            watcher(news)
