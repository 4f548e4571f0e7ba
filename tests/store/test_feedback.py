"""What a person thinks of an answer, in the store beside it."""

import pandas
import pytest

import nbchat
from nbchat.testing import scripted


@pytest.fixture
def chat(tmp_path):
    chat = nbchat.create_chat(
        "function/x", store=tmp_path / "chats.duckdb", respond=scripted(["one", "two"])
    )
    chat.ask("first")
    chat.ask("second")
    return chat


def rated(chat):
    return chat.feedback()[["turn", "rating", "note"]].astype(object).values.tolist()


def test_a_rating_is_kept_and_changed_in_place(chat):
    answer = chat.messages()[1]

    chat.rate(answer.id, 1)
    chat.rate(answer.id, -1, "too short")

    assert rated(chat) == [[1, -1, "too short"]]
    assert nbchat.load_chat(chat.id, store=chat.store).feedback()["message_id"].tolist() == [
        answer.id
    ]
    chat.rate(answer.id, None)
    assert rated(chat) == []


def test_a_note_alone_is_kept_too(chat):
    chat.rate(chat.messages()[3].id, 0, "see the second line")

    [[turn, rating, note]] = rated(chat)
    assert (turn, note) == (2, "see the second line")
    assert pandas.isna(rating)


def test_the_frame_has_its_columns_when_nothing_is_rated(chat):
    empty = chat.feedback()
    chat.rate(chat.messages()[1].id, 1)

    assert empty.dtypes.to_dict() == chat.feedback().dtypes.to_dict()
    assert list(empty) == ["message_id", "turn", "rating", "note", "created_at", "updated_at"]


@pytest.mark.parametrize("rating", [2, -2, "up", True, 0.5])
def test_other_ratings_are_refused(chat, rating):
    with pytest.raises(nbchat.ConfigError, match="rating="):
        chat.rate(chat.messages()[1].id, rating)


def test_only_answers_of_the_chat_are_rated(chat, tmp_path):
    other = nbchat.create_chat("function/x", store=chat.store, respond=scripted(["three"]))
    other.ask("third")

    for message_id in (chat.messages()[0].id, other.messages()[1].id, "nothing"):
        with pytest.raises(nbchat.ConfigError):
            chat.rate(message_id, 1)


def test_ratings_go_with_their_chat(chat):
    chat.rate(chat.messages()[1].id, 1)

    nbchat.delete_chat(chat.id, store=chat.store)

    assert len(nbchat.sql("select * from feedback", store=chat.store)) == 0


def test_ratings_go_with_turns_that_are_purged_and_notes_with_what_was_said(chat):
    chat.rate(chat.messages()[1].id, 1, "good")

    chat.store.purge("0d", content_only=True)
    assert rated(chat)[0][:2] == [1, 1]
    assert nbchat.sql("select note from feedback", store=chat.store)["note"].isna().all()
    chat.store.purge("0d")

    assert len(nbchat.sql("select * from feedback", store=chat.store)) == 0


def test_pinned_chats_are_listed_first(chat):
    other = nbchat.create_chat("function/x", store=chat.store, name="later")
    assert nbchat.list_chats(store=chat.store)["name"].tolist()[0] == "later"

    chat.pin()

    listed = nbchat.list_chats(store=chat.store)
    assert listed["id"].tolist() == [chat.id, other.id]
    assert listed["pinned"].tolist() == [True, False]
    assert nbchat.list_chats(store=chat.store, limit=1)["id"].tolist() == [chat.id]
    chat.unpin()
    assert nbchat.list_chats(store=chat.store)["id"].tolist() == [other.id, chat.id]
