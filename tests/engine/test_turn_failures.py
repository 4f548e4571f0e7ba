"""What a provider can do wrong, over a real connection: the error, the rows, the next ask."""

import socket
import time
from typing import Any

import pytest
from four_ways import WAYS
from stored_rows import pending, raw_rows

import nbchat
from nbchat.exchange import Usage
from nbchat.messages import ToolCall
from nbchat.testing import Answer, Gate, ReplayServer, answer_to, said

PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}
NOW = {"retry-after": "0"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> nbchat.Store:
    return nbchat.open_store(tmp_path_factory.mktemp("store") / "chats.duckdb")


@pytest.fixture(params=PATHS)
def provider(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def error_body(kind: str, message: str) -> bytes:
    return f'{{"type": "error", "error": {{"type": "{kind}", "message": "{message}"}}}}'.encode()


def chat_at(url: str, provider: str, store: nbchat.Store, **more: Any) -> nbchat.Chat:
    return nbchat.create_chat(f"{provider}/x", base_url=url, store=store, **more)


def assert_failed(chat: nbchat.Chat, error: Any, statuses: list[int | None]) -> None:
    """The question is kept as failed, the placeholder is gone, every attempt is counted."""
    assert isinstance(error, nbchat.ProviderError)
    assert (error.provider, error.model) == (chat.provider, chat.model)
    assert pending(chat.store, chat.id) == []
    [user] = chat.messages()
    assert (user.role, user.status, user.content) == ("user", "failed", "hello")
    assert user.error == {
        "type": type(error).__name__, "message": str(error), "partial": error.partial,
    }  # fmt: skip
    rows = raw_rows(chat.store, chat.id, "requests")
    assert [row["status_code"] for row in rows] == statuses
    assert [row["attempt"] for row in rows] == list(range(1, len(statuses) + 1))
    assert {row["error_type"] for row in rows} == {type(error).__name__}
    assert rows[-1]["error_message"] == str(error)
    assert int(chat.stats()["failed_requests"][0]) == len(statuses)


def assert_goes_on(chat: nbchat.Chat, server: ReplayServer) -> None:
    """The next ask works, and the failed question is not sent again."""
    server.add("fine")
    assert chat.ask("go on").content == "fine"
    assert [m["content"] for m in server.requests[-1].json["messages"]] == ["go on"]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(400, NOW, error_body("invalid_request_error", "no")), nbchat.BadRequest),
        (Answer(401, NOW, error_body("authentication_error", "no")), nbchat.AuthFailed),
        (Answer(402, NOW, error_body("billing_error", "pay")), nbchat.QuotaExceeded),
        (Answer(404, NOW, error_body("not_found_error", "no model x")), nbchat.UnknownModel),
        (Answer(429, NOW, error_body("insufficient_quota", "exceeded your current quota")),
         nbchat.QuotaExceeded),
        (Answer(400, NOW, error_body("x", "prompt is too long: 9 > 8")), nbchat.ContextTooLong),
        (Answer(429, {"retry-after": "86400"}, b"tomorrow"), nbchat.RateLimited),
    ],
)  # fmt: skip
def test_what_waiting_does_not_cure_is_raised_at_once(
    provider: str, way: str, store: nbchat.Store, answer: Answer, kind: type[nbchat.ProviderError]
) -> None:
    with ReplayServer(answer) as server:
        chat = chat_at(server.url, provider, store)
        ended = WAYS[way](chat, "hello")
        assert type(ended.error) is kind
        assert_failed(chat, ended.error, [answer.status])
        assert len(server.requests) == 1
        assert_goes_on(chat, server)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
def test_what_passes_is_tried_three_times(provider: str, store: nbchat.Store, status: int) -> None:
    with ReplayServer(*[Answer(status, NOW, b"busy")] * 3) as server:
        chat = chat_at(server.url, provider, store)
        ended = WAYS["ask_stream"](chat, "hello")
        assert_failed(chat, ended.error, [status] * 3)
        assert [event.kind for event in ended.events] == ["retry", "retry"]
        assert len(server.requests) == 3
        assert len({request.body for request in server.requests}) == 1
        assert_goes_on(chat, server)


def test_retry_after_is_waited_for_and_told(provider: str, way: str, store: nbchat.Store) -> None:
    with ReplayServer(Answer(429, {"retry-after-ms": "250"}, b"slow"), "fine") as server:
        chat = chat_at(server.url, provider, store)
        began = time.monotonic()
        ended = WAYS[way](chat, "hello")
        assert time.monotonic() - began >= 0.25
    assert ended.message == chat.messages()[-1]
    assert [row["status_code"] for row in raw_rows(store, chat.id, "requests")] == [429, 200]
    waits = [event.wait_s for event in ended.events if event.kind == "retry"]
    assert waits == ([0.25] if "stream" in way else [])


def test_stop_while_it_waits_to_try_again(provider: str, store: nbchat.Store) -> None:
    with ReplayServer(Answer(429, {"retry-after": "50"}, b"slow")) as server:
        chat = chat_at(server.url, provider, store)
        for event in chat.ask_stream("hello"):
            assert event.kind == "retry" or event.message.status == "stopped"
            chat.stop()
    assert [message.status for message in chat.messages()] == ["complete"]
    assert pending(store, chat.id) == []


