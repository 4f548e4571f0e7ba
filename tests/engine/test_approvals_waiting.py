"""A turn waits for somebody's word, wherever that is said, and so does a tool that asks."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from approving_child import open_chat, respond
from four_ways import STREAMED, WAYS
from stored_rows import pending, raw_rows

import nbchat
from nbchat.messages import ToolCall
from nbchat.testing import scripted
from nbchat.tools import ToolContext

CHILD = Path(__file__).with_name("approving_child.py")
DENIED = "The user did not approve this call, so it was not run."
PROCESS_S = 60


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "chats.duckdb")


@pytest.fixture
def chat(path: str) -> nbchat.Chat:
    """The child's chat, as this process has it."""
    made = nbchat.create_chat("function/x", respond=respond, store=path)
    return open_chat(path, made.id)


def child(*arguments: str) -> subprocess.Popen[bytes]:
    search = os.pathsep.join(item for item in sys.path if item)
    return subprocess.Popen(
        [sys.executable, str(CHILD), *arguments],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": search},
    )


def done(process: subprocess.Popen[bytes]) -> list[Any]:
    out, _ = process.communicate(timeout=PROCESS_S)
    assert process.returncode == 0
    return [json.loads(line) for line in out.splitlines()]


def heard(process: subprocess.Popen[bytes]) -> Any:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def runs(path: str) -> int:
    ran = Path(f"{path}.ran")
    return len(ran.read_text("utf-8").splitlines()) if ran.exists() else 0


def states(chat: nbchat.Chat) -> list[tuple[str, str | None, int]]:
    rows = raw_rows(chat.store, chat.id, "tool_calls")
    return [(row["status"], row["approval"], row["attempt"]) for row in rows]


def results(message: nbchat.Message | None) -> list[str]:
    assert message is not None
    return [part.content for part in message.parts if part.kind == "tool_result"]


DECISIONS: dict[str, Callable[[nbchat.Chat, str], Any]] = {
    "approved": lambda chat, id_: chat.approve(id_),
    "always": lambda chat, id_: chat.approve(id_, always=True),
    "denied": lambda chat, id_: chat.deny(id_),
}


# Waiting for approve() or deny() ------------------------------------------------------------


@pytest.mark.parametrize("decision", DECISIONS)
def test_whoever_reads_the_stream_decides_where_it_waits(
    decision: str, chat: nbchat.Chat, path: str
) -> None:
    kinds = []
    for event in chat.ask_stream("hello", confirm="wait"):
        kinds.append(event.kind)
        if event.kind == "approval":
            assert [call.call_id for call in chat.approvals()] == [event.call_id]
            assert chat.approvals() == [event]
            DECISIONS[decision](chat, event.call_id)
    assert kinds == [
        "usage", "approval", "tool_start", "tool_end", "text", "usage", "done",
    ]  # fmt: skip
    assert states(chat) == [("denied" if decision == "denied" else "ok", decision, 1)]
    assert runs(path) == (decision != "denied")
    assert pending(chat.store) == []


@pytest.mark.parametrize("decision", DECISIONS)
def test_another_thread_with_another_object_decides(
    way: str, decision: str, chat: nbchat.Chat, path: str
) -> None:
    stored, other = threading.Event(), open_chat(path, chat.id)

    def decide() -> None:
        assert stored.wait(20)
        [call] = other.approvals()
        DECISIONS[decision](other, call.call_id)

    chat.on_response(lambda reply: stored.set())
    decider = threading.Thread(target=decide)
    decider.start()
    ended = WAYS[way](chat, "hello", confirm="wait")
    decider.join()
    assert results(ended.message) == [DENIED if decision == "denied" else "cancelled 1"]
    assert ended.message is not None
    assert (ended.message.status, ended.message.content) == ("complete", "done")
    assert states(chat) == [("denied" if decision == "denied" else "ok", decision, 1)]


@pytest.mark.parametrize("word", ["approve", "deny", "always"])
def test_another_process_decides(word: str, chat: nbchat.Chat, path: str) -> None:
    for event in chat.ask_stream("hello", confirm="wait"):
        if event.kind == "approval":
            done(child("decide", path, chat.id, event.call_id, word))
    assert runs(path) == (word != "deny")
    if word == "always":
        assert chat.ask("again").content == "done"
        assert runs(path) == 2


