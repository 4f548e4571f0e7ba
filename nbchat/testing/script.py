"""A `respond=` function that plays a script: no network, no provider, no waiting."""

import threading
from collections import deque
from collections.abc import Iterable
from typing import Any

from nbchat.errors import NbchatError
from nbchat.exchange import Request


class Script:
    """Gives the next reply for every request; `requests` are those it has answered."""

    def __init__(self, replies: Iterable[Any]) -> None:
        self.requests: list[Request] = []
        self._replies = deque(replies)
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Any:
        with self._lock:
            self.requests.append(request)
            if not self._replies:
                played = len(self.requests) - 1
                raise NbchatError(f"The script has ended after {played} replies. Give it more.")
            reply = self._replies.popleft()
        return reply(request) if callable(reply) else reply


def scripted(replies: Iterable[Any]) -> Script:
    """A function for `respond=` that plays these replies in order, one per request.

    A reply is text, a part, a tool call, `Usage`, an exception, a list of these, an iterator
    of them (streamed item by item), or a function from the request to one of them.
    """
    return Script(replies)
