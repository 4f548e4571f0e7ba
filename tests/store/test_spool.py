"""Answers that wait beside the file: taken in once, and never in anybody's way."""

import json

import pytest

import nbchat
from nbchat.store import file as store_file

NONSENSE = {
    "no JSON": "{",
    "no object": "[]",
    "no tables": '{"message": {}, "requests": []}',
    "parts that are none": None,
    "a cost that is none": None,
    "an id that is none": None,
}


@pytest.fixture
def waiting(store):
    """An answer that waits, as a file, and its chat."""
    chat = nbchat.create_chat("function/x", store=store, name="here", respond=lambda request: "hi")
    answer = chat.ask("hello")
    nbchat.sql("delete from messages where role = 'assistant'", store=store, write=True)
    nbchat.sql("update chats set head_message_id = ?", [answer.parent_id], store=store, write=True)
    return store.keep(answer, []), chat


def spoilt(place, kind):
    record = json.loads(place.read_text())
    if kind == "parts that are none":
        record["message"]["parts"] = ["x"]
    if kind == "a cost that is none":
        record["requests"] = [{"cost_usd": "much", "usage": {}, "started_at": "2026-01-01"}]
    if kind == "an id that is none":
        record["message"]["id"] = "x"
    return json.dumps(record)


def test_an_answer_that_waits_is_taken_in_once(waiting, store):
    place, chat = waiting

    assert [message.content for message in chat.messages()] == ["hello", "hi"]
    assert not place.exists()


@pytest.mark.parametrize("kind", NONSENSE)
def test_nonsense_beside_the_file_is_in_nobodys_way(waiting, store, kind):
    place, chat = waiting
    text = NONSENSE[kind] or spoilt(place, kind)
    place.write_text(text)

    assert [message.content for message in chat.messages()] == ["hello"]
    assert chat.ask("again").content == "hi"
    assert place.read_text() == text


def test_what_cannot_be_taken_in_is_tried_once_until_it_changes(waiting, store, monkeypatch):
    place, chat = waiting
    right = place.read_text()
    place.write_text("{")
    chat.messages()
    tried = []
    monkeypatch.setattr(store, "_take", lambda place, cursor: tried.append(place))

    chat.messages()
    assert tried == []

    monkeypatch.undo()
    place.write_text(right)
    assert [message.content for message in chat.messages()] == ["hello", "hi"]


def test_many_answers_wait_for_a_busy_store_no_longer_than_one(waiting, store, start, monkeypatch):
    place, _ = waiting
    for number in range(5):
        place.with_name(f"{number}.json").write_text(place.read_text())
    store.close()
    monkeypatch.setattr(store_file, "BUSY_TIMEOUT_S", 0.3)
    waits = []
    monkeypatch.setattr(store._file, "_enter", lambda gate: waits.append(1) or gate.enter(0.3))
    process = start(
        """
        import sys, nbchat
        def hold(cursor):
            print("held", flush=True)
            input()
        nbchat.open_store(":memory:")
        from nbchat.store import StoreFile
        StoreFile(sys.argv[1]).transact(hold)
        """,
        store.path,
    )
    assert process.stdout.readline() == "held\n"

    with pytest.raises(nbchat.StoreBusy):
        nbchat.list_chats(store=store)

    assert len(waits) == 1
    process.communicate("go\n", timeout=30)
