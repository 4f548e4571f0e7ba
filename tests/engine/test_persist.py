"""What a chat does not keep is nowhere in its files, and what it keeps is all there."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from four_ways import STREAMED, WAYS, Ended
from stored_rows import pending, raw_rows, stored_rows
from unlogged_child import CANARY, streaming_into

import nbchat
from nbchat.display import chat_bundle
from nbchat.exchange import Request, Usage
from nbchat.messages import Text, Thinking, ToolCall
from nbchat.testing import ReplayServer, said, scripted

CHILD = Path(__file__).with_name("unlogged_child.py")
USAGE = Usage(100, 20, 30, 10, 5)


@pytest.fixture
def store(tmp_path: Path) -> nbchat.Store:
    return nbchat.open_store(tmp_path / "chats.duckdb")


@pytest.fixture(scope="module")
def memory() -> nbchat.Store:
    """A store for chats that keep everything, to compare with."""
    return nbchat.open_store(":memory:")


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def echo(text: str) -> str:
    """Say it again."""
    return f"{CANARY} {text}"


def fail(text: str) -> str:
    """Never works."""
    raise ValueError(f"{CANARY} {text}")


def explode(text: str) -> str:
    """Ends everything."""
    raise nbchat.ToolError(f"{CANARY} {text}", fatal=True)


def finish(text: str) -> str:
    """Gives the answer."""
    raise nbchat.Halt(f"{CANARY} {text}")


TOOLS = [echo, fail, explode, finish]


def call(name: str) -> ToolCall:
    return ToolCall(name, {"text": CANARY}, f"c {name}", signature=f"{CANARY} signature")


def chat_of(store: nbchat.Store, replies: list[Any], **options: Any) -> nbchat.Chat:
    return nbchat.create_chat(
        "function/x", store=store, tools=TOOLS, respond=scripted(replies),
        **{"log_content": False, **options},
    )  # fmt: skip


def bytes_beside(store: nbchat.Store) -> bytes:
    """All bytes of the store: its file, its log, what waits beside it."""
    place = Path(store.path)
    files = [file for file in place.parent.rglob("*") if file.is_file()]
    return b"".join(file.read_bytes() for file in files)


def assert_unsaid(chat: nbchat.Chat) -> None:
    """Nothing that was said is stored, neither as bytes nor as a value."""
    while_open = bytes_beside(chat.store)
    values = str([raw_rows(chat.store, chat.id, table) for table in ("messages", "tool_calls")])
    requests = str(raw_rows(chat.store, chat.id, "requests"))
    chat.store.close()
    for stored in (while_open, bytes_beside(chat.store), values.encode(), requests.encode()):
        assert CANARY.encode() not in stored


THINKING = Thinking(f"{CANARY} hm", f"{CANARY} sig")
THOUGHTS = [THINKING, f"{CANARY} let me ", call("echo"), call("fail"), call("nobody"), USAGE]


def broken() -> Iterator[Any]:
    yield f"{CANARY} half "
    raise nbchat.BadRequest(f"{CANARY} no", status=400)


KINDS: dict[str, tuple[list[Any], str, str]] = {
    "plain": ([[THINKING, f"{CANARY} yes", USAGE]], "complete", "complete"),
    "nothing said": ([[USAGE]], "complete", "complete"),
    "tools": ([THOUGHTS, [f"{CANARY} so", USAGE]], "complete", "complete"),
    "halt": ([[call("finish"), USAGE]], "complete", "complete"),
    "fatal tool": ([[f"{CANARY} ", call("explode"), USAGE]], "complete", "stopped"),
    "too many rounds": ([[call("echo"), USAGE], [call("echo"), USAGE]], "complete", "stopped"),
    "refused": ([nbchat.BadRequest(f"{CANARY} no", status=400)], "failed", ""),
    "broken off": ([lambda request: broken()], "failed", ""),
    "refused after tools": ([THOUGHTS, ValueError(f"{CANARY}")], "failed", ""),
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_unlogged_turn_keeps_every_metric_and_nothing_said(
    store: nbchat.Store, memory: nbchat.Store, way: str, kind: str
) -> None:
    replies, asked, answered = KINDS[kind]
    unlogged = chat_of(store, replies, max_tool_rounds=1)
    logged = chat_of(memory, replies, max_tool_rounds=1, log_content=True)

    WAYS[way](logged, f"{CANARY}?")
    WAYS[way](unlogged, f"{CANARY}?")

    rows, whole = (stored_rows(chat.store, chat.id) for chat in (unlogged, logged))
    assert [row["status"] for row in rows["messages"]] == [s for s in (asked, answered) if s]
    assert rows == {table: [hollow(table, row) for row in whole[table]] for table in whole}
    assert_unsaid(unlogged)


def hollow(table: str, row: dict[str, Any]) -> dict[str, Any]:
    """The row without what was said."""
    if table == "requests":
        return {**row, "error_message": None}
    if table == "tool_calls":
        said_in = ("result", "error", "thought", "thought_signature")
        return {**row, "arguments": {}, **dict.fromkeys(said_in)}
    error = row["error"] and {"type": row["error"]["type"]}
    nothing = dict.fromkeys(("thinking_text", "thinking_signature", "raw"))
    gone = {"content": "", "parts": [], "error": error, "content_removed_at": "a time"}
    return {**row, **nothing, **gone}


def test_the_bytes_of_a_logged_turn_do_tell(store: nbchat.Store) -> None:
    chat = chat_of(store, ["yes"], log_content=True)

    chat.ask(f"{CANARY}?")

    assert CANARY.encode() in bytes_beside(store)


@pytest.mark.parametrize("way", STREAMED)
def test_what_streams_in_is_saved_without_its_words(
    store: nbchat.Store, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nbchat.engine.turn.PROGRESS_S", 0.0)
    seen: list[bytes] = []

    def respond(request: Any) -> Iterator[Any]:
        yield from streaming_into(store)
        seen.append(bytes_beside(store))
        chat.stop()
        yield f"{CANARY} three"

    chat = chat_of(store, [respond])
    ended = WAYS[way](chat, f"{CANARY}?")

    assert ended.message is not None
    assert ended.message.status == "stopped"
    assert ended.message.content.startswith(f"{CANARY} one and two ")
    assert chat.messages()[-1].content == ended.message.content
    assert CANARY.encode() not in seen[0]
    assert pending(store) == []
    assert_unsaid(chat)


def test_a_process_killed_in_the_middle_leaves_a_metric_and_no_word(store: nbchat.Store) -> None:
    chat = chat_of(store, ["fine"], name="chat")
    store.close()

    child = subprocess.run(
        [sys.executable, str(CHILD), store.path, "chat"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert (child.stdout, child.returncode) == (b"start\n", -9)
    assert CANARY.encode() not in bytes_beside(store)
    user, answer = chat.messages()
    assert (user.status, answer.status) == ("complete", "interrupted")
    assert answer.error == {"type": "Interrupted"}
    assert None not in (user.content_removed_at, answer.content_removed_at)
    assert chat.ask("go on").content == "fine"
    assert_unsaid(chat)


def test_a_chat_whose_placeholder_was_left_empty_goes_on(store: nbchat.Store) -> None:
    chat = chat_of(store, [lambda request: leave_behind(store), "fine"])

    with pytest.raises(nbchat.StoreError):
        chat.ask(f"{CANARY}?")

    assert chat.ask("go on").content == "fine"
    assert [message.role for message in chat.messages()] == ["user", "user", "assistant"]
    assert_unsaid(chat)


def leave_behind(store: nbchat.Store) -> str:
    """Have the store fail from now on until the turn has given up."""
    failing(store, 1)
    raise nbchat.StoreError("the disk is full")


def failing(store: nbchat.Store, number: int) -> None:
    """Have the store fail at its Nth transaction from now, once."""
    transact = store.transact
    left = number

    def counted(work: Callable[[Any], Any], **options: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            del store.transact
            raise nbchat.StoreError("the disk is full")
        return transact(work, **options)

    store.transact = counted  # type: ignore[method-assign]  # a disk that fails


def test_an_unlogged_answer_that_cannot_be_stored_waits_without_its_words(
    store: nbchat.Store,
) -> None:
    def respond(request: Request) -> Any:
        failing(store, 1)
        return [THINKING, f"{CANARY} yes", USAGE]

    chat = chat_of(store, [respond, "fine"])
    with pytest.raises(nbchat.StoreError, match="Only what the answer used is kept in") as caught:
        chat.ask(f"{CANARY}?")
    assert caught.value.unsaved.content == f"{CANARY} yes"
    assert len(list(Path(f"{store.path}.spool").iterdir())) == 1
    assert CANARY.encode() not in bytes_beside(store)

    assert chat.ask("go on").content == "fine"

    assert [m.content for m in chat.messages()][1:] == [f"{CANARY} yes", "go on", "fine"]
    kept = raw_rows(store, chat.id, "messages")[1]
    assert (kept["status"], kept["output_tokens"], kept["raw"]) == ("complete", 20, None)
    assert kept["content_removed_at"] is not None
    assert len(raw_rows(store, chat.id, "requests")) == 2
    assert_unsaid(chat)


def test_an_answer_waits_without_the_rows_that_are_switched_off(store: nbchat.Store) -> None:
    def respond(request: Request) -> Any:
        failing(store, 1)
        return ["yes", USAGE]

    chat = chat_of(store, [respond], log_content=True, persist={"requests": False})
    with pytest.raises(nbchat.StoreError, match="The answer is kept in"):
        chat.ask("hello")

    assert chat.messages()[-1].content == "yes"
    assert raw_rows(store, chat.id, "requests") == []


# The conversation goes on --------------------------------------------------------------------

TURNS: list[Any] = [
    [THINKING, "let me ", call("echo"), call("fail")],
    "two",
    nbchat.BadRequest("no", status=400),
    [call("finish")],
    "five",
]


def replayed(chat: nbchat.Chat, way: str) -> list[Any]:
    """What the provider is sent, turn after turn, but for the ids."""
    chat._own.respond = script = scripted([*TURNS])
    for number in range(4):
        WAYS[way](chat, f"question {number} \ud800")
    return [
        [(message.role, message.status, message.content, message.parts) for message in sent]
        for sent in (request.messages for request in script.requests)
    ]


def test_the_same_chat_object_sends_what_a_logged_chat_sends(store: nbchat.Store, way: str) -> None:
    unlogged, logged = chat_of(store, []), chat_of(store, [], log_content=True)

    sent = replayed(unlogged, way)

    assert len(sent) == 5
    assert sent == replayed(logged, way)


@pytest.mark.parametrize("model", ["openai/x", "anthropic/x"])
def test_the_same_chat_object_sends_the_same_bytes_over_the_wire(
    store: nbchat.Store, model: str
) -> None:
    bodies = []
    for log_content in (False, True):
        answers = [said(*([THINKING] if "anthropic" in model else []), call("echo")), said("two")]
        with ReplayServer(*answers, said("three")) as server:
            chat = nbchat.create_chat(
                model, store=store, tools=TOOLS, base_url=server.url, api_key="no-key-at-all",
                log_content=log_content,
            )  # fmt: skip
            chat.ask("one")
            chat.ask("again")
            bodies.append([request.body for request in server.requests])

    assert len(bodies[0]) == 3
    assert bodies[0] == bodies[1]


def test_messages_are_whole_where_they_were_asked_and_hollow_elsewhere(
    store: nbchat.Store, way: str
) -> None:
    chat = chat_of(store, [THOUGHTS, ["so", USAGE], nbchat.BadRequest("no", status=400)])
    told: list[Ended] = [WAYS[way](chat, "one"), WAYS[way](chat, "two")]
    reloaded = nbchat.load_chat(chat.id, store=store)
    assert reloaded is not None

    asked, answer, failed = chat.messages()

    assert (asked.content, asked.parts) == ("one", (Text("one"),))
    assert answer == told[0].message
    assert answer.thinking_text == f"{CANARY} hm"
    assert len(answer.tool_calls) == 3
    assert (failed.content, failed.status) == ("two", "failed")
    assert failed.error == {"type": "BadRequest", "message": "no", "partial": ""}
    elsewhere = reloaded.messages()
    assert [message.content for message in elsewhere] == ["", "", ""]
    assert all(message.content_removed_at is not None for message in elsewhere)
    assert elsewhere[1].output_tokens == answer.output_tokens == 40
    assert chat.messages(as_frame=True)["content"].tolist() == ["", "", ""]


def test_a_reloaded_chat_leaves_out_what_nobody_remembers(store: nbchat.Store, way: str) -> None:
    WAYS[way](chat_of(store, ["yes"], name="chat", instructions="Be brief."), "one")
    script = scripted(["two", "three"])
    reloaded = nbchat.load_chat("chat", store=store, respond=script)
    assert reloaded is not None

    WAYS[way](reloaded, "second")
    WAYS[way](reloaded, "third")

    sent = [[message.content for message in request.messages] for request in script.requests]
    assert sent == [["second"], ["second", "two", "third"]]
    assert {request.instructions for request in script.requests} == {"Be brief."}
    assert [message.turn for message in reloaded.messages()] == [1, 1, 2, 2, 3, 3]


def test_events_are_whole(store: nbchat.Store) -> None:
    events = list(chat_of(store, [THOUGHTS, "so"]).ask_stream("one"))

    assert events[0].content is None or CANARY in events[0].content
    assert "".join(event.content or "" for event in events if event.kind == "text").endswith("so")
    started = [event for event in events if event.kind == "tool_start"]
    assert [event.arguments for event in started] == [{"text": CANARY}] * 3
    assert events[-1].message.content == f"{CANARY} let me so"


# Rows that are switched off ------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("off", ["tool_calls", "requests"])
def test_rows_that_are_switched_off_are_never_written(
    store: nbchat.Store, memory: nbchat.Store, kind: str, off: str
) -> None:
    options = {"max_tool_rounds": 1, "log_content": True}
    partial = chat_of(store, KINDS[kind][0], persist={off: False}, **options)
    whole = chat_of(memory, KINDS[kind][0], **options)

    WAYS["ask_stream"](partial, "one")
    WAYS["ask_stream"](whole, "one")

    assert stored_rows(store, partial.id) == {**stored_rows(whole.store, whole.id), off: []}


def test_a_chat_without_requests_knows_tokens_but_no_cost(store: nbchat.Store) -> None:
    priced = Usage(100, 20, cost_usd=Decimal("0.5"))
    chat = chat_of(store, [["yes", priced]], log_content=True, persist={"requests": False})

    chat.ask("one")

    answer = chat.messages()[-1]
    assert (answer.input_tokens, answer.output_tokens, answer.cost_usd) == (100, 20, None)
    assert "usage not recorded" in chat_bundle(chat)["text/plain"]
    assert "$" not in chat_bundle(chat)["text/plain"]


# The choice itself ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "stored"),
    [
        ({}, {}),
        ({"persist": {}}, {}),
        ({"persist": {"tool_calls": True, "requests": True}, "log_content": True}, {}),
        ({"persist": {"requests": False}}, {"persist": {"requests": False}}),
        (
            {"persist": {"tool_calls": False, "requests": True}, "log_content": False},
            {"persist": {"tool_calls": False}, "log_content": False},
        ),
    ],
    ids=repr,
)
def test_only_what_is_switched_off_is_stored_and_it_survives(
    store: nbchat.Store, options: dict[str, Any], stored: dict[str, Any]
) -> None:
    created = nbchat.create_chat("function/x", store=store, **options)
    chat = nbchat.load_chat(created.id, store=store, respond=scripted(["yes"]))
    assert chat is not None
    chat.with_temperature(0.5)

    chat.ask("hello")

    [text] = store.sql("select settings from chats")["settings"]
    settings = json.loads(text)
    assert {key: settings[key] for key in ("persist", "log_content") if key in settings} == stored
    is_kept = stored.get("persist", {}).get("requests", True)
    assert len(raw_rows(store, chat.id, "requests")) == int(is_kept)
    [asked, _] = raw_rows(store, chat.id, "messages")
    assert asked["content"] == ("hello" if stored.get("log_content", True) else "")


@pytest.mark.parametrize(
    "options",
    [
        {"persist": {"messages": False}},
        {"persist": {"requests": 0}},
        {"persist": {"requests": None}},
        {"persist": {"tool_calls": "no"}},
        {"persist": {True: False}},
        {"persist": ["requests"]},
        {"persist": False},
        {"log_content": None},
        {"log_content": "no"},
    ],
    ids=repr,
)
def test_a_choice_that_cannot_be_meant_is_refused(
    store: nbchat.Store, options: dict[str, Any]
) -> None:
    says = "tool_calls and requests" if "persist" in options else "log_content"
    with pytest.raises(nbchat.errors.ConfigError, match=says):
        nbchat.create_chat("function/x", store=store, **options)

    assert store.sql("select id from chats").empty
