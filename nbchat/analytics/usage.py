"""Usage and cost: of a chat or the whole store, in all or by a key."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from nbchat.analytics.conditions import checked_limit, metadata_json
from nbchat.analytics.run import answer
from nbchat.errors import ConfigError
from nbchat.store import Store

if TYPE_CHECKING:
    import pandas

CHAT_KEYS = ("model", "turn", "tool", "day", "status")
STORE_KEYS = (*CHAT_KEYS, "chat", "provider", "agent")

Time = str | date | datetime


def usage(
    store: Store,
    by: str | None = None,
    *,
    chat_id: str | None = None,
    since: Time | None = None,
    until: Time | None = None,
) -> "pandas.DataFrame":
    """Turns, requests, tokens, cost and time: one row, or one per key with the key first.

    Sums skip what is unknown; a sum of nothing known is NA, and `cost_complete` says
    whether every request had a price. An empty store gives zeros, or no rows with `by`.
    What none of a row's chats records (`persist=`) is NA, never 0; where only some do, it is
    the sum of theirs, and the cost is not complete. Raises ConfigError for an unknown key.
    """
    _check(by, CHAT_KEYS if chat_id else STORE_KEYS)
    bounds = {"chat_id": chat_id, "since": utc_of(since, "since"), "until": utc_of(until, "until")}
    if by == "tool":
        return answer(store, "usage_by_tool", **bounds)
    if by is None:
        return _in_all(store, bounds)
    key, _, field = by.partition(".")
    return _named(answer(store, "usage", by=key, field=field or None, **bounds), by)


def _in_all(store: Store, bounds: Mapping[str, Any]) -> "pandas.DataFrame":
    """One row, from the quickest question that knows it."""
    frame = answer(store, "usage_in_all", **bounds)
    if frame.empty:
        frame = answer(store, "usage", by=None, field=None, **bounds).drop(columns="key")
    return answer(store, "usage_of_nothing", chat_id=bounds["chat_id"]) if frame.empty else frame


def _check(by: str | None, keys: tuple[str, ...]) -> None:
    is_whole = keys is STORE_KEYS
    is_metadata = isinstance(by, str) and by.startswith("metadata.") and len(by) > len("metadata.")
    if by is not None and by not in keys and not (is_metadata and is_whole):
        known = ", ".join(keys) + (", metadata.KEY" if is_whole else "")
        raise ConfigError(f"stats cannot be grouped by {by!r}. Use one of: {known}.")


def utc_of(time: Time | None, name: str) -> datetime | None:
    """The time without a zone, in UTC, as the store has it."""
    if time is None:
        return None
    try:
        if isinstance(time, str):
            time = datetime.fromisoformat(time)
        if not isinstance(time, datetime):
            time = datetime(time.year, time.month, time.day)
    except (ValueError, AttributeError):
        raise ConfigError(
            f"{name}={time!r} is not a time. Give a date, a datetime or ISO text."
        ) from None
    return time.astimezone(UTC).replace(tzinfo=None) if time.tzinfo else time


def _named(frame: "pandas.DataFrame", by: str) -> "pandas.DataFrame":
    """The key column under its name and with its type."""
    import pandas as pd  # takes longer to load than all of nbchat

    if by == "turn":
        frame["key"] = pd.to_numeric(frame["key"]).astype("Int64")
    if by == "day":
        frame["key"] = pd.to_datetime(frame["key"], utc=True).astype("datetime64[us, UTC]")
    return frame.rename(columns={"key": by})


def chats(
    store: Store,
    *,
    archived: bool | None = False,
    metadata: Mapping[str, Any] | None = None,
    limit: int | None = None,
) -> "pandas.DataFrame":
    """One row per chat, pinned ones first, then the latest: id, name, model, turns, cost, times.

    `archived` None gives those that were put away and those that were not.
    """
    if archived not in (None, True, False):
        raise ConfigError(f"archived={archived!r} is none of True, False and None (for both).")
    return answer(
        store, "chats",
        archived=archived, metadata=metadata_json(metadata),
        limit=None if limit is None else checked_limit(limit),
    )  # fmt: skip


def feedback(store: Store, chat_id: str) -> "pandas.DataFrame":
    """One row per rated answer of a chat, in order."""
    return answer(store, "feedback", chat_id=chat_id)


def chat_messages(store: Store, chat_id: str) -> "pandas.DataFrame":
    """One row per message of a chat, in order."""
    return answer(store, "messages", chat_id=chat_id)
