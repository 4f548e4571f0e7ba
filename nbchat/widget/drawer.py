"""The chats of a store as rows of the drawer: listed, or found by words.

Reads only; each function is one question to the store.
"""

from collections.abc import Mapping
from typing import Any

from nbchat.analytics import search as find
from nbchat.analytics import usage
from nbchat.errors import ConfigError
from nbchat.render.plain import joined, money, one_line
from nbchat.store import Store
from nbchat.store.shown import first_questions
from nbchat.widget.shown import title_of

MOST = 200


def rows(store: Store, query: str, here: str) -> list[dict[str, Any]]:
    """The chats, the pinned and the latest first; with words only those where they are found."""
    limit = None if query.strip() else MOST
    frame = usage.chats(store, archived=False, metadata=None, limit=limit).astype(object)
    listed = frame.where(frame.notna(), None).to_dict("records")
    snippets = found(store, query) if query.strip() else None
    if snippets is not None:
        order = list(snippets)
        listed = [row for row in listed if row["id"] in snippets]
        listed.sort(key=lambda row: order.index(row["id"]))
    listed = listed[:MOST]
    unnamed = [row["id"] for row in listed if not row["name"]]
    first = store.read(lambda cursor: first_questions(cursor, unnamed)) if unnamed else {}
    return [
        {
            "id": row["id"],
            "title": title_of(row["name"], first.get(row["id"], "")),
            "facts": facts_of(row),
            "when": row["updated_at"].isoformat(),
            "pinned": bool(row.get("pinned")),
            "here": row["id"] == here,
            "snippet": (snippets or {}).get(row["id"], ""),
        }
        for row in listed
    ]


def facts_of(row: Mapping[Any, Any]) -> str:
    """A chat's turns, cost and model, on one line."""
    turns, cost = int(row["turns"] or 0), row["cost_usd"]
    counted = "1 turn" if turns == 1 else f"{turns:,} turns"
    return joined([counted, None if cost is None else money(cost), row["model"]])


def found(store: Store, query: str) -> dict[str, str]:
    """The chats where the words are, best first, each with its best place."""
    try:
        hits = find.search(store, query, metadata=None, since=None, until=None, limit=MOST)
    except ConfigError:  # no word in it yet
        return {}
    places: dict[str, str] = {}
    for hit in hits.to_dict("records"):
        places.setdefault(hit["chat_id"], one_line(str(hit["snippet"]), 160))
    return places
