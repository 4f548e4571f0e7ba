"""Each step of a turn is committed before the next begins; what was paid for is counted."""

import threading
from pathlib import Path
from typing import Any

import pytest
from four_ways import STREAMED, WAYS
from stored_rows import raw_rows

import nbchat
from nbchat.exchange import Usage
from nbchat.messages import Thinking, ToolCall
from nbchat.testing import Answer, Gate, ReplayServer, answer_to, said, sse

PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}


@pytest.fixture
def store(tmp_path: Path) -> nbchat.Store:
    return nbchat.open_store(tmp_path / "chats.duckdb")


@pytest.fixture(params=PATHS)
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def chat_at(server: ReplayServer, provider: str, store: nbchat.Store, **more: Any) -> nbchat.Chat:
    return nbchat.create_chat(f"{provider}/x", base_url=server.url, store=store, **more)


def records(frame: Any) -> list[dict[str, Any]]:
    return list(frame.to_dict("records"))


def test_the_placeholder_is_stored_and_its_id_known_before_the_first_byte(
    provider: str, store: nbchat.Store
) -> None:
    gate = Gate()
    held = Answer(headers={"content-type": "text/event-stream"}, hold=gate,
                  body=answer_to(PATHS[provider], said("hello you"), stream=True).body)  # fmt: skip
    with ReplayServer(held) as server:
        stream = chat_at(server, provider, store).ask_stream("hello")
        gate.wait_reached()
        rows = records(
            nbchat.sql("select role, status, content, id from messages order by seq", store=store)
        )
        assert [(row["role"], row["status"], row["content"]) for row in rows] == [
            ("user", "complete", "hello"),
            ("assistant", "pending", ""),
        ]
        assert rows[1]["id"] == stream.message_id
        gate.open()
        events = list(stream)
    assert {event.message_id for event in events} == {rows[1]["id"]}


def test_a_tool_has_its_row_before_its_body_and_its_result_before_the_next_request(
    provider: str, store: nbchat.Store
) -> None:
    seen: list[Any] = []

    def look() -> str:
        """Look into the store."""
        question = "select tool_call_id, name, arguments, status, result from tool_calls"
        seen.append(records(nbchat.sql(question, store=store)))
        return "seen"

    def second(received: Any) -> Any:
        question = "select t.status, t.result, m.parts from tool_calls as t, messages as m"
        seen.append(records(nbchat.sql(f"{question} where m.status = 'pending'", store=store)))
        return said("done")

    with ReplayServer(said("let me ", ToolCall("look", {}, "c1")), second) as server:
        chat_at(server, provider, store, tools=[look]).ask("hello")
    before, after = seen
    assert [{**row, "result": None} for row in before] == [
        {"tool_call_id": "c1", "name": "look", "arguments": "{}", "status": "pending",
         "result": None}
    ]  # fmt: skip
    [row] = after
    assert (row["status"], row["result"]) == ("ok", "seen")
    assert '"content": "seen"' in row["parts"]


@pytest.mark.parametrize("way", WAYS)
def test_every_attempt_has_its_row_and_attempts_restart_each_round(
    provider: str, way: str, store: nbchat.Store
) -> None:
    def now() -> str:
        """Tell the time."""
        return "noon"

    soon = {"retry-after": "0", "request-id": "req-1", "x-request-id": "req-1"}
    with ReplayServer(
        Answer(429, soon, b'{"error": {"message": "slow down", "type": "rate_limit_error"}}'),
        Answer(529, soon, b'{"error": {"message": "overloaded", "type": "overloaded_error"}}'),
        said("so ", ToolCall("now", {}, "c1"), usage=Usage(10, 5), model="x-1"),
        Answer(500, soon, b"oops"),
        said("it is noon", usage=Usage(20, 7), model="x-2"),
    ) as server:
        chat = chat_at(server, provider, store, tools=[now])
        ended = WAYS[way](chat, "hello")
        assert ended.error is None
    rows = raw_rows(store, chat.id, "requests")
    told = ("round", "attempt", "status_code", "error_type", "input_tokens", "output_tokens",
            "answered_model", "provider_request_id")  # fmt: skip
    assert [tuple(row[name] for name in told) for row in rows] == [
        (1, 1, 429, "RateLimited", None, None, None, "req-1"),
        (1, 2, 529, "ServerError", None, None, None, "req-1"),
        (1, 3, 200, None, 10, 5, "x-1", None),
        (2, 1, 500, "ServerError", None, None, None, "req-1"),
        (2, 2, 200, None, 20, 7, "x-2", None),
    ]
    assert all(row["duration_ms"] > 0 for row in rows)
    streamed = [row["ttft_ms"] is not None for row in rows]
    expected = way in STREAMED
    assert streamed == [False, False, expected, False, expected]
    for row in rows:
        assert row["ttft_ms"] is None or 0 < row["ttft_ms"] <= row["duration_ms"]
    assert [row.get("stream", False) for row in (r.json for r in server.requests)] == [expected] * 5
    answer = chat.messages()[-1]
    assert (answer.input_tokens, answer.output_tokens) == (30, 12)
    if way in STREAMED:
        retries = [event for event in ended.events if event.kind == "retry"]
        assert [(event.attempt, event.wait_s) for event in retries] == [
            (1, 0.0),
            (2, 0.0),
            (1, 0.0),
        ]


