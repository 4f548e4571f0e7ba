"""Branches of a chat: a turn asked again beside itself, another branch to go on with, a copy.

Invariant: a chat's head is the last message of its branch, and nothing here changes a message
that is there but for the parent of what follows a deleted turn. Each function is part of one
transaction's work.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from nbchat.errors import ChatBusy, ConfigError
from nbchat.messages import Message, Part, Text
from nbchat.store.attachments import drop_unused
from nbchat.store.chats import load_chat_row
from nbchat.store.file import Cursor
from nbchat.store.identity import new_id
from nbchat.store.turns import After, Begun, begin_turn, load_branch, recover
from nbchat.store.values import utc_now


@dataclass(frozen=True, slots=True)
class Node:
    """A message's place in its chat."""

    id: str
    parent_id: str | None
    turn: int
    role: str
    status: str


def begin_again(
    cursor: Cursor,
    chat_id: str,
    message_id: str | None,
    text: str | None,
    *,
    recall: Callable[[Message], Message],
    **common: Any,
) -> Begun:
    """The turn of a message, or the last one, begun once more beside itself.

    With text that is asked, and what else was sent with the question goes with it; without, the
    question as it was. `recall` fills in what was said and is not stored. Raises ConfigError
    where there is nothing to ask again.
    """
    recover(cursor, chat_id=chat_id)
    nodes = _nodes(cursor, chat_id)
    row = load_chat_row(cursor, chat_id)
    at = message_id or (row.head_message_id if row else None)
    if at is None:
        raise ConfigError("This chat has no turn to ask again. Ask something first.")
    asked = _question_of(nodes, at)
    user = recall(load_branch(cursor, chat_id, asked.id)[-1])
    if text is None and user.content_removed_at is not None:
        raise ConfigError("What was asked in this turn is not stored. Give it again with edit().")
    content = user.content if text is None else text
    parts = user.parts if text is None else _with_text(user.parts, text)
    return begin_turn(cursor, chat_id, parts, content, after=After(asked.parent_id), **common)


def _with_text(parts: tuple[Part, ...], text: str) -> tuple[Part, ...]:
    """The parts with this text where the first one was, and all that is no text."""
    at = next((at for at, part in enumerate(parts) if isinstance(part, Text)), 0)
    before, after = (
        tuple(part for part in some if not isinstance(part, Text))
        for some in (parts[:at], parts[at:])
    )
    return (*before, Text(text), *after)


def switch_branch(cursor: Cursor, chat_id: str, message_id: str) -> None:
    """Have the chat go on with the branch through this message that was last active."""
    nodes = _nodes(cursor, chat_id)
    node = _node_of(nodes, message_id)
    _refuse_pending(cursor, chat_id)
    _go_on_after(cursor, chat_id, _last_after(nodes, node.id))


def sibling_ids(cursor: Cursor, chat_id: str, message_id: str) -> list[str]:
    """The questions that were asked in one place, that of the message's turn among them."""
    nodes = _nodes(cursor, chat_id)
    asked = _question_of(nodes, message_id)
    return [
        node.id
        for node in nodes.values()
        if node.role == "user" and node.parent_id == asked.parent_id
    ]


def delete_turn_rows(cursor: Cursor, chat_id: str, message_id: str) -> None:
    """Delete a turn but for its requests: they were paid for, and stay in the chat's sums.

    What followed it follows what was before it. If nothing did, the chat goes on there.
    """
    nodes = _nodes(cursor, chat_id)
    asked = _question_of(nodes, message_id)
    _refuse_pending(cursor, chat_id, asked.turn)
    gone = [node.id for node in nodes.values() if node.turn == asked.turn]
    row = load_chat_row(cursor, chat_id)
    cursor.execute(
        'delete from "feedback" where "chat_id" = ? and list_contains(?::uuid[], "message_id")',
        [chat_id, gone],
    )
    for table in ("tool_calls", "messages"):
        cursor.execute(
            f'delete from "{table}" where "chat_id" = ? and "turn" = ?', [chat_id, asked.turn]
        )
    cursor.execute(
        """
        update "messages" set "parent_id" = ?
        where "chat_id" = ? and list_contains(?::uuid[], "parent_id")
        """,
        [asked.parent_id, chat_id, gone],
    )
    drop_unused(cursor)
    if row is not None and row.head_message_id in gone:
        _go_on_after(cursor, chat_id, _last_after(_nodes(cursor, chat_id), asked.parent_id))


