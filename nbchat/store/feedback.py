"""What a person thinks of an answer: one row per message, changed in place.

A table of its own, for an old row of `messages` is never updated. Each function is part of one
transaction's work.
"""

from nbchat.store.file import Cursor
from nbchat.store.values import clean, utc_now


def save_feedback(
    cursor: Cursor, chat_id: str, message_id: str, rating: int | None, note: str | None
) -> None:
    """Store the rating and the note; neither takes back what was said."""
    now = utc_now()
    made = cursor.execute(
        'select "created_at" from "feedback" where "message_id" = ?', [message_id]
    ).fetchall()
    cursor.execute('delete from "feedback" where "message_id" = ?', [message_id])
    if rating is None and not note:
        return
    cursor.execute(
        """
        insert into "feedback" (
          "message_id", "chat_id", "rating", "note", "created_at", "updated_at"
        ) values (?, ?, ?, ?, ?, ?)
        """,
        [
            message_id,
            chat_id,
            rating,
            clean(note) if note else None,
            made[0][0] if made else now,
            now,
        ],
    )
