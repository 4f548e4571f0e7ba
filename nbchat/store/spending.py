"""What was spent so far, for whoever watches over a budget."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from nbchat.store.file import Cursor


@dataclass(frozen=True, slots=True)
class Spent:
    """US dollars of the priced requests, and how many requests have no known price."""

    usd: Decimal
    unpriced: int


def spent(cursor: Cursor, *, chat_id: str | None = None, since: datetime | None = None) -> Spent:
    """What the requests cost: of one chat or of all, since a time (UTC) or ever."""
    rows = cursor.execute(
        """
        select coalesce(sum("cost_usd"), 0)::decimal(18, 12), count(*) filter (not "is_priced")
        from "requests_priced"
        where ($chat_id is null or "chat_id" = $chat_id::uuid)
          and ($since is null or "started_at" >= $since::timestamp)
        """,
        {"chat_id": chat_id, "since": since},
    ).fetchall()
    return Spent(*rows[0])
