"""Turns that are asked again stand beside what was there; a chat goes on where one says."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from resuming import function_chat, half, told
from stored_rows import raw_rows

import nbchat
from nbchat.messages import Thinking, ToolCall
from nbchat.store.doctor import INFORMATION
from nbchat.testing import Answer, Gate, ReplayServer, said

MODELS = ["openai/gpt-4.1", "anthropic/claude-sonnet-4-5"]
EDITS = """
import sys, nbchat
place, chat_id, first, name = sys.argv[1:]
chat = nbchat.load_chat(chat_id, store=place, respond=lambda request: request.messages[-1].content)
for number in range(3):
    assert chat.edit(first, name + str(number)).content == name + str(number)
"""


@pytest.fixture
def store(tmp_path: Path) -> nbchat.Store:
    return nbchat.open_store(tmp_path / "chats.duckdb")


def echo(request: Any) -> str:
    """Answers with the questions it was sent."""
    return " ".join(m.content for m in request.messages if m.role == "user")


def questions(chat: nbchat.Chat) -> list[str]:
    return [m.content for m in chat.messages() if m.role == "user"]


def assert_whole(store: nbchat.Store) -> None:
    frame = store.doctor()
    assert set(frame.loc[frame["rows"] > 0, "check"]) <= INFORMATION


def by_call(chat: nbchat.Chat, name: str, *given: Any) -> Any:
    return getattr(chat, name)(*given)


def by_stream(chat: nbchat.Chat, name: str, *given: Any) -> Any:
    return list(getattr(chat, f"{name}_stream")(*given))[-1].message


WAYS = pytest.mark.parametrize("way", [by_call, by_stream])


# Asking again -------------------------------------------------------------------------------


@WAYS
def test_a_retry_stands_beside_the_turn_that_was_there(store: nbchat.Store, way: Any) -> None:
    chat = function_chat(store, ["One.", "Another."])
    first = chat.ask("Say one.")

    second = way(chat, "retry")

    assert told(chat) == [
        ("user", "complete", "Say one."), ("assistant", "complete", "Another."),
    ]  # fmt: skip
    assert [row["turn"] for row in raw_rows(store, chat.id, "messages")] == [1, 1, 2, 2]
    assert chat.siblings(first.id) == chat.siblings(second.id)
    assert len(chat.siblings(first.id)) == 2
    assert chat.switch(first.id).messages()[-1].content == "One."
    assert chat.siblings(first.id) == [first.parent_id, second.parent_id]
    assert_whole(store)


@WAYS
def test_an_edit_asks_other_words_after_the_same_history(store: nbchat.Store, way: Any) -> None:
    chat = function_chat(store, echo)
    chat.ask("a")
    second = chat.ask("b")
    chat.ask("c")

    edited = way(chat, "edit", second.id, "B")

    assert edited.content == "a B"
    assert questions(chat) == ["a", "B"]
    assert chat.ask("d").content == "a B d"
    assert questions(chat.switch(second.id)) == ["a", "b", "c"]


@pytest.mark.parametrize("model", MODELS)
def test_an_edited_branch_sends_what_came_before_it_and_nothing_beside_it(
    store: nbchat.Store, model: str
) -> None:
    with ReplayServer("One.", "Two.", "Other.", "Three.") as server:
        chat = nbchat.create_chat(model, base_url=server.url, api_key="any-key", store=store)
        chat.ask("first")
        second = chat.ask("second")
        chat.edit(second.parent_id or "", "changed")
        chat.ask("third")

    sent = [str(received.json) for received in server.requests]
    for words in ("first", "One.", "changed", "Other.", "third"):
        assert words in sent[3]
    for words in ("second", "Two."):
        assert words not in sent[2] + sent[3]


@WAYS
def test_the_first_question_can_be_asked_again(store: nbchat.Store, way: Any) -> None:
    chat = function_chat(store, echo)
    first = chat.ask("a")
    chat.ask("b")

    assert way(chat, "retry", first.id).content == "a"
    assert [row["parent_id"] for row in raw_rows(store, chat.id, "messages")].count(None) == 2


@WAYS
def test_a_failed_turn_can_be_asked_again_and_stays(store: nbchat.Store, way: Any) -> None:
    chat = function_chat(store, [nbchat.BadRequest("no"), "Yes."])
    with pytest.raises(nbchat.BadRequest):
        chat.ask("Try.")

    assert way(chat, "retry").content == "Yes."

    assert [row["status"] for row in raw_rows(store, chat.id, "messages")] == [
        "failed", "complete", "complete",
    ]  # fmt: skip
    assert len(raw_rows(store, chat.id, "requests")) == 2
    assert_whole(store)


@WAYS
def test_a_retry_that_fails_leaves_the_chat_on_its_own_question(
    store: nbchat.Store, way: Any
) -> None:
    chat = function_chat(store, ["One.", nbchat.BadRequest("no"), "Two."])
    first = chat.ask("a")

    with pytest.raises(nbchat.BadRequest):
        way(chat, "retry")

    assert told(chat) == [("user", "failed", "a")]
    assert chat.messages()[-1].id == chat.siblings(first.id)[-1]
    assert told(chat.switch(first.id))[-1] == ("assistant", "complete", "One.")
    assert_whole(store)


def test_a_retry_that_is_stopped_keeps_what_arrived_and_can_go_on(store: nbchat.Store) -> None:
    gate = Gate()
    chat = function_chat(store, ["One.", lambda request: half(gate), "Whole."])
    first = chat.ask("a")
    stream = chat.retry_stream()
    gate.wait_reached()
    next(stream)
    stream.close()
    gate.open()

    assert told(chat)[-1] == ("assistant", "stopped", "half ")
    chat.switch(first.id)
    with pytest.raises(nbchat.ConfigError, match="nothing to resume"):
        chat.resume()
    chat.switch(stream.message_id)

    assert chat.resume().content == "Whole."
    assert told(chat) == [("user", "complete", "a"), ("assistant", "complete", "Whole.")]


def test_what_is_not_stored_can_be_asked_again_by_who_remembers_it(store: nbchat.Store) -> None:
    chat = function_chat(store, echo, log_content=False)
    chat.ask("secret")

    assert chat.retry().content == "secret"
    assert chat.fork().retry().content == "secret"
    other = nbchat.load_chat(chat.id, store=store, respond=echo)
    assert other is not None
    with pytest.raises(nbchat.ConfigError, match="not stored"):
        other.retry()
    assert other.edit(other.messages()[-1].id, "said anew").content == "said anew"


def test_there_must_be_a_turn_to_ask_again(store: nbchat.Store) -> None:
    chat, other = function_chat(store, echo), function_chat(store, echo)
    strange = other.ask("a").id

    with pytest.raises(nbchat.ConfigError, match="no turn"):
        chat.retry()
    for call in (chat.retry, chat.switch, chat.siblings, chat.delete_turn, chat.fork):
        for id_ in (strange, "nonsense"):
            with pytest.raises(nbchat.ConfigError, match="No message of this chat"):
                call(id_)  # type: ignore[operator]
    with pytest.raises(nbchat.ConfigError, match="nothing to ask"):
        other.edit(strange, "  ")


# Going on elsewhere -------------------------------------------------------------------------


def test_a_switch_goes_to_the_branch_that_was_last_active(store: nbchat.Store) -> None:
    chat = function_chat(store, echo)
    first = chat.ask("a")
    chat.ask("b")
    chat.edit(chat.messages()[-1].id, "B")
    chat.edit(first.id, "A")

    assert questions(chat) == ["A"]
    assert questions(chat.switch(first.id)) == ["a", "B"]
    assert questions(chat.switch(first.parent_id or "")) == ["a", "B"]


def test_branches_wait_for_a_turn_that_runs(store: nbchat.Store) -> None:
    gate = Gate()
    chat = function_chat(store, ["One.", lambda request: half(gate)])
    first = chat.ask("a")
    stream = chat.retry_stream()
    gate.wait_reached()
    try:
        for call in (chat.switch, chat.delete_turn, chat.fork):
            with pytest.raises(nbchat.ChatBusy):
                call(stream.message_id)  # type: ignore[operator]
        assert len(chat.fork(first.id).messages()) == 2
    finally:
        gate.open()
        stream.close()


def test_processes_that_branch_one_chat_at_once_lose_nothing(tmp_path: Path) -> None:
    place = tmp_path / "chats.duckdb"
    with nbchat.open_store(place) as store:
        chat = function_chat(store, echo)
        first = chat.ask("a")
        command = [sys.executable, "-c", EDITS, str(place), chat.id, first.id]
        children = [subprocess.Popen([*command, name]) for name in ("b", "c")]

        assert [child.wait(60) for child in children] == [0, 0]

        assert len(chat.siblings(first.id)) == 7
        assert sorted(row["turn"] for row in raw_rows(store, chat.id, "messages")) == sorted(
            [*range(1, 8)] * 2
        )
        assert_whole(store)


# A copy -------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
def test_a_fork_sends_the_same_bytes_as_its_chat_would(store: nbchat.Store, model: str) -> None:
    def look(place: str) -> str:
        """Look somewhere."""
        return f"nothing in {place}"

    think = [Thinking("Hm.", signature="c2ln"), ToolCall("look", {"place": "x"}, "call_1")]
    with ReplayServer(said(*think), "Done.", "End.", "End.") as server:
        chat = nbchat.create_chat(
            model, base_url=server.url, api_key="any-key", store=store, tools=[look],
            name="orders", metadata={"user": 7}, instructions="Be brief.",
        )  # fmt: skip
        chat.ask("Look.")
        fork = chat.fork()
        chat.ask("More?")
        fork.ask("More?")

    assert server.requests[2].json == server.requests[3].json
    assert (fork.name, fork.metadata, fork.instructions) == (
        "orders (fork)", {"user": 7}, "Be brief.",
    )  # fmt: skip
    assert [message.seq for message in fork.messages()] == [1, 2, 3, 4]
    assert len(raw_rows(store, fork.id, "requests")) == 1
    assert raw_rows(store, fork.id, "tool_calls") == []
    assert_whole(store)


def test_a_fork_ends_with_the_turn_it_was_made_at(store: nbchat.Store) -> None:
    chat = function_chat(store, echo)
    chat.ask("a")
    second = chat.ask("b")
    chat.retry()
    chat.ask("c")

    for id_ in (second.id, second.parent_id):
        fork = chat.fork(id_)
        assert questions(fork) == ["a", "b"]
        assert [message.turn for message in fork.messages()] == [1, 1, 2, 2]
    fork.ask("d")
    assert questions(chat) == ["a", "b", "c"]
    assert fork.messages()[0].id != chat.messages()[0].id
    assert function_chat(store, echo).fork().messages() == []


def test_what_a_fork_is_given_later_its_chat_has_not(store: nbchat.Store) -> None:
    chat = function_chat(store, echo)
    heard: list[Any] = []
    fork = chat.fork()
    fork.on_message(heard.append)

    chat.ask("a")
    assert heard == []
    fork.ask("a")
    assert len(heard) == 1


# Deleting -----------------------------------------------------------------------------------


def test_what_followed_a_deleted_turn_follows_the_one_before(store: nbchat.Store) -> None:
    chat = function_chat(store, echo)
    chat.ask("a")
    second = chat.ask("b")
    chat.ask("c")

    chat.delete_turn(second.id)

    assert questions(chat) == ["a", "c"]
    assert chat.ask("d").content == "a c d"
    assert_whole(store)


def test_a_chat_goes_on_beside_a_deleted_last_turn_or_before_it(store: nbchat.Store) -> None:
    chat = function_chat(store, echo)
    first = chat.ask("a")
    chat.retry()

    chat.delete_turn(chat.messages()[-1].id)
    assert chat.messages()[-1].id == first.id
    chat.delete_turn(first.id)

    assert chat.messages() == []
    assert chat.ask("b").content == "b"


def test_what_a_deleted_turn_cost_stays_and_is_no_other_turns(store: nbchat.Store) -> None:
    chat = function_chat(store, ["One.", "Two.", "Three."])
    chat.ask("a")
    second = chat.ask("b")
    chat.delete_turn(second.id)
    store.doctor(repair=True)
    third = chat.ask("c")

    assert int(chat.stats()["requests"][0]) == 3
    assert int(chat.stats()["turns"][0]) == 2
    assert third.turn == 3
    by_turn = chat.stats(by="turn")
    assert dict(zip(by_turn["turn"], by_turn["requests"], strict=True)) == {1: 1, 2: 1, 3: 1}
    assert_whole(store)


# Any order ----------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "retry", "edit", "switch", "delete_turn"]), st.integers(0, 99)
    ),
    max_size=10,
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS)
def test_whatever_is_done_every_message_can_be_reached_and_the_store_is_whole(
    steps: list[tuple[str, int]],
) -> None:
    with nbchat.open_store(":memory:") as store:
        chat = function_chat(store, echo)
        for number, (name, pick) in enumerate(steps):
            ids = [str(row["id"]) for row in raw_rows(store, chat.id, "messages")]
            if name == "ask" or not ids:
                chat.ask(f"q{number}")
            else:
                words = (f"e{number}",) if name == "edit" else ()
                getattr(chat, name)(ids[pick % len(ids)], *words)

        rows = raw_rows(store, chat.id, "messages")
        assert bool(chat.messages()) == bool(rows)
        assert_whole(store)
        for row in rows:
            branch = [message.id for message in chat.switch(str(row["id"])).messages()]
            assert str(row["id"]) in branch
            parents = {other["parent_id"] for other in rows}
            assert branch[-1] not in {str(parent) for parent in parents}


# A process that dies ------------------------------------------------------------------------


def test_a_retry_whose_answer_never_came_is_stored_before_it_is_sent(store: nbchat.Store) -> None:
    seen: list[Any] = []

    def respond(request: Any) -> str:
        seen.append([row["status"] for row in raw_rows(store, chat.id, "messages")])
        return "Yes."

    chat = function_chat(store, respond)
    chat.ask("a")
    chat.retry()

    assert seen[1] == ["complete", "complete", "complete", "pending"]


def test_a_retry_that_a_server_fails_is_counted_for_its_own_turn(store: nbchat.Store) -> None:
    with ReplayServer("One.", Answer(400, body=b"{}")) as server:
        chat = nbchat.create_chat(MODELS[0], base_url=server.url, api_key="any-key", store=store)
        chat.ask("a")
        with pytest.raises(nbchat.BadRequest):
            chat.retry()

    assert [row["turn"] for row in raw_rows(store, chat.id, "requests")] == [1, 2]
    assert list(chat.stats(by="status")["status"]) == ["complete", "failed"]
