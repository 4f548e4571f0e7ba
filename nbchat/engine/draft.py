"""The assistant's message while its turn runs: what is whole, what arrives, what it took.

Values only. Invariant: the content is the text that was shown, unless middleware changed it,
and a snapshot is what the store may hold at any moment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from nbchat.engine.record import parts_of_round, sum_rows, thinking_of
from nbchat.exchange import Reply
from nbchat.messages import JSON, Attachment, Message, Part, text_of
from nbchat.store.rows import RequestRow
from nbchat.store.turns import Begun
from nbchat.store.values import aware, utc_now


class Draft:
    """One message that grows; one that goes on begins with what its turn had stored.

    `pictures` are those of results that are not stored yet, by digest.
    """

    def __init__(self, begun: Begun) -> None:
        self._message = replace(begun.assistant, error=None)
        self.parts: list[Part] = list(begun.assistant.parts)
        self.rows: list[RequestRow] = list(begun.requests)
        self.pictures: dict[str, Attachment] = {}
        self.finish_reason = begun.assistant.finish_reason
        self._cut_off: Sequence[Part] = begun.cut_off
        self._raw: list[JSON] = list(begun.assistant.raw)
        self._said = [text_of(self.parts)]
        self._whole = len(self._said)

    @property
    def text(self) -> str:
        """The text that was shown so far."""
        return "".join(self._said)

    @property
    def last_round(self) -> int:
        """The number of the last whole round, 0 for none."""
        return self.parts[-1].round if self.parts else 0

    def say(self, text: str) -> None:
        """Take text that was shown."""
        self._said.append(text)

    def add_round(
        self, reply: Reply, number: int, raw: Mapping[str, JSON] | None, *, changed: bool
    ) -> None:
        """Take a whole reply; one that middleware changed says what it says now."""
        self.finish_reason = reply.finish_reason
        self.parts += parts_of_round(reply, number)
        self._cut_off = ()
        if changed:
            self._said[self._whole :] = [text_of(reply.parts)]
        self._whole = len(self._said)
        if raw is not None:
            self._raw.append(raw)

    def attempts_in(self, number: int) -> int:
        """How many attempts the round took so far."""
        return max((row.attempt for row in self.rows if row.round == number), default=0)

    def snapshot(self, arriving: Sequence[Part] = (), status: str = "pending") -> Message:
        """The message as it stands; ended early it keeps a cut-off reply that none replaced."""
        ends_early = status in ("stopped", "interrupted")
        cut_off = self._cut_off if ends_early and not arriving else ()
        parts = (*self.parts, *arriving, *cut_off)
        counted: dict[str, Any] = {**sum_rows(self.rows), **thinking_of(parts)}
        return replace(
            self._message,
            status=status,
            content=self.text + text_of(cut_off),
            parts=parts,
            raw=tuple(self._raw),
            finish_reason=self.finish_reason,
            finished_at=None if status == "pending" else aware(utc_now()),
            **counted,
        )
