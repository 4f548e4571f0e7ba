"""What can be done with a chat's turns beside asking: its branches, its copy, what people think.

Composition only: the store does each of it in one transaction.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from nbchat.analytics import usage
from nbchat.asking import copied, kept_of
from nbchat.chosen import Chosen, hide_keys
from nbchat.errors import ConfigError
from nbchat.options import checked_text
from nbchat.store import Store
from nbchat.store.branches import (
    answer_id,
    delete_turn_rows,
    fork_rows,
    recall_copies,
    sibling_ids,
    switch_branch,
)
from nbchat.store.chats import ChatRow, load_chat_row
from nbchat.store.feedback import save_feedback

if TYPE_CHECKING:
    import pandas

RATINGS = {1: 1, -1: -1, 0: None, None: None}


class Branching(Chosen):
    """A chat's branches: turns that were asked again stand beside each other, none is lost."""

    @classmethod
    def _from_row(cls, store: Store, row: ChatRow) -> Self:
        raise NotImplementedError

    def switch(self, message_id: str) -> Self:
        """Go on with the branch through this message, where that was last active.

        Raises ConfigError if the message is not in this chat, ChatBusy while a turn runs.
        """
        self.store.transact(lambda cursor: switch_branch(cursor, self.id, message_id))
        return self

    def siblings(self, message_id: str) -> list[str]:
        """The ids of the questions asked in the place of this message's turn, in their order.

        One that was neither retried nor edited is alone. Each can be given to `switch`.
        """
        return self.store.read(lambda cursor: sibling_ids(cursor, self.id, message_id))

    def fork(self, at: str | None = None) -> Self:
        """A new chat that begins as this one: up to that message's turn, or the whole branch.

        It has the same settings, metadata and tools, and copies of the messages; what they cost,
        and the rows of their tool calls, stay with this chat. Raises ChatBusy if the last turn
        to be copied is running.
        """
        hide_keys()
        id_, ids = self.store.transact(lambda cursor: fork_rows(cursor, self.id, at))
        row = self.store.read(lambda cursor: load_chat_row(cursor, id_))
        assert row is not None
        fork = self._from_row(self.store, row)
        fork._own = replace(copied(self._own), remembered=recall_copies(self._own.remembered, ids))
        fork._hooks, fork._middleware = fork._own.hooks, fork._own.middleware
        return fork

    def delete_turn(self, message_id: str) -> Self:
        """Delete the turn of this message; what followed it follows the turn before.

        Its question, answer, tool calls and ratings go. Its requests stay, so that stats() still
        says what the chat cost. Raises ChatBusy while that turn runs.
        """
        self.store.transact(lambda cursor: delete_turn_rows(cursor, self.id, message_id))
        return self

    def rate(self, message_id: str, rating: int | None, note: str | None = None) -> Self:
        """Say what an answer is worth: 1, -1, or None (or 0) to take that back.

        `note` is why, in words. What is said last counts, rating and note together.
        """
        if isinstance(rating, bool | float) or rating not in list(RATINGS):
            raise ConfigError(f"rating={rating!r} is none. Give 1, -1, or None to take it back.")
        hide_keys()
        kept = kept_of(self._settings, self._own).text(checked_text(note, "note"))

        def save(cursor: Any) -> None:
            answer = answer_id(cursor, self.id, message_id)
            save_feedback(cursor, self.id, answer, RATINGS[rating], kept)

        self.store.transact(save)
        return self

    def feedback(self) -> "pandas.DataFrame":
        """One row per answer that was rated: message_id, turn, rating, note and times."""
        return usage.feedback(self.store, self.id)
