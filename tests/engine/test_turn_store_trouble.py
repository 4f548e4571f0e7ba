"""A store that fails in the middle of a turn: a typed error, nothing paid for lost, no deadlock."""

import gc
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from four_ways import WAYS
from stored_rows import pending, raw_rows

import nbchat
from nbchat.exchange import Usage
from nbchat.messages import ToolCall
from nbchat.testing import Gate, ReplayServer, scripted

ADD = [ToolCall("add", {"a": 1, "b": 2}, "c1"), ToolCall("add", {"a": 3, "b": 4}, "c2")]


@pytest.fixture
def store(tmp_path: Path) -> nbchat.Store:
    return nbchat.open_store(tmp_path / "chats.duckdb")


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Trouble:
    """Calls `happen` before the Nth transaction of the store, and `after` it once it is done."""

    def __init__(
        self, store: nbchat.Store, number: int, happen: Callable[[], None], *, lasts: bool = False
    ) -> None:
        self.store, self.number, self.happen, self.lasts = store, number, happen, lasts
        self.count = 0

    def __enter__(self) -> None:
        transact = self.store.transact

        def counted(work: Callable[[Any], Any], **how: Any) -> Any:
            self.count += 1
            if self.count == self.number or (self.lasts and self.count > self.number):
                self.happen()
            return transact(work, **how)

        self.store.transact = counted  # type: ignore[method-assign]  # a disk that fails

    def __exit__(self, *raised: object) -> None:
        del self.store.transact


def full_disk() -> None:
    raise nbchat.StoreError("no space left")


@pytest.mark.parametrize("lasts", [False, True])
@pytest.mark.parametrize("number", range(1, 6))
@pytest.mark.parametrize("way", WAYS)
def test_a_store_that_fails_at_any_step_ends_the_turn_and_the_next_works(
    store: nbchat.Store, way: str, number: int, lasts: bool
) -> None:
    replies = [["let me ", *ADD], ["it is 3", Usage(7, 7)], "fine"]
    chat = nbchat.create_chat("function/x", respond=scripted(replies), store=store, tools=[add])
    with Trouble(store, number, full_disk, lasts=lasts):
        ended = WAYS[way](chat, "hello")
    assert type(ended.error) is nbchat.StoreError
    assert "no space left" in str(ended.error)
    if number > 1:
        unsaved = ended.error.unsaved
        assert unsaved.content == ("let me it is 3" if number == 5 else "let me ")
    if number == 5:
        assert (unsaved.status, unsaved.output_tokens) == ("complete", 7)
    chat._own.respond = scripted(["fine"])
    assert chat.ask("go on").content == "fine"
    assert pending(store) == []
    answers = [(m.status, m.content) for m in chat.messages() if m.role == "assistant"]
    kept = {1: [], 5: [("complete", "let me it is 3")]}.get(number, [("interrupted", "let me ")])
    assert answers == [*kept, ("complete", "fine")]
    assert not Path(f"{store.path}.spool").exists()


HOLD = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print('held', flush=True); input()"


