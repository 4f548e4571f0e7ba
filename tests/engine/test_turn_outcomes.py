"""Every way a turn can end leaves exactly these rows, however it was asked."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from four_ways import STREAMED, WAYS
from stored_rows import ASSISTANT, NO_RESULT, REQUEST, TOOL_CALL, USER, pending, stored_rows

import nbchat
from nbchat.messages import Text, Thinking, ToolCall
from nbchat.testing import Gate, scripted

ADD = ToolCall("add", {"a": 1, "b": 2}, "c1")
CALL_PART = {
    "kind": "tool_call", "name": "add", "arguments": {"a": 1, "b": 2}, "tool_call_id": "c1",
    "round": 1,
}  # fmt: skip
RESULT_PART = {
    "kind": "tool_result", "content": "3", "tool_call_id": "c1", "name": "add",
    "is_error": False, "seq": 1, "round": 1,
}  # fmt: skip


PENDING_CALLS = "select 1 from tool_calls where status = 'pending'"


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> nbchat.Store:
    return nbchat.open_store(tmp_path_factory.mktemp("store") / "chats.duckdb")


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def chat_of(store: nbchat.Store, replies: list[Any], **options: Any) -> nbchat.Chat:
    return nbchat.create_chat(
        "function/x", respond=scripted(replies), store=store, **{"tools": [add], **options}
    )


def text_part(text: str, number: int = 1) -> dict[str, Any]:
    return {"kind": "text", "text": text, "round": number}


def rows_of(chat: nbchat.Chat) -> dict[str, Any]:
    assert pending(chat.store, chat.id) == []
    return stored_rows(chat.store, chat.id, ttft=False)


def without_ttft(row: dict[str, Any], **changes: Any) -> dict[str, Any]:
    changed = {**row, **changes}
    changed.pop("ttft_ms", None)
    return changed


def request(**changes: Any) -> dict[str, Any]:
    return without_ttft(REQUEST, **changes)


ASKED_FOR_TOOLS = request(finish_reason="tool_calls")


def test_success_completes_both_messages(way: str, store: nbchat.Store) -> None:
    chat = chat_of(store, [["let me ", ADD], iter([Thinking("hm", "sig"), "it ", "is 3"])])
    ended = WAYS[way](chat, "hello")
    assert ended.message == chat.messages()[-1]
    parts = [text_part("let me "), CALL_PART, RESULT_PART,
             {"kind": "thinking", "text": "hm", "signature": "sig", "round": 2},
             text_part("it is 3", 2)]  # fmt: skip
    answer = {**ASSISTANT, "content": "let me it is 3", "parts": parts, "thinking_text": "hm",
              "thinking_signature": "sig", "finish_reason": "stop"}  # fmt: skip
    assert rows_of(chat) == {
        "messages": [USER, answer],
        "tool_calls": [TOOL_CALL],
        "requests": [ASKED_FOR_TOOLS, request(round=2)],
    }


def test_an_api_failure_keeps_the_question_and_the_bill(way: str, store: nbchat.Store) -> None:
    refusal = nbchat.BadRequest("The provider answered 400: no", status=400)
    chat = chat_of(store, [["let me ", ADD], iter(["half", refusal])])
    ended = WAYS[way](chat, "hello")
    assert ended.error is refusal
    assert refusal.partial == "let me half"
    error = {
        "type": "BadRequest", "message": "The provider answered 400: no", "partial": "let me half",
    }  # fmt: skip
    failed = request(message_id="deleted", round=2, status_code=400, finish_reason=None,
                     error_type="BadRequest", error_message=str(refusal))  # fmt: skip
    assert rows_of(chat) == {
        "messages": [{**USER, "status": "failed", "error": error}],
        "tool_calls": [{**TOOL_CALL, "message_id": "deleted"}],
        "requests": [request(message_id="deleted", finish_reason="tool_calls"), failed],
    }
    assert chat.stats()[["requests", "failed_requests", "tool_calls"]].values.tolist() == [
        [2, 1, 1]
    ]


def test_a_broken_respond_function_fails_the_turn_with_its_own_error(
    way: str, store: nbchat.Store
) -> None:
    broken = ZeroDivisionError("by zero")
    chat = chat_of(store, [broken])
    assert WAYS[way](chat, "hello").error is broken
    error = {"type": "ZeroDivisionError", "message": "by zero", "partial": ""}
    assert rows_of(chat) == {
        "messages": [{**USER, "status": "failed", "error": error}],
        "tool_calls": [],
        "requests": [request(message_id="deleted", status_code=None, finish_reason=None,
                             error_type="ZeroDivisionError", error_message="by zero")],
    }  # fmt: skip


@pytest.mark.parametrize("limit", [0, 1, 2])
def test_max_tool_rounds_means_exactly_so_many(way: str, store: nbchat.Store, limit: int) -> None:
    replies = [[f"{n} ", ToolCall("add", {"a": 1, "b": 2}, f"c{n}")] for n in range(1, limit + 2)]
    chat = chat_of(store, replies, max_tool_rounds=limit)
    ended = WAYS[way](chat, "hello")
    assert isinstance(ended.error, nbchat.ToolRoundsExceeded)
    rows = rows_of(chat)
    numbers = range(1, limit + 2)
    assert rows["requests"] == [request(round=n, finish_reason="tool_calls") for n in numbers]
    assert rows["tool_calls"] == [
        {**TOOL_CALL, "round": n, "tool_call_id": f"c{n}", "repeats": n - 1}
        for n in range(1, limit + 1)
    ]
    parts = [
        part
        for n in numbers
        for part in (
            text_part(f"{n} ", n),
            {**CALL_PART, "tool_call_id": f"c{n}", "round": n},
            {**RESULT_PART, "tool_call_id": f"c{n}", "round": n},
        )
    ][:-1]
    error = {"type": "ToolRoundsExceeded", "message": str(ended.error)}
    assert rows["messages"] == [
        USER,
        {**ASSISTANT, "status": "stopped", "content": "".join(f"{n} " for n in numbers),
         "parts": parts, "finish_reason": "tool_calls", "error": error},
    ]  # fmt: skip


def test_a_fatal_tool_ends_the_turn_after_its_neighbours(way: str, store: nbchat.Store) -> None:
    def explode() -> None:
        """Never works."""
        raise nbchat.ToolError("no more", fatal=True)

    chat = chat_of(store, [["so ", ToolCall("explode", {}, "x"), ADD]], tools=[add, explode])
    ended = WAYS[way](chat, "hello")
    assert isinstance(ended.error, nbchat.ToolError)
    rows = rows_of(chat)
    exploded = {"tool_call_id": "x", "name": "explode", "arguments": {}}
    assert rows["tool_calls"] == [
        {**TOOL_CALL, **exploded, **NO_RESULT, "status": "error", "error": "no more"},
        {**TOOL_CALL, "seq": 2},
    ]
    parts = [
        text_part("so "),
        {**CALL_PART, **exploded},
        CALL_PART,
        {**RESULT_PART, "content": "no more", "tool_call_id": "x", "name": "explode",
         "is_error": True},
        {**RESULT_PART, "seq": 2},
    ]  # fmt: skip
    error = {"type": "ToolError", "message": "no more"}
    assert rows["messages"] == [
        USER,
        {**ASSISTANT, "status": "stopped", "content": "so ", "parts": parts,
         "finish_reason": "tool_calls", "error": error},
    ]  # fmt: skip
    assert rows["requests"] == [ASKED_FOR_TOOLS]


def test_halt_completes_the_turn_with_its_value(way: str, store: nbchat.Store) -> None:
    def finish(answer: str) -> None:
        """Give the answer."""
        raise nbchat.Halt({"answer": answer})

    call = ToolCall("finish", {"answer": "é"}, "c1")
    chat = chat_of(store, [[call]], tools=[finish])
    ended = WAYS[way](chat, "hello")
    value = '{"answer": "é"}'
    called = {"name": "finish", "arguments": {"answer": "é"}}
    parts = [{**CALL_PART, **called},
             {**RESULT_PART, "name": "finish", "content": value, "halts": True},
             text_part(value, 2)]  # fmt: skip
    assert ended.message == chat.messages()[-1]
    assert rows_of(chat) == {
        "messages": [
            USER,
            {**ASSISTANT, "content": value, "parts": parts, "finish_reason": "stop"},
        ],
        "tool_calls": [
            {**TOOL_CALL, **called, "result": value, "full_chars": 15, "sent_chars": 15}
        ],
        "requests": [ASKED_FOR_TOOLS],
    }


def test_a_halt_whose_value_has_no_text_form_is_a_failed_tool(
    way: str, store: nbchat.Store
) -> None:
    class Mute:
        def __repr__(self) -> str:
            raise ValueError("nothing to show")

    def finish() -> None:
        """Give the answer."""
        raise nbchat.Halt(Mute())

    chat = chat_of(store, [[ToolCall("finish", {}, "c1")], "sorry"], tools=[finish])
    ended = WAYS[way](chat, "hello")
    assert (ended.error, ended.message and ended.message.content) == (None, "sorry")
    [call] = rows_of(chat)["tool_calls"]
    assert (call["status"], call["error"]) == ("error", "ValueError: nothing to show")


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("is_async", [False, True])
def test_a_tool_that_exits_takes_nothing_down(
    store: nbchat.Store, kind: type[BaseException], is_async: bool
) -> None:
    def leave() -> None:
        """Go."""
        raise kind("bye")

    async def aleave() -> None:
        """Go."""
        raise kind("bye")

    tool = nbchat.tool(aleave if is_async else leave, name="leave")
    chat = chat_of(store, [[ToolCall("leave", {}, "c1")], "still here"], tools=[tool])
    assert chat.ask("hello").content == "still here"
    [call] = rows_of(chat)["tool_calls"]
    assert (call["status"], call["error"]) == (
        "error", f"RuntimeError: {kind.__name__} was raised: bye",
    )  # fmt: skip


def test_a_tool_that_cancels_itself_has_failed_and_stops_nothing(
    way: str, store: nbchat.Store
) -> None:
    async def give_up() -> None:
        """Cancel."""
        raise asyncio.CancelledError

    chat = chat_of(store, [[ToolCall("give_up", {}, "c1")], "go on"], tools=[give_up])
    ended = WAYS[way](chat, "hello")
    assert ended.message is not None
    assert ended.message.content == "go on"
    assert rows_of(chat)["tool_calls"][0]["status"] == "error"


STOPPED_REQUEST = request(
    status_code=None, finish_reason=None, error_type="Stopped", error_message="stopped"
)


def held(gate: Gate, *before: Any) -> Iterator[Any]:
    """Says something, then nothing until the gate opens."""
    yield from before
    gate.reached.set_result(None)
    gate.opened.result(30)
    yield "never heard"


def stop_at(gate: Gate, chat: nbchat.Chat) -> threading.Thread:
    def stop() -> None:
        gate.wait_reached()
        chat.stop()

    thread = threading.Thread(target=stop)
    thread.start()
    return thread


def test_stop_while_an_answer_arrives_keeps_what_arrived(way: str, store: nbchat.Store) -> None:
    gate = Gate()
    chat = chat_of(store, [held(gate, Thinking("hm"), "so ", "far")])
    stopper = stop_at(gate, chat)
    ended = WAYS[way](chat, "hello")
    stopper.join()
    gate.open()
    parts = [{"kind": "thinking", "text": "hm", "round": 1}, text_part("so far")]
    assert rows_of(chat) == {
        "messages": [
            USER,
            {**ASSISTANT, "status": "stopped", "content": "so far", "parts": parts,
             "thinking_text": "hm"},
        ],
        "tool_calls": [],
        "requests": [STOPPED_REQUEST],
    }  # fmt: skip
    assert ended.message == chat.messages()[-1]


def test_stop_before_anything_arrived_leaves_the_question_alone(
    way: str, store: nbchat.Store
) -> None:
    gate = Gate()
    chat = chat_of(store, [held(gate), "again"])
    stopper = stop_at(gate, chat)
    ended = WAYS[way](chat, "hello")
    stopper.join()
    gate.open()
    assert ended.message is not None
    assert (ended.message.status, ended.message.content) == ("stopped", "")
    assert rows_of(chat) == {
        "messages": [USER],
        "tool_calls": [],
        "requests": [{**STOPPED_REQUEST, "message_id": "deleted"}],
    }
    assert WAYS[way](chat, "go on").message == chat.messages()[-1]


def test_stop_while_a_tool_runs_keeps_the_round(way: str, store: nbchat.Store) -> None:
    gate = Gate()

    def wait() -> str:
        """Wait."""
        gate.reached.set_result(None)
        gate.opened.result(30)
        return "late"

    calls = [ToolCall("wait", {}, "w"), ADD]
    chat = chat_of(store, [["so ", *calls]], tools=[wait, add])
    stopper = stop_at(gate, chat)
    ended = WAYS[way](chat, "hello")
    stopper.join()
    gate.open()
    rows = rows_of(chat)
    assert ended.message == chat.messages()[-1]
    waited = {"tool_call_id": "w", "name": "wait", "arguments": {}}
    assert rows["tool_calls"][0] == {
        **TOOL_CALL, **waited, **NO_RESULT, "status": "stopped", "error": "",
    }  # fmt: skip
    assert rows["tool_calls"][1]["status"] in ("ok", "stopped")
    stopped = rows["messages"][1]
    assert (stopped["status"], stopped["content"]) == ("stopped", "so ")
    assert stopped["parts"][:3] == [text_part("so "), {**CALL_PART, **waited}, CALL_PART]


def test_stop_during_a_commit_leaves_no_tool_call_pending(way: str, store: nbchat.Store) -> None:
    """The cancellation lands between the commit of the calls' rows and their first step."""
    reached, chats = threading.Event(), []
    original = store.transact

    def transact(work: Any) -> Any:
        result = original(work)
        pending = original(lambda cursor: cursor.execute(PENDING_CALLS).fetchall())
        if pending and not reached.is_set():
            reached.set()
            chats[0].stop()
        return result

    chat = chat_of(store, [["so ", ADD, ADD]])
    chats.append(chat)
    store.transact = transact  # type: ignore[method-assign]  # a slow disk, as the engine sees it
    try:
        ended = WAYS[way](chat, "hello")
    finally:
        del store.transact
    assert reached.is_set()
    rows = rows_of(chat)
    assert [call["status"] for call in rows["tool_calls"]] == ["stopped", "stopped"]
    assert ended.message == chat.messages()[-1]
    assert rows["messages"][1]["status"] == "stopped"


@pytest.mark.parametrize("way", STREAMED)
def test_text_events_are_the_content(way: str, store: nbchat.Store) -> None:
    chat = chat_of(store, [["let ", ADD], iter([Thinking("h"), "it", Text(" is "), "3"])])
    ended = WAYS[way](chat, "hello")
    answer = chat.messages()[-1]
    assert ended.text == answer.content == "let it is 3"
    kinds = [event.kind for event in ended.events]
    assert kinds == [
        "text", "usage", "tool_start", "tool_end", "thinking", "text", "text", "text", "usage",
        "done",
    ]  # fmt: skip
    assert {event.message_id for event in ended.events} == {answer.id}
    assert all((event.kind == "text") == (event.content is not None) for event in ended.events)
