"""Images and files that were sent or returned by a tool: bytes by digest, once however often named.

Each function is part of one transaction's work.
"""

from collections.abc import Iterable

from nbchat.messages import Attachment, Message, attached_in
from nbchat.store.file import Cursor
from nbchat.store.values import utc_now


def digests_of(messages: Iterable[Message]) -> set[str]:
    """The digests that these messages name."""
    return {named.digest for message in messages for named in attached_in(message.parts)}


def save_attachments(cursor: Cursor, attachments: Iterable[Attachment]) -> None:
    """Store the bytes; those that are there already stay as they are."""
    for item in attachments:
        digest = item.digest
        cursor.execute(
            """
            insert into "attachments" (
              "digest", "media_type", "data", "bytes", "width", "height", "created_at"
            )
            select ?, ?, ?, ?, ?, ?, ?
            where not exists (select 1 from "attachments" where "digest" = ?)
            """,
            [
                digest, item.media_type, item.data, len(item.data), item.width, item.height,
                utc_now(), digest,
            ],
        )  # fmt: skip


def load_attachments(
    cursor: Cursor, digests: Iterable[str], *, most_bytes: int | None = None
) -> dict[str, bytes]:
    """The bytes of these digests, as far as they are here and none has more than `most_bytes`."""
    wanted = sorted(digests)
    if not wanted:
        return {}
    rows = cursor.execute(
        """
        select "digest", "data" from "attachments"
        where list_contains($digests, "digest") and ($most is null or "bytes" <= $most)
        """,
        {"digests": wanted, "most": most_bytes},
    ).fetchall()
    return {digest: bytes(data) for digest, data in rows}


def load_attachment(cursor: Cursor, digest: str) -> bytes | None:
    """The bytes of this digest, None when they are not here."""
    return load_attachments(cursor, [digest]).get(digest)


def drop_unused(cursor: Cursor) -> None:
    """Delete what no message names any more."""
    if not cursor.execute('select 1 from "attachments" limit 1').fetchall():
        return
    cursor.execute(
        """
        delete from "attachments" where "digest" not in (
          select unnest(list_concat("parts" ->> '$[*].digest', "parts" ->> '$[*].images[*].digest'))
          from "messages"
          where contains("parts"::varchar, '"digest"')
        )
        """
    )