def test_stop_ends_the_waiting_and_the_call_waits_on(chat: nbchat.Chat, path: str) -> None:
    events = []
    for event in chat.ask_stream("hello", confirm="wait"):
        events.append(event)
        if event.kind == "approval":
            chat.stop()
    assert [event.kind for event in events] == ["usage", "approval", "done"]
    assert events[-1].message.status == "stopped"
    assert states(chat) == [("pending", "waiting", 1)]
    [call] = chat.approvals()
    assert chat.approve(call.call_id).resume().content == "done"
    assert runs(path) == 1
    assert states(chat) == [("ok", "approved", 1)]


def test_one_process_asks_another_approves_and_a_third_goes_on(
    chat: nbchat.Chat, path: str
) -> None:
    assert chat.ask("hello", confirm="later").status == "stopped"
    [call] = chat.approvals()
    done(child("decide", path, chat.id, call.call_id, "approve"))
    assert done(child("resume", path, chat.id)) == ["done"]
    assert runs(path) == 1
    assert states(chat) == [("ok", "approved", 1)]
    assert [message.content for message in chat.messages()] == ["hello", "done"]


def test_a_process_that_waits_hears_of_a_decision_in_another(chat: nbchat.Chat, path: str) -> None:
    waiting = child("ask", path, chat.id)
    call_id = heard(waiting)
    [call] = chat.approvals()
    assert call.call_id == call_id
    chat.approve(call_id)
    assert done(waiting) == [["complete", "done"]]
    assert runs(path) == 1


@pytest.mark.parametrize("decided", ["before the kill", "after the kill"])
def test_a_call_outlives_the_process_that_waited_for_its_approval(
    decided: str, chat: nbchat.Chat, path: str
) -> None:
    waiting = child("ask", path, chat.id)
    call_id = heard(waiting)
    waiting.kill()
    waiting.communicate(timeout=PROCESS_S)
    chat.store.close()
    reopened = open_chat(path, chat.id)
    assert [message.status for message in reopened.messages()] == ["complete", "interrupted"]
    assert [call.call_id for call in reopened.approvals()] == [call_id]
    assert states(reopened) == [("pending", "waiting", 1)]
    reopened.approve(call_id)
    assert reopened.resume().content == "done"
    assert runs(path) == 1
    assert states(reopened) == [("ok", "approved", 1)]
    assert pending(reopened.store) == []


# A tool asks --------------------------------------------------------------------------------


def sure(context: ToolContext) -> str:
    """Ask whether to go on."""
    return f"agreed: {context.confirm('Sure?')}"


async def asure(context: ToolContext) -> str:
    """Ask whether to go on."""
    return f"agreed: {await context.aconfirm('Sure?')}"


@pytest.fixture(params=[sure, asure])
def asking(request: pytest.FixtureRequest) -> Any:
    return request.param


def asking_chat(path: str, tool: Any, *replies: Any, **options: Any) -> nbchat.Chat:
    call = ToolCall(tool.__name__, {}, "c1")
    played = scripted(replies or [[call], "done"])
    return nbchat.create_chat("function/x", respond=played, store=path, tools=[tool], **options)


@pytest.mark.parametrize(
    ("confirm", "agreed", "approval"),
    [
        (lambda call: call.question == "Sure?", True, "approved"),
        (lambda call: False, False, "denied"),
        ("deny", False, "denied"),
        ("later", False, "denied"),  # a tool that runs cannot be left until later
    ],
)
def test_a_tool_asks_and_its_row_has_the_answer(
    asking: Any, confirm: Any, agreed: bool, approval: str, path: str
) -> None:
    chat = asking_chat(path, asking, confirm=confirm)
    message = chat.ask("hello")
    assert (message.status, results(message)) == ("complete", [f"agreed: {agreed}"])
    assert states(chat) == [("ok", approval, 1)]
    assert chat.approvals() == []


