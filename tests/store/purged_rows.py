"""What is in a store before and after a purge, and what its chats still send."""

import json

import nbchat
from nbchat.store.doctor import INFORMATION

COUNTS = ["chats", "messages", "tool_calls", "requests", "agent_sessions"]
NOTHING = dict.fromkeys(COUNTS, 0)


def run(store, sql, *params):
    """Run SQL behind nbchat's back, under the tables' default names."""
    return store.transact(
        lambda cursor: store.names.over(cursor).execute(sql, list(params)).fetchall()
    )


def rows(store, table):
    """The rows of a table as dicts, JSON columns parsed."""

    def read(cursor):
        found = store.names.over(cursor).execute(f'select * from "{table}" order by all')
        names = [(column[0], str(column[1])) for column in found.description]
        return [
            {
                name: json.loads(value) if kind == "JSON" and value else value
                for (name, kind), value in zip(names, row, strict=True)
            }
            for row in found.fetchall()
        ]

    return store.read(read)


def everything(store):
    """Every row of every table."""
    return {table: rows(store, table) for table in COUNTS}


def counted(frame):
    """The counts of a purge."""
    assert list(frame.columns) == [*COUNTS, "older_than"]
    return {table: int(frame[table][0]) for table in COUNTS}


def assert_whole(store):
    frame = store.doctor()
    assert set(frame.loc[frame["rows"] > 0, "check"]) <= INFORMATION


def asked_in(store, name):
    """The chat, and the questions that are sent when another one is asked in it."""
    sent = []
    chat = nbchat.load_chat(
        name, store=store, respond=lambda request: sent.append(request) or "Yes."
    )
    chat.ask("Still there?")
    return chat, [message.content for message in sent[0].messages if message.role == "user"]