def test_an_answer_that_cannot_be_stored_waits_beside_the_file(
    store: nbchat.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nbchat.store.file.BUSY_TIMEOUT_S", 0.3)
    holders: list[subprocess.Popen[str]] = []

    def respond(request: Any) -> Any:
        store.close()
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLD, store.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        holders.append(holder)
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        return ["dear bought", Usage(7, 8)]

    chat = nbchat.create_chat("function/x", respond=respond, store=store)
    with pytest.raises(nbchat.StoreBusy, match="kept in") as caught:
        chat.ask("hello")
    spool = Path(f"{store.path}.spool")
    (kept,) = spool.iterdir()
    assert (spool.stat().st_mode & 0o777, kept.stat().st_mode & 0o777) == (0o700, 0o600)
    holders[0].communicate("\n")

    found = nbchat.load_chat(chat.id, store=store.path)
    assert found is not None
    answer = found.messages()[-1]
    assert (answer.content, answer.status, answer.output_tokens) == ("dear bought", "complete", 8)
    assert answer.id == caught.value.unsaved.id
    assert len(raw_rows(store, chat.id, "requests")) == 1
    assert found.stats()["output_tokens"].tolist() == [8]
    assert not spool.exists()


def test_a_broken_file_in_the_spool_keeps_no_store_from_opening(store: nbchat.Store) -> None:
    store.close()
    spool = Path(f"{store.path}.spool")
    spool.mkdir()
    (spool / "half.json").write_text('{"tables": "chats", "mess', encoding="utf-8")
    assert nbchat.list_chats(store=store).empty
    assert (spool / "half.json").exists()


def test_a_failing_turn_whose_cleanup_fails_raises_the_provider_error(store: nbchat.Store) -> None:
    refused = nbchat.BadRequest("no", status=400)
    chat = nbchat.create_chat("function/x", respond=scripted([refused, "fine"]), store=store)
    with Trouble(store, 3, full_disk):
        ended = WAYS["ask"](chat, "hello")
    assert ended.error is refused
    assert "no space left" in "".join(refused.__notes__)
    assert chat.ask("go on").content == "fine"
    assert pending(store) == []


def test_a_chat_deleted_while_it_answers_gives_the_answer_in_the_error(
    store: nbchat.Store,
) -> None:
    chats: list[nbchat.Chat] = []

    def respond(request: Any) -> str:
        nbchat.delete_chat(chats[0].id, store=store)
        return "too late"

    chat = nbchat.create_chat("function/x", respond=respond, store=store)
    chats.append(chat)
    with pytest.raises(nbchat.StoreError) as caught:
        chat.ask("hello")
    assert caught.value.unsaved.content == "too late"
    assert raw_rows(store, chat.id, "messages") == []


def test_a_stop_during_the_first_commit_sends_nothing(store: nbchat.Store) -> None:
    with ReplayServer("never") as server:
        chat = nbchat.create_chat("openai/x", base_url=server.url, store=store)
        with Trouble(store, 1, chat.stop):
            message = chat.ask("hello")
        assert message.status == "stopped"
        assert server.requests == []
    assert raw_rows(store, chat.id, "requests") == []
    assert [(m.role, m.status) for m in chat.messages()] == [("user", "complete")]


def test_a_stop_during_the_last_commit_is_too_late(store: nbchat.Store) -> None:
    chat = nbchat.create_chat("function/x", respond=scripted(["whole"]), store=store)
    with Trouble(store, 2, chat.stop):
        message = chat.ask("hello")
    assert (message.status, message.content) == ("complete", "whole")
    assert chat.messages()[-1] == message


def test_a_stream_collected_in_the_middle_of_a_transaction_blocks_nobody(
    store: nbchat.Store,
) -> None:
    """A stream in a cycle dies whenever Python collects, maybe while its thread has the store."""
    gate = Gate()

    def respond(request: Any) -> Any:
        yield "half "
        gate.opened.result(30)

    chat = nbchat.create_chat("function/x", respond=respond, store=store)

    def abandon() -> None:
        cycle: dict[str, Any] = {"stream": chat.ask_stream("hello")}
        cycle["self"] = cycle
        assert next(cycle["stream"]).content == "half "

    def collect_inside() -> None:
        abandon()
        store.transact(lambda cursor: gc.collect())
        chat._own.respond = scripted(["fine"])
        assert chat.ask("go on").content == "fine"

    gc.disable()
    try:
        thread = threading.Thread(target=collect_inside, daemon=True)
        thread.start()
        thread.join(20)
    finally:
        gc.enable()
        gate.open()
    assert not thread.is_alive()
    told = [(message.status, message.content) for message in chat.messages()]
    assert told[1:] == [("stopped", "half "), ("complete", "go on"), ("complete", "fine")]