def test_after_each_round_the_placeholder_holds_what_has_arrived(
    provider: str, store: nbchat.Store
) -> None:
    seen: list[Any] = []

    def look() -> str:
        """Look into the store."""
        seen.append(chat.messages()[-1])
        return "seen"

    call = ToolCall("look", {}, "c1")
    first = said(Thinking("hm", "sig"), "let me ", call, usage=Usage(10, 5))
    with ReplayServer(first, "done") as server:
        chat = chat_at(server, provider, store, tools=[look])
        chat.ask("hello")
    [message] = seen
    assert (message.status, message.content, message.thinking_text) == ("pending", "let me ", "hm")
    assert (message.input_tokens, message.output_tokens) == (10, 5)
    assert [part.kind for part in message.parts] == ["thinking", "text", "tool_call"]
    assert len(message.raw) == 1


@pytest.mark.parametrize("way", STREAMED)
def test_events_in_order_their_text_is_the_content(
    provider: str, way: str, store: nbchat.Store
) -> None:
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    calls = [ToolCall("add", {"a": 1, "b": 2}, "c1"), ToolCall("add", {"a": "x"}, "c2"),
             ToolCall("sub", {}, "c3")]  # fmt: skip
    with ReplayServer(
        said(Thinking("Let me think", "sig"), "Grüße, ", *calls), said("世界 it is ", "three")
    ) as server:
        chat = chat_at(server, provider, store, tools=[add])
        ended = WAYS[way](chat, "hello")
    answer = chat.messages()[-1]
    assert ended.text == answer.content == "Grüße, 世界 it is three"
    assert ended.events[-1].message == answer
    assert {event.message_id for event in ended.events} == {answer.id}
    for event in ended.events:
        assert (event.kind == "text") == (event.content is not None)
        assert isinstance(event.kind, str)
    thinking = [event.thinking for event in ended.events if event.kind == "thinking"]
    assert "".join(thinking) == answer.thinking_text == "Let me think"
    kinds = [event.kind for event in ended.events if event.kind not in ("text", "thinking")]
    assert kinds[0] == "usage"
    assert kinds[-2:] == ["usage", "done"]
    assert sorted(kinds[1:-2]) == ["tool_end"] * 3 + ["tool_start"] * 3
    for call in ("c1", "c2", "c3"):
        told = [e.kind for e in ended.events if getattr(e, "tool_call_id", None) == call]
        assert told == ["tool_start", "tool_end"]
    ends = {e.tool_call_id: (e.status, e.result) for e in ended.events if e.kind == "tool_end"}
    assert ends == {"c1": ("ok", "3"), "c2": ("invalid", None), "c3": ("unknown_tool", None)}
    rows = raw_rows(store, chat.id, "tool_calls")
    assert [(row["seq"], row["tool_call_id"], row["status"]) for row in rows] == [
        (1, "c1", "ok"), (2, "c2", "invalid"), (3, "c3", "unknown_tool"),
    ]  # fmt: skip


def test_a_decoder_goes_by_what_the_answer_is(store: nbchat.Store) -> None:
    """A plain request that is answered with a stream, and the other way round."""
    path = PATHS["openai"]
    with ReplayServer(
        answer_to(path, said("streamed"), stream=True),
        answer_to(path, said("plain"), stream=False),
    ) as server:
        chat = chat_at(server, "openai", store)
        assert chat.ask("hello").content == "streamed"
        assert "".join(event.content or "" for event in chat.ask_stream("hello")) == "plain"
    assert [bool(row["ttft_ms"]) for row in raw_rows(store, chat.id, "requests")] == [False, True]


def test_parallel_tools_run_at_once_and_are_recorded_in_order(store: nbchat.Store) -> None:
    together = threading.Barrier(3, timeout=20)

    def meet(name: str) -> str:
        """Wait for the others."""
        together.wait()
        return name

    calls = [ToolCall("meet", {"name": name}, "same-id") for name in "abc"]
    with ReplayServer(said(*calls), "done") as server:
        chat = chat_at(server, "openai", store, tools=[meet])
        chat.ask("hello")
    rows = raw_rows(store, chat.id, "tool_calls")
    assert [(row["seq"], row["result"], row["tool_call_id"]) for row in rows] == [
        (1, "a", "same-id"), (2, "b", "same-id"), (3, "c", "same-id"),
    ]  # fmt: skip
    results = server.requests[1].json["messages"][-3:]
    assert [(result["role"], result["content"]) for result in results] == [
        ("tool", "a"), ("tool", "b"), ("tool", "c"),
    ]  # fmt: skip
    assert len({result["tool_call_id"] for result in results}) == 3


def test_an_error_event_ends_every_way_with_what_had_arrived(store: nbchat.Store) -> None:
    events = sse([{"choices": [{"index": 0, "delta": {"content": "half"}}]},
                  {"error": {"message": "overloaded", "type": "overloaded_error"}}])  # fmt: skip
    for way in WAYS.values():
        with ReplayServer(Answer(body=events)) as server:
            chat = chat_at(server, "openai", store)
            ended = way(chat, "hello")
        assert isinstance(ended.error, nbchat.ServerError)
        assert ended.error.partial == "half"
        assert len(server.requests) == 1
