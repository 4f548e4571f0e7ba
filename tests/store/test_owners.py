"""Who is alive: a turn of a dead process ends, and whatever cannot be told is let be."""

import socket

import pytest

import nbchat
from nbchat.store.identity import is_alive, this_owner

HERE = socket.gethostname()


@pytest.mark.parametrize(
    ("owner", "alive"),
    [
        pytest.param(this_owner(), True, id="this process"),
        (None, False),
        (f"{HERE} 4194999 12@boot", False),
        (f"{HERE} 1 12@another-boot", False),
        ("elsewhere 1 12@boot", True),
        ("", True),
        ("no pid", True),
        (f"{HERE} minus 1", True),
    ],
)
def test_an_owner_is_dead_only_if_that_is_certain(owner, alive):
    assert is_alive(owner) is alive


@pytest.mark.parametrize("owner", ["null", "'what is this'", "'a b c d'"])
def test_a_pending_turn_of_nobody_known_keeps_no_store_from_opening(store, owner):
    chat = nbchat.create_chat("function/x", store=store, respond=lambda request: "hi")
    chat.ask("hello")
    store.sql(
        f"update messages set status = 'pending', owner = {owner} where role = 'assistant'",
        write=True,
    )
    store.close()

    assert nbchat.list_chats(store=store)["turns"].tolist() == [1]
    status = chat.messages()[-1].status
    assert status == ("interrupted" if owner == "null" else "pending")
