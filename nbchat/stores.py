"""What is asked of a whole store, or done to it: public functions that take `store=`.

Composition only: the store keeps, analytics answers. `store=` is a Store, a path, or nothing
for the default one.
"""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from nbchat.analytics import search as find
from nbchat.analytics import usage
from nbchat.errors import StoreError
from nbchat.store import StorePlace, compact_at, open_store
from nbchat.store.chats import delete_chat_rows, load_chat_row

if TYPE_CHECKING:
    import pandas


def list_chats(
    *,
    archived: bool | None = False,
    metadata: Mapping[str, Any] | None = None,
    limit: int | None = None,
    store: StorePlace = None,
    table_names: Mapping[str, str] | None = None,
) -> "pandas.DataFrame":
    """One row per chat, pinned ones first, then the latest: id, name, model, turns, cost_usd ...

    Pinned ones come before all others. Archived chats are left out; `archived=True` gives
    only these, None both. `metadata` keeps
    the chats that have these values (7 is not "7"), `limit` the latest so many. The cost of a
    chat whose requests are not recorded is NA.
    """
    place = open_store(store, table_names=table_names)
    return usage.chats(place, archived=archived, metadata=metadata, limit=limit)


def delete_chat(
    id_or_name: str,
    *,
    store: StorePlace = None,
    table_names: Mapping[str, str] | None = None,
) -> None:
    """Delete a chat and everything that belongs to it; raises StoreError if there is none.

    Of several chats of one name the latest is deleted. The text leaves the bytes of the file
    only with the store's compact().
    """

    def delete(cursor: Any) -> str:
        row = load_chat_row(cursor, str(id_or_name))
        if row is None:
            raise StoreError(
                f"No chat is called {id_or_name!r}. list_chats() shows those there are."
            )
        delete_chat_rows(cursor, row.id)
        return row.id

    place = open_store(store, table_names=table_names)
    place.drop_kept([place.transact(delete)])


def search(
    text: str,
    *,
    store: StorePlace = None,
    metadata: Mapping[str, Any] | None = None,
    since: usage.Time | None = None,
    until: usage.Time | None = None,
    limit: int = 20,
    table_names: Mapping[str, str] | None = None,
) -> "pandas.DataFrame":
    """One row per message, or chat by its name and metadata, that has all the words; best first.

    Columns: chat_id, name, message_id (NA for a hit in the chat's own name or metadata), turn,
    role, snippet (one line around the first match), score (higher is better), created_at.
    Case does not matter, a word matches inside a longer one too, and "quoted words" are one
    term; all else is literal. A word weighs more in a name than in a message. Archived chats are
    found, removed content is not. `metadata` keeps chats that have these values (7 is not "7"),
    `since` and `until` (excluded) what was said, or chats that were created, in between.

    Where more than 2,000 messages match (or `limit`, if that is more), only the newest of them
    are ranked. Other English forms of a word are found too from nbchat.sql("load fts", write=True)
    until the store is closed. Raises ConfigError for text without a word.
    """
    place = open_store(store, table_names=table_names)
    return find.search(place, text, metadata=metadata, since=since, until=until, limit=limit)


def stats(
    by: str | None = None,
    since: usage.Time | None = None,
    until: usage.Time | None = None,
    *,
    store: StorePlace = None,
    table_names: Mapping[str, str] | None = None,
) -> "pandas.DataFrame":
    """What the whole store used: one row, or one per model, turn, tool, day, status, chat,
    provider, agent or `metadata.KEY`, the key first."""
    place = open_store(store, table_names=table_names)
    return usage.usage(place, by, since=since, until=until)


def sql(
    question: str,
    params: Any = None,
    *,
    store: StorePlace = None,
    frames: Mapping[str, Any] | None = None,
    write: bool = False,
    max_rows: int | None = None,
    timeout: float | None = None,
    max_memory: str | int | None = None,
    table_names: Mapping[str, str] | None = None,
) -> "pandas.DataFrame":
    """The answer to one read-only question about the store, as a frame.

    `frames` are pandas frames the SQL may name; `write=True` runs any SQL. A running question
    keeps other notebooks waiting: `timeout` (seconds), `max_rows` and `max_memory` (bytes, or
    "512MB") bound what it takes, and are for SQL that a model wrote. Raises SqlRefused.
    """
    return open_store(store, table_names=table_names).sql(
        question, params, frames=frames, write=write,
        max_rows=max_rows, timeout=timeout, max_memory=max_memory,
    )  # fmt: skip


def purge(
    older_than: timedelta | date | str,
    *,
    content_only: bool = False,
    dry_run: bool = False,
    store: StorePlace = None,
    table_names: Mapping[str, str] | None = None,
) -> "pandas.DataFrame":
    """One row of counts, by table, of what was removed from turns that began before some time.

    As the store's own purge(): whole turns, or with `content_only=True` what was said in them.
    A chat that was never asked anything goes by its creation.
    """
    place = open_store(store, table_names=table_names)
    return place.purge(older_than, content_only=content_only, dry_run=dry_run)


def compact(*, store: StorePlace = None) -> "pandas.DataFrame":
    """The file's bytes_before and bytes_after, written anew without what was deleted."""
    return compact_at(store)


def doctor(
    *,
    repair: bool = False,
    store: StorePlace = None,
    table_names: Mapping[str, str] | None = None,
) -> "pandas.DataFrame":
    """One row per check of the store: what is wrong, and what was repaired."""
    return open_store(store, table_names=table_names).doctor(repair=repair)
