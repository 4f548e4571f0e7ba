"""What people think of answers: rated, taken back, and gone with what was rated."""

from pathlib import Path

import pytest
from purged_rows import assert_whole, rows, run

import nbchat

TIME = "datetime64[us, UTC]"
FEEDBACK = {
    "message_id": "string", "turn": "Int64", "rating": "Int64", "note": "string",
    "created_at": TIME, "updated_at": TIME,
}  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> nbchat.Store:
    return nbchat.open_store(tmp_path / "chats.duckdb")


def chat_in(store, **options):
    return nbchat.create_chat("function/x", respond=lambda request: "Yes.", store=store, **options)


def grow_old(store):
    run(store, """update "messages" set "created_at" = now()::timestamp - interval 30 day""")


def test_the_last_rating_of_an_answer_counts(store):
    chat = chat_in(store)
    first, second = chat.ask("a"), chat.ask("b")
    assert chat.rate(second.id, -1, "wrong") is chat
    chat.rate(first.id, -1).rate(first.id, 1, "good after all")

    frame = chat.feedback()

    assert frame[["message_id", "turn", "rating", "note"]].values.tolist() == [
        [first.id, 1, 1, "good after all"],
        [second.id, 2, -1, "wrong"],
    ]
    assert (frame["updated_at"] >= frame["created_at"]).all()


@pytest.mark.parametrize("nothing", [0, None])
def test_a_rating_can_be_taken_back(store, nothing):
    chat = chat_in(store)
    answer = chat.ask("a")

    chat.rate(answer.id, 1, "good").rate(answer.id, nothing)

    assert rows(store, "feedback") == []


def test_a_note_can_stand_alone(store):
    chat = chat_in(store)

    chat.rate(chat.ask("a").id, None, "see the second line")

    frame = chat.feedback()
    assert frame["note"].tolist() == ["see the second line"]
    assert frame["rating"].isna().all()


def test_feedback_has_the_same_columns_when_there_is_none(store):
    chat = chat_in(store)
    empty = chat.feedback()
    chat.rate(chat.ask("a").id, 1)

    for frame in (empty, chat.feedback()):
        assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == FEEDBACK


@pytest.mark.parametrize("rating", [2, -2, True, 0.5, "up", [1]])
def test_a_rating_is_a_thumb_up_or_down(store, rating):
    chat = chat_in(store)

    with pytest.raises(nbchat.ConfigError, match="rating="):
        chat.rate(chat.ask("a").id, rating)


def test_only_an_answer_of_the_chat_is_rated(store):
    chat, other = chat_in(store), chat_in(store)
    answer = chat.ask("a")

    with pytest.raises(nbchat.ConfigError, match="is a question"):
        chat.rate(answer.parent_id, 1)
    with pytest.raises(nbchat.ConfigError, match="No message of this chat"):
        other.rate(answer.id, 1)


def test_a_rating_goes_with_its_turn_and_with_its_chat(store):
    chat, other = chat_in(store), chat_in(store)
    first, second, kept = chat.ask("a"), chat.ask("b"), other.ask("c")
    for each, answer in ((chat, first), (chat, second), (other, kept)):
        each.rate(answer.id, 1)

    chat.delete_turn(first.id)
    assert chat.feedback()["message_id"].tolist() == [second.id]
    nbchat.delete_chat(chat.id, store=store)
    assert [str(row["message_id"]) for row in rows(store, "feedback")] == [kept.id]


def test_a_purge_takes_the_ratings_of_the_turns_that_go(store):
    chat = chat_in(store)
    old = chat.ask("a")
    chat.rate(old.id, 1)
    grow_old(store)
    new = chat.ask("b")
    chat.rate(new.id, -1)

    store.purge("20d", dry_run=True)
    assert len(chat.feedback()) == 2
    store.purge("20d")

    assert chat.feedback()["message_id"].tolist() == [new.id]
    assert_whole(store)


def test_a_purge_of_content_takes_notes_and_leaves_ratings(store):
    chat = chat_in(store)
    chat.rate(chat.ask("a").id, -1, "my name is wrong")
    grow_old(store)

    store.purge("20d", content_only=True)

    assert chat.feedback()["rating"].tolist() == [-1]
    assert chat.feedback()["note"].isna().all()


def test_a_note_is_content_and_is_redacted_as_such(store):
    silent = chat_in(store, log_content=False)
    silent.rate(silent.ask("a").id, 1, "secret")
    redacted = chat_in(store, middleware=[nbchat.redact()])
    redacted.rate(redacted.ask("a").id, 1, "ask me@example.org")

    assert silent.feedback()["note"].isna().all()
    assert "me@example.org" not in redacted.feedback()["note"][0]


def test_pinned_chats_are_listed_first(store):
    names = ["a", "b", "c"]
    chats = {name: chat_in(store, name=name) for name in names}
    for chat in chats.values():
        chat.ask("Hi")

    assert chats["a"].pin() is chats["a"]

    listed = nbchat.list_chats(store=store)
    assert listed["name"].tolist() == ["a", "c", "b"]
    assert listed.columns[-1] == "pinned"
    assert listed["pinned"].tolist() == [True, False, False]
    assert nbchat.list_chats(store=store, limit=1)["name"].tolist() == ["a"]
    chats["a"].unpin()
    assert nbchat.list_chats(store=store)["name"].tolist() == ["c", "b", "a"]


def test_branches_and_ratings_work_under_other_table_names():
    chat = chat_in(":memory:", table_names={"chat": "talks", "message": "said", "request": "bill"})
    first = chat.ask("a")
    chat.retry()
    chat.switch(first.id).rate(first.id, 1).pin()

    assert chat.fork().messages()[-1].content == "Yes."
    assert len(chat.feedback()) == 1
    chat.delete_turn(first.id)
    assert chat.feedback().empty
