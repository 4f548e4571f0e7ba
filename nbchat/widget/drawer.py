"""The chats of a store as rows of the drawer: listed, or found by words.

Reads only; each function is one question to the store.
"""

from typing import Any

from nbchat.analytics import search as find
from nbchat.analytics import usage
from nbchat.errors import ConfigError
from nbchat.render.plain import money, one_line
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
            "model": row["model"],
            "turns": int(row["turns"] or 0),
            "cost": "" if row["cost_usd"] is None else money(row["cost_usd"]),
            "when": row["updated_at"].isoformat(),
            "pinned": bool(row.get("pinned")),
            "here": row["id"] == here,
            "snippet": (snippets or {}).get(row["id"], ""),
        }
        for row in listed
    ]


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