def fork_rows(cursor: Cursor, chat_id: str, at: str | None) -> tuple[str, Mapping[str, str]]:
    """Copy a chat and its branch up to a message's turn; the new id, and new ids by old ones.

    Requests and tool calls are not copied: what was paid, and what ran, was so once.
    """
    row = load_chat_row(cursor, chat_id)
    head = row.head_message_id if row else None
    if at is not None:
        nodes = _nodes(cursor, chat_id)
        turn = _question_of(nodes, at).turn
        head = [node.id for node in nodes.values() if node.turn == turn][-1]
    branch = load_branch(cursor, chat_id, head)
    if branch and branch[-1].status == "pending":
        raise ChatBusy("The last turn to be copied is running. Wait for it, or stop it.")
    new = {message.id: new_id() for message in branch}
    fork_id, now = new_id(), utc_now()
    cursor.execute(
        """
        insert into "chats" by name
        select * replace (
          ?::uuid as "id", "name" || ' (fork)' as "name", ?::uuid as "head_message_id",
          ?::timestamp as "created_at", ?::timestamp as "updated_at",
          null::timestamp as "archived_at", null::timestamp as "pinned_at"
        )
        from "chats" where "id" = ?
        """,
        [fork_id, new.get(head or ""), now, now, chat_id],
    )
    turns = {turn: at for at, turn in enumerate(dict.fromkeys(m.turn for m in branch), start=1)}
    cursor.execute(
        """
        insert into "messages" by name
        select m.* replace (
          c."new_id" as "id", ?::uuid as "chat_id", c."new_parent_id" as "parent_id",
          c."new_seq" as "seq", c."new_turn" as "turn", null::uuid as "parent_tool_call_id"
        )
        from "messages" as m
        join (
          select
            unnest(?::uuid[]) as "old_id", unnest(?::uuid[]) as "new_id",
            unnest(?::uuid[]) as "new_parent_id", unnest(?::bigint[]) as "new_seq",
            unnest(?::bigint[]) as "new_turn"
        ) as c on c."old_id" = m."id"
        where m."chat_id" = ?
        order by c."new_seq"
        """,
        [
            fork_id, list(new), list(new.values()),
            [new.get(message.parent_id or "") for message in branch],
            list(range(1, len(branch) + 1)), [turns[message.turn] for message in branch], chat_id,
        ],
    )  # fmt: skip
    return fork_id, new


def recall_copies(remembered: Mapping[str, Message], new: Mapping[str, str]) -> dict[str, Message]:
    """What a chat remembers of messages, under the ids of their copies."""
    return {new[id_]: replace(m, id=new[id_]) for id_, m in remembered.items() if id_ in new}


def answer_id(cursor: Cursor, chat_id: str, message_id: str) -> str:
    """The id of an answer of this chat; raises for a message that is none, or not whole yet."""
    node = _node_of(_nodes(cursor, chat_id), message_id)
    if node.role != "assistant":
        raise ConfigError(f"Message {message_id!r} is a question. Rate the answer to it.")
    if node.status == "pending":
        raise ChatBusy("The answer to be rated is still coming. Wait for it.")
    return node.id


def _nodes(cursor: Cursor, chat_id: str) -> dict[str, Node]:
    """Every message of the chat by id, in order."""
    rows = cursor.execute(
        """
        select "id"::varchar, "parent_id"::varchar, "turn", "role", "status"
        from "messages"
        where "chat_id" = ?
        order by "seq"
        """,
        [chat_id],
    ).fetchall()
    return {row[0]: Node(*row) for row in rows}


def _node_of(nodes: Mapping[str, Node], message_id: str) -> Node:
    node = nodes.get(str(message_id).lower())
    if node is None:
        raise ConfigError(
            f"No message of this chat has the id {message_id!r}. chat.messages(as_frame=True) "
            "shows them all."
        )
    return node


def _question_of(nodes: Mapping[str, Node], message_id: str) -> Node:
    node = _node_of(nodes, message_id)
    return next(
        other for other in nodes.values() if other.turn == node.turn and other.role == "user"
    )


def _last_after(nodes: Mapping[str, Node], id_: str | None) -> str | None:
    """The last of all that follow a message: it comes after every branching, so it is a leaf."""
    reached, last = {id_}, id_
    for node in nodes.values():
        if node.parent_id in reached:
            reached.add(node.id)
            last = node.id
    return last


def _go_on_after(cursor: Cursor, chat_id: str, head: str | None) -> None:
    cursor.execute('update "chats" set "head_message_id" = ? where "id" = ?', [head, chat_id])


def _refuse_pending(cursor: Cursor, chat_id: str, turn: int | None = None) -> None:
    """Raise ChatBusy while a turn of the chat runs; one that a dead process left is ended."""
    recover(cursor)
    rows = cursor.execute(
        """
        select 1 from "messages"
        where "chat_id" = $chat_id and "status" = 'pending' and coalesce("turn" = $turn, true)
        """,
        {"chat_id": chat_id, "turn": turn},
    ).fetchall()
    if rows:
        raise ChatBusy("This chat is answering. Wait for it, or stop it.")