@pytest.mark.parametrize("way", STREAMED)
def test_a_tool_waits_for_approve(way: str, asking: Any, path: str) -> None:
    chat = asking_chat(path, asking)
    asked = []

    def decide(call: Any) -> bool:
        asked.append(call)
        chat.approve(call.call_id)
        return False  # too late

    ended = WAYS[way](chat, "hello", confirm=decide)
    assert results(ended.message) == ["agreed: True"]
    assert asked == [event for event in ended.events if event.kind == "approval"]
    assert [call.question for call in asked] == ["Sure?"]


def test_a_tool_that_asks_is_answered_by_whoever_reads_the_stream(asking: Any, path: str) -> None:
    chat = asking_chat(path, asking)
    for event in chat.ask_stream("hello", confirm="wait"):
        if event.kind == "approval":
            [call] = chat.approvals()
            assert (call.call_id, call.name) == (event.call_id, asking.__name__)
            chat.approve(event.call_id)
    assert results(chat.messages()[-1]) == ["agreed: True"]


def test_a_function_that_raises_is_the_tools_error(asking: Any, path: str) -> None:
    def confirm(call: Any) -> bool:
        raise ZeroDivisionError("oops")

    chat = asking_chat(path, asking, confirm=confirm)
    assert results(chat.ask("hello")) == ["ZeroDivisionError: oops"]


def test_a_tool_that_waits_for_an_answer_is_told_no_when_its_turn_is_stopped(path: str) -> None:
    answers, told = [], threading.Event()

    def ask(context: ToolContext) -> None:
        """Ask whether to go on."""
        answers.append(context.confirm("Sure?"))
        told.set()

    chat = asking_chat(path, ask)
    for event in chat.ask_stream("hello", confirm="wait"):
        if event.kind == "approval":
            chat.stop()
    assert told.wait(20)
    assert answers == [False]
    assert [row["status"] for row in raw_rows(chat.store, chat.id, "tool_calls")] == ["stopped"]
    assert chat.approvals() == []


def test_an_async_tool_that_would_wait_for_ever_is_told_what_to_call(path: str) -> None:
    async def ask(context: ToolContext) -> bool:
        """Ask whether to go on."""
        return context.confirm("Sure?")

    [told] = results(asking_chat(path, ask, confirm=lambda call: True).ask("hello"))
    assert told == (
        "ConfigError: An async tool cannot wait here. Use `await context.aconfirm(...)`."
    )


# Without rows -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("confirm", "agreed"),
    [(lambda call: True, True), (lambda call: False, False), ("deny", False), ("wait", False)],
)
def test_without_rows_a_function_decides_and_nobody_else_can(
    confirm: Any, agreed: bool, path: str
) -> None:
    ran = []

    @nbchat.tool(policy="confirm")
    def cancel() -> str:
        """Cancel."""
        ran.append(1)
        return "cancelled"

    options: dict[str, Any] = {"persist": {"tool_calls": False}, "confirm": confirm}
    call = [ToolCall("cancel", {}, "c1")]
    played = scripted([call, "done"])
    chat = nbchat.create_chat("function/x", respond=played, store=path, tools=[cancel], **options)
    assert chat.ask("hello").content == "done"
    assert len(ran) == agreed
    assert raw_rows(chat.store, chat.id, "tool_calls") == []


def test_without_rows_a_tool_may_ask_a_function(asking: Any, path: str) -> None:
    options: dict[str, Any] = {"persist": {"tool_calls": False}}
    chat = asking_chat(path, asking, confirm=lambda call: True, **options)
    assert results(chat.ask("hello")) == ["agreed: True"]


def test_without_rows_always_is_kept_all_the_same(path: str) -> None:
    tool = nbchat.tool(lambda: "so", name="so", description="So.", policy="confirm")
    call = [ToolCall("so", {}, "c1")]
    chat = nbchat.create_chat(
        "function/x", respond=scripted([call, "done"]), store=path, tools=[tool],
        confirm=lambda call: "always", persist={"tool_calls": False},
    )  # fmt: skip
    chat.ask("hello")
    loaded = nbchat.load_chat(chat.id, store=path, tools=[tool], respond=scripted([call, "done"]))
    assert loaded is not None
    assert results(loaded.ask("again")) == ["so"]
