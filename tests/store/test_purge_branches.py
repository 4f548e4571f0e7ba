"""What stays after a purge keeps its place: branches and chats go on after what stays of them."""

import pytest
from purged_rows import asked_in, assert_whole, rows, run

import nbchat


def chat_of(store, name, turns):
    """A chat in which the numbers were asked, one by one."""
    chat = nbchat.create_chat("function/x", store=store, name=name, respond=lambda request: "Yes.")
    for number in range(1, turns + 1):
        chat.ask(f"{number}")
    return chat


def grow_old(store, chat, *turns):
    """Have these turns begin 30 days ago."""
    for turn in turns:
        run(store, """update "messages" set "created_at" = now()::timestamp - interval 30 day
            where "chat_id" = ? and "turn" = ?""", chat.id, turn)  # fmt: skip


@pytest.mark.parametrize("gone", [(3,), (2, 3), (1, 3), (4,), (3, 4), (2, 4), (1, 2, 4)])
def test_what_came_before_turns_that_a_clock_made_old_stays_in_the_chat(gone):
    store = nbchat.open_store(":memory:")
    chat = chat_of(store, "clock", 4)
    grow_old(store, chat, *gone)

    store.purge("20d")

    left = [number for number in (1, 2, 3, 4) if number not in gone]
    assert [message.turn for message in chat.messages()] == sorted(left * 2)
    assert asked_in(store, "clock")[1] == [*map(str, left), "Still there?"]
    assert_whole(store)


def test_a_branch_goes_on_after_what_stays_of_it():
    store = nbchat.open_store(":memory:")
    chat = chat_of(store, "branches", 4)
    [(first,)] = run(store, """select "id" from "messages" where "seq" = 2""")
    run(store, """update "messages" set "parent_id" = ? where "turn" in (3, 4) and
        "role" = 'user'""", first)  # fmt: skip
    grow_old(store, chat, 4)

    store.purge("20d")

    [(head,)] = run(store, """select "head_message_id" from "chats" """)
    assert head == first
    assert [message.turn for message in chat.messages()] == [1, 1]
    assert_whole(store)


def test_a_purge_leaves_chats_alone_in_which_nothing_goes():
    store = nbchat.open_store(":memory:")
    cleared, other = chat_of(store, "cleared", 3), chat_of(store, "other", 3)
    grow_old(store, cleared, 1)
    run(store, """update "messages" set "parent_id" = uuid() where "chat_id" = ? and "seq" = 5""",
        other.id)  # fmt: skip
    before = [row for row in rows(store, "messages") if str(row["chat_id"]) == other.id]

    store.purge("20d")

    assert before == [row for row in rows(store, "messages") if str(row["chat_id"]) == other.id]
    assert [message.turn for message in cleared.messages()] == [2, 2, 3, 3]


def test_messages_that_follow_each_other_in_a_circle_do_not_stop_a_purge():
    store = nbchat.open_store(":memory:")
    chat = chat_of(store, "circle", 4)
    grow_old(store, chat, 2, 3)
    run(store, """update "messages" set "parent_id" = (select "id" from "messages" where "seq" = 6)
        where "seq" = 3""")  # fmt: skip

    store.purge("20d")

    assert [message.turn for message in chat.messages()] == [4, 4]
    assert_whole(store)
