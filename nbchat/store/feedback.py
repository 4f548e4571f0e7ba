"""Rows of `feedback`: what people think of answers. Each function is one transaction's work."""

from nbchat.store.file import Cursor
from nbchat.store.values import clean, utc_now


def save_feedback(
    cursor: Cursor, chat_id: str, message_id: str, rating: int | None, note: str | None
) -> None:
    """Have a message rated so from now on; with neither rating nor note it has no row."""
    if rating is None and note is None:
        cursor.execute('delete from "feedback" where "message_id" = ?', [message_id])
        return
    now = utc_now()
    said = note and clean(note)
    changed = cursor.execute(
        """
        update "feedback" set "rating" = ?, "note" = ?, "updated_at" = ? where "message_id" = ?
        """,
        [rating, said, now, message_id],
    ).fetchall()
    if changed != [(1,)]:
        cursor.execute(
            """
            insert into "feedback" (
              "message_id", "chat_id", "rating", "note", "created_at", "updated_at"
            ) values (?, ?, ?, ?, ?, ?)
            """,
            [message_id, chat_id, rating, said, now, now],
        )
