"""Branches of a chat: turns asked in another's place, the one that goes on, copies, deletions.

Invariant: a branch is a chain of parents, a turn its user's message and the answer to it; nothing
is overwritten, and every chat's head is a message that is there. Each function is part of one
transaction's work.
"""

from dataclasses import replace

from nbchat.errors import ChatBusy, ConfigError
from nbchat.messages import Message
from nbchat.store.file import Cursor
from nbchat.store.identity import new_id
from nbchat.store.persist import WHOLE
from nbchat.store.turns import SELECTED, insert_messages, load_branch, recover, update_assistant
from nbchat.store.values import message_of


def load_all(cursor: Cursor, chat_id: str) -> list[Message]:
    """The messages of all branches, in the order in which they were said."""
    rows = cursor.execute(
        f'select {SELECTED} from "messages" where "chat_id" = ? order by "seq"', [chat_id]
    ).fetchall()
    return [message_of(row) for row in rows]


def find_turn(cursor: Cursor, chat_id: str, message_id: str | None) -> tuple[Message, ...]:
    """The turn that this message belongs to, the last one for None: question, and answer if any.

    Raises ConfigError for a message that is not this chat's.
    """
    found = {message.id: message for message in load_all(cursor, chat_id)}
    id_ = _head(cursor, chat_id) if message_id is None else str(message_id)
    message = found.get(id_ or "")
    if message is None:
        what = "turn yet. Ask something first" if message_id is None else f"message {message_id!r}"
        raise ConfigError(f"This chat has no {what}.")
    user = found[message.parent_id or ""] if message.role == "assistant" else message
    answers = (m for m in found.values() if m.parent_id == user.id and m.role == "assistant")
    return (user, *answers)


def _head(cursor: Cursor, chat_id: str) -> str | None:
    rows = cursor.execute(
        'select "head_message_id"::varchar from "chats" where "id" = ?', [chat_id]
    ).fetchall()
    return rows[0][0] if rows else None


def set_head(cursor: Cursor, chat_id: str, head: str | None) -> None:
    """Have the chat go on after that message."""
    cursor.execute('update "chats" set "head_message_id" = ? where "id" = ?', [head, chat_id])


def siblings(cursor: Cursor, chat_id: str, message_id: str) -> list[str]:
    """The ids of the questions asked in the place of that message's, itself among them."""
    user, *_ = find_turn(cursor, chat_id, message_id)
    return [
        message.id
        for message in load_all(cursor, chat_id)
        if message.role == "user" and message.parent_id == user.parent_id
    ]


def switch_branch(cursor: Cursor, chat_id: str, message_id: str) -> None:
    """Have the chat go on at the end of the branch through that message.

    Where it forks further on, the latest fork is taken. Raises ChatBusy while a turn runs.
    """
    recover(cursor, chat_id=chat_id)
    find_turn(cursor, chat_id, message_id)
    latest = {message.parent_id: message.id for message in load_all(cursor, chat_id)}
    end = message_id
    while end in latest:
        end = latest[end]
    set_head(cursor, chat_id, end)


def copy_branch(cursor: Cursor, chat_id: str, message_id: str | None, new_chat_id: str) -> None:
    """Copy a branch up to and including that message's turn into a chat that has none."""
    turn = find_turn(cursor, chat_id, message_id)
    if turn[-1].status == "pending":
        raise ChatBusy("That turn is still being answered. Fork it when it has ended, or stop it.")
    parent = None
    numbers: dict[int, int] = {}
    for seq, message in enumerate(load_branch(cursor, chat_id, turn[-1].id), start=1):
        copy = replace(
            message, id=new_id(), chat_id=new_chat_id, parent_id=parent, seq=seq,
            turn=numbers.setdefault(message.turn, len(numbers) + 1),
        )  # fmt: skip
        insert_copy(cursor, copy)
        parent = copy.id
    set_head(cursor, new_chat_id, parent)


def insert_copy(cursor: Cursor, message: Message) -> None:
    """Insert a message as it is, answers with all that was counted of them."""
    if message.role == "user":
        insert_messages(cursor, (message, None))
        if message.status == "failed":
            cursor.execute(
                """
                update "messages" set "status" = 'failed', "error" = (
                  select any_value("error") from "messages" where "id" = ?
                ) where "id" = ?
                """,
                [message.id, message.id],
            )
        return
    insert_messages(cursor, (replace(message, status="pending"), None))
    update_assistant(cursor, message, WHOLE)


def delete_turn(cursor: Cursor, chat_id: str, message_id: str) -> None:
    """Delete a turn and all its rows, as a purge would; what came after it follows what came
    before it. Raises ChatBusy while the turn runs."""
    recover(cursor, chat_id=chat_id)
    user, *answers = find_turn(cursor, chat_id, message_id)
    gone = [user.id, *(answer.id for answer in answers)]
    head = _head(cursor, chat_id)
    for id_ in gone:
        cursor.execute(
            'update "messages" set "parent_id" = ? where "chat_id" = ? and "parent_id" = ? '
            """and "role" = 'user'""",
            [user.parent_id, chat_id, id_],
        )
        cursor.execute('delete from "feedback" where "message_id" = ?', [id_])
    for table in ("tool_calls", "requests", "messages"):
        cursor.execute(
            f'delete from "{table}" where "chat_id" = ? and "turn" = ?', [chat_id, user.turn]
        )
    if head in gone:
        left = {message.parent_id: message.id for message in load_all(cursor, chat_id)}
        end = user.parent_id
        while end in left:
            end = left[end]
        set_head(cursor, chat_id, end)
