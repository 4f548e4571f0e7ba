"""Answers that could not be stored wait beside the file, and are taken in when it opens.

One JSON file per message in `PATH.spool`, readable by its owner only, whole or not there.
Taking one in twice does no harm, so a crash between the commit and the removal costs nothing.
"""

import base64
import contextlib
import json
import os
from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from nbchat.exchange import Usage
from nbchat.messages import Attachment, Message, part_from_json, part_to_json
from nbchat.store.attachments import save_attachments
from nbchat.store.chats import load_chat_row
from nbchat.store.file import Cursor
from nbchat.store.persist import WHOLE
from nbchat.store.rows import RequestRow
from nbchat.store.turns import put_message, save_request
from nbchat.store.values import MESSAGE_COLUMNS, dump_json

TIMES = ("created_at", "finished_at", "content_removed_at")


def keep(
    folder: Path,
    tables: str,
    message: Message,
    requests: Sequence[RequestRow],
    pictures: Sequence[Attachment] = (),
) -> Path:
    """Write the message with its requests and pictures; `tables` says whose they are."""
    folder.mkdir(mode=0o700, exist_ok=True)
    place = folder / f"{message.id}.json"
    waiting = place.with_suffix(".tmp")
    text = dump_json(
        {
            "tables": tables,
            "message": _message_json(message),
            "requests": [asdict(request) for request in requests],
            "pictures": [_picture_json(picture) for picture in pictures],
        }
    )
    try:
        with open(os.open(waiting, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(waiting, place)
    except OSError:
        remove(waiting)  # a half would stay for ever
        raise
    return place


def waiting(folder: Path) -> list[Path]:
    """The files that wait to be taken in, in the order of their messages."""
    return sorted(folder.glob("*.json"))


def take_in(cursor: Cursor, place: Path, tables: str) -> bool:
    """Store the answer in this file; False leaves it where it is.

    It is for other tables, its chat is not in this store, or it cannot be read.
    """
    try:
        record = json.loads(place.read_text(encoding="utf-8"))
        message = _message_of(record["message"])
        requests = [_request_of(request) for request in record["requests"]]
        pictures = [_picture_of(picture) for picture in record.get("pictures", ())]
        is_ours = record["tables"] == tables
    except Exception:  # it is a file, and may be anything
        return False
    if not is_ours or load_chat_row(cursor, message.chat_id) is None:
        return False
    save_attachments(cursor, pictures)
    put_message(cursor, _with_room(cursor, message))
    for request in requests:
        save_request(cursor, message, request, WHOLE)
    return True


def _with_room(cursor: Cursor, message: Message) -> Message:
    """The answer right after its question, though the chat may have gone on without it."""
    cursor.execute(
        """
        update "messages" set "parent_id" = $id
        where "parent_id" = $parent_id and "chat_id" = $chat_id and "role" = 'user'
        """,
        {"id": message.id, "parent_id": message.parent_id, "chat_id": message.chat_id},
    )
    others = cursor.execute(
        'select "seq", "id" = ? from "messages" where "chat_id" = ? and "id" <> ?',
        [message.parent_id, message.chat_id, message.id],
    ).fetchall()
    last = max((seq for seq, _ in others), default=0)
    asked = max((seq for seq, is_parent in others if is_parent), default=last)
    if asked < message.seq and message.seq not in {seq for seq, _ in others}:
        return message
    seq = asked + 1
    cursor.execute(
        'update "messages" set "seq" = "seq" + 1 where "chat_id" = ? and "seq" >= ?',
        [message.chat_id, seq],
    )
    return replace(message, seq=seq)


def drop_chats(folder: Path, chat_ids: Collection[str]) -> None:
    """Remove what waits for these chats, which nothing will take in once they are deleted."""
    for place in waiting(folder) if chat_ids else ():
        if _chat_of(place) in chat_ids:
            remove(place)


def _chat_of(place: Path) -> str | None:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return str(json.loads(place.read_text(encoding="utf-8"))["message"]["chat_id"])
    return None


def remove(place: Path) -> None:
    """Remove what was taken in, and the folder once it is empty."""
    with contextlib.suppress(OSError):
        place.unlink(missing_ok=True)
        place.parent.rmdir()


def _message_json(message: Message) -> dict[str, Any]:
    values = {column: getattr(message, column) for column in MESSAGE_COLUMNS}
    return {**values, "parts": [part_to_json(part) for part in message.parts]}


def _message_of(values: dict[str, Any]) -> Message:
    parts = tuple(part_from_json(part) for part in values["parts"])
    said = {name: values.get(name) for name in TIMES}  # an earlier nbchat wrote fewer
    times = {name: time and datetime.fromisoformat(time) for name, time in said.items()}
    return Message(**{**values, "parts": parts, "raw": tuple(values["raw"]), **times})


def _picture_json(picture: Attachment) -> dict[str, Any]:
    return {**asdict(picture), "data": base64.b64encode(picture.data).decode()}


def _picture_of(values: dict[str, Any]) -> Attachment:
    return Attachment(**{**values, "data": base64.b64decode(values["data"])})


def _request_of(values: dict[str, Any]) -> RequestRow:
    cost, usage = values["cost_usd"], values["usage"]
    row = RequestRow(**values)
    return replace(
        row,
        started_at=datetime.fromisoformat(values["started_at"]),
        cost_usd=None if cost is None else Decimal(cost),
        usage=Usage(**{**usage, "cost_usd": None}),
    )
