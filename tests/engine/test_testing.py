"""The replay server and the scripts are themselves real: bytes over a socket, in order."""

import httpx
import pytest

import nbchat
from nbchat.exchange import Reply, Usage
from nbchat.messages import Text, Thinking, ToolCall
from nbchat.testing import Answer, Gate, ReplayServer, answer_to, said, scripted
from nbchat.wires.anthropic import AnthropicMessages
from nbchat.wires.openai_chat import OpenAIChat

REPLY = said(
    Thinking("Let me see", "sig"),
    Text("Grüße, 世界"),
    ToolCall("add", {"a": 1, "b": {"c": [None, "x"]}}, "c1"),
    ToolCall("now", {}, "c2"),
    ToolCall("cut", '{"a": ', "c3"),
    usage=Usage(100, 20, 40, 10),
)
WIRES = {"/v1/chat/completions": OpenAIChat(), "/v1/messages": AnthropicMessages()}


def decoded(path: str, reply: Reply, *, stream: bool) -> Reply:
    answer = answer_to(path, reply, stream=stream)
    decoder = WIRES[path].decoder()
    pieces = [answer.body] if isinstance(answer.body, bytes) else answer.body
    for piece in pieces:
        list(decoder.feed(piece))
    list(decoder.finish())
    return decoder.reply()


@pytest.mark.parametrize("path", WIRES)
def test_a_reply_says_the_same_plain_and_streamed(path: str) -> None:
    plain, streamed = (decoded(path, REPLY, stream=stream) for stream in (False, True))
    assert (plain.parts, plain.blocks, plain.finish_reason, plain.model) == (
        streamed.parts, streamed.blocks, streamed.finish_reason, streamed.model,
    )  # fmt: skip
    counts = [(u.input_tokens, u.output_tokens, u.cached_input_tokens, u.cache_write_tokens)
              for u in (plain.usage, streamed.usage)]  # fmt: skip
    assert counts == [(100, 20, 40, 10)] * 2
    assert plain.text == "Grüße, 世界"
    assert plain.tool_calls == REPLY.tool_calls


def test_the_server_plays_in_order_and_remembers() -> None:
    with ReplayServer(Answer(503, {"retry-after": "1"}, b"later"), "hello") as server:
        first = httpx.post(f"{server.url}/chat/completions", json={"n": 1})
        second = httpx.post(f"{server.url}/chat/completions", json={"n": 2})
        third = httpx.post(f"{server.url}/chat/completions", json={"n": 3})
    assert (first.status_code, first.headers["retry-after"], first.text) == (503, "1", "later")
    assert second.json()["choices"][0]["message"]["content"] == "hello"
    assert third.status_code == 418
    assert [request.json["n"] for request in server.requests] == [1, 2, 3]
    assert not any(request.hung_up.is_set() for request in server.requests)


def test_a_gate_holds_the_rest_back_and_a_client_that_leaves_is_noticed() -> None:
    gate = Gate()
    with (
        ReplayServer(Answer(body=[b"one", gate, b"two"])) as server,
        httpx.stream("POST", server.url) as response,
    ):
        pieces = response.iter_raw()
        assert next(pieces) == b"one"
        gate.wait_reached()
        response.close()
        assert server.requests[0].hung_up.wait(10)


def test_a_cut_body_and_no_answer_at_all_are_errors_to_any_client() -> None:
    with ReplayServer(Answer(body=[b"one"], cut=True), Answer(None)) as server:
        for _ in range(2):
            with pytest.raises(httpx.RemoteProtocolError):
                httpx.post(server.url)


def test_a_script_plays_its_replies_and_says_when_it_has_ended() -> None:
    script = scripted(["one", lambda request: f"two of {len(request.messages)}"])
    chat = nbchat.create_chat("function/x", respond=script, store=":memory:")
    assert [chat.ask("hi").content, chat.ask("hi").content] == ["one", "two of 3"]
    with pytest.raises(nbchat.NbchatError, match="ended after 2 replies"):
        chat.ask("hi")
    assert [request.messages[0].content for request in script.requests] == ["hi"] * 3