def test_a_refused_connection_is_tried_again_and_then_an_error(
    provider: str, store: nbchat.Store
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        chat = chat_at(f"http://127.0.0.1:{taken.getsockname()[1]}/v1", provider, store)
        ended = WAYS["ask_stream"](chat, "hello")
    assert isinstance(ended.error, nbchat.ConnectionFailed)
    assert_failed(chat, ended.error, [None] * 3)
    assert [event.kind for event in ended.events] == ["retry"] * 2


def test_a_connection_closed_without_an_answer_is_tried_again(
    provider: str, store: nbchat.Store
) -> None:
    with ReplayServer(Answer(None), "fine") as server:
        chat = chat_at(server.url, provider, store)
        assert chat.ask("hello").content == "fine"
    assert [row["status_code"] for row in raw_rows(store, chat.id, "requests")] == [None, 200]


def cut_stream(provider: str, keep: int) -> Answer:
    pieces = list(answer_to(PATHS[provider], said("half an answer"), stream=True).body)
    return Answer(headers={"content-type": "text/event-stream"}, body=pieces[:keep], cut=True)


def test_a_cut_stream_is_an_error_that_keeps_its_text_and_is_not_tried_again(
    provider: str, way: str, store: nbchat.Store
) -> None:
    with ReplayServer(cut_stream(provider, 4)) as server:
        chat = chat_at(server.url, provider, store)
        ended = WAYS[way](chat, "hello")
        assert isinstance(ended.error, nbchat.BrokenStream)
        assert ended.error.partial
        assert "half an answer".startswith(ended.error.partial)
        assert_failed(chat, ended.error, [200])
        assert len(server.requests) == 1
        assert_goes_on(chat, server)


def test_a_stream_that_just_ends_is_an_error(provider: str, way: str, store: nbchat.Store) -> None:
    pieces = list(answer_to(PATHS[provider], said("half an answer"), stream=True).body)
    with ReplayServer(Answer(body=pieces[:4])) as server:
        chat = chat_at(server.url, provider, store)
        ended = WAYS[way](chat, "hello")
        assert isinstance(ended.error, nbchat.BrokenStream)
        assert_failed(chat, ended.error, [200])
        assert len(server.requests) == 1


def test_an_error_inside_a_stream_of_200_is_that_error(
    provider: str, way: str, store: nbchat.Store
) -> None:
    pieces = list(answer_to(PATHS[provider], said("half an answer"), stream=True).body)[:4]
    pieces.append(b"event: error\ndata: " + error_body("overloaded_error", "busy") + b"\n\n")
    with ReplayServer(Answer(body=pieces)) as server:
        chat = chat_at(server.url, provider, store)
        ended = WAYS[way](chat, "hello")
        assert isinstance(ended.error, nbchat.ServerError)
        assert "half an answer".startswith(ended.error.partial)
        assert_failed(chat, ended.error, [200])
        assert len(server.requests) == 1  # a byte of the answer had come


def test_a_server_that_falls_silent_breaks_the_stream(provider: str, store: nbchat.Store) -> None:
    pieces = list(answer_to(PATHS[provider], said("half an answer"), stream=True).body)
    with ReplayServer(Answer(body=[*pieces[:4], Gate()])) as server:
        chat = chat_at(server.url, provider, store)
        ended = WAYS["ask"](chat, "hello", timeout=0.2)
        assert isinstance(ended.error, nbchat.BrokenStream)
        assert_failed(chat, ended.error, [200])
        assert server.requests[0].hung_up.wait(10)


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"null", b"<html>", b'{"ok": true}'])
def test_an_answer_that_makes_no_sense_is_a_broken_stream(
    provider: str, way: str, store: nbchat.Store, body: bytes
) -> None:
    with ReplayServer(Answer(body=body)) as server:
        chat = chat_at(server.url, provider, store)
        ended = WAYS[way](chat, "hello")
        assert isinstance(ended.error, nbchat.BrokenStream)
        assert_failed(chat, ended.error, [200])


def test_a_failure_in_a_later_round_keeps_the_tools_and_the_bill(
    provider: str, way: str, store: nbchat.Store
) -> None:
    def now() -> str:
        """Tell the time."""
        return "noon"

    first = said("let me ", ToolCall("now", {}, "c1"), usage=Usage(10, 5))
    with ReplayServer(first, Answer(400, {}, error_body("x", "no"))) as server:
        chat = chat_at(server.url, provider, store, tools=[now])
        ended = WAYS[way](chat, "hello")
        assert isinstance(ended.error, nbchat.BadRequest)
        assert ended.error.partial == "let me "
        [user] = chat.messages()
        assert user.status == "failed"
        [call] = raw_rows(store, chat.id, "tool_calls")
        requests = raw_rows(store, chat.id, "requests")
        assert call["status"] == "ok"
        assert {row["message_id"] for row in requests} == {call["message_id"]}
        stats = chat.stats().iloc[0]
        assert (stats["requests"], stats["failed_requests"], stats["tool_calls"]) == (2, 1, 1)
        assert (stats["input_tokens"], stats["output_tokens"]) == (10, 5)
        assert_goes_on(chat, server)
