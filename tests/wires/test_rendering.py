"""What is sent: the history as the provider said it, the same bytes every time."""

import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from wire_recordings import Recording, recordings
from written_streams import CHAT_STREAM, MESSAGES_STREAM, sse

from nbchat.exchange import Reply, Request, Settings, ToolSpec
from nbchat.messages import Message, Part, Text, ToolCall, ToolResult
from nbchat.wires import UNAVAILABLE, Wire
from nbchat.wires.anthropic import AnthropicMessages
from nbchat.wires.openai_chat import OpenAIChat

CHAT, MESSAGES = OpenAIChat(), AnthropicMessages()
WIRES: dict[str, Wire] = {"chat": CHAT, "messages": MESSAGES}
SPEC = ToolSpec("f", "does f", {"type": "object", "properties": {"x": {"type": "integer"}}})


def user(text: str) -> Message:
    return Message("u", "c", "user", text, parts=(Text(text),))


def assistant(*parts: Part, raw: tuple[dict[str, Any], ...] = ()) -> Message:
    return Message("a", "c", "assistant", parts=parts, raw=raw)


def decoded(wire: Wire, body: bytes) -> Reply:
    decoder = wire.decoder()
    list(decoder.feed(body))
    list(decoder.finish())
    return decoder.reply()


def answered(reply: Reply, wire: str, provider: str) -> Message:
    """The stored message of a reply and the results of its calls."""
    results = [
        ToolResult(f"result {seq}", call.tool_call_id, call.name, False, seq)
        for seq, call in enumerate(reply.tool_calls, start=1)
    ]
    raw = {"round": 1, "wire": wire, "provider": provider, "model": "m", "blocks": reply.blocks}
    return assistant(*reply.parts, *results, raw=(raw,))


def render(wire: Wire, *messages: Message, **rest: Any) -> Any:
    request = Request(rest.pop("provider", "p"), "m", messages, **rest)
    rendered = wire.render_request(request)
    assert rendered == wire.render_request(request)
    json.dumps(rendered.body).encode()
    return rendered


def test_anthropics_blocks_go_back_unmodified_and_in_order() -> None:
    reply = decoded(MESSAGES, sse(*MESSAGES_STREAM, end=""))
    rendered = render(MESSAGES, user("hi"), answered(reply, "anthropic", "p"))
    assert rendered.body["messages"] == [
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm, yes", "signature": "sig"},
                {"type": "redacted_thinking", "data": "opaque"},
                {"type": "text", "text": "Hello"},
                {"type": "tool_use", "id": "t1", "name": "f", "input": {"x": None}},
                {"type": "tool_use", "id": "t2", "name": "g", "input": {}},
                {"type": "new_kind", "anything": [1, 2]},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": "result 1"},
                {"type": "tool_result", "tool_use_id": "t2", "content": "result 2"},
            ],
        },
    ]
    assert rendered.dropped == {}


def test_another_provider_gets_text_and_calls_and_the_loss_is_counted() -> None:
    reply = decoded(MESSAGES, sse(*MESSAGES_STREAM, end=""))
    message = answered(reply, "anthropic", "p")
    other = render(MESSAGES, message, provider="q")
    assert [block["type"] for block in other.body["messages"][0]["content"]] == [
        "text",
        "tool_use",
        "tool_use",
    ]
    assert other.dropped == {"thinking": 2}
    chat = render(CHAT, message)
    assert chat.body["messages"] == [
        {
            "role": "assistant",
            "content": "Hello",
            "tool_calls": [
                {
                    "id": "t1",
                    "type": "function",
                    "function": {"name": "f", "arguments": '{"x":null}'},
                },
                {"id": "t2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "t1", "content": "result 1"},
        {"role": "tool", "tool_call_id": "t2", "content": "result 2"},
    ]
    assert chat.dropped == {"thinking": 2}


def test_reasoning_goes_back_to_the_server_that_sent_it() -> None:
    reply = decoded(CHAT, sse(*CHAT_STREAM))
    message = answered(reply, "openai_chat", "p")
    sent = render(CHAT, message).body["messages"][0]
    assert sent == {
        "role": "assistant",
        "content": "Héllo",
        "reasoning_content": "let me see",
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}},
            {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ],
    }
    foreign = render(CHAT, message, provider="q")
    assert "reasoning_content" not in foreign.body["messages"][0]
    assert foreign.dropped == {"thinking": 1}


def test_listed_thinking_goes_back_as_the_list_it_was() -> None:
    content = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "yes"},
    ]
    plain = {"choices": [{"message": {"content": content}, "finish_reason": "stop"}]}
    message = answered(decoded(CHAT, json.dumps(plain).encode()), "openai_chat", "p")
    assert render(CHAT, message).body["messages"] == [{"role": "assistant", "content": content}]


def test_thinking_without_a_signature_is_dropped_and_counted() -> None:
    stopped = MESSAGES.decoder()
    list(stopped.feed(sse(*MESSAGES_STREAM[:3], end="")))
    message = answered(stopped.reply(), "anthropic", "p")
    rendered = render(MESSAGES, user("a"), message, user("b"))
    assert [entry["role"] for entry in rendered.body["messages"]] == ["user", "user"]
    assert rendered.dropped == {"thinking": 1}


@pytest.mark.parametrize("text", ["", "  \n"])
def test_anthropic_is_never_sent_empty_text(text: str) -> None:
    blocks = [
        {"type": "text", "text": text},
        {"type": "tool_use", "id": "t", "name": "f", "input": "{"},
    ]
    raw = {"round": 1, "wire": "anthropic", "provider": "p", "model": "m", "blocks": blocks}
    call = ToolCall("f", "{", "t")
    for message in (assistant(Text(text), call, raw=(raw,)), assistant(Text(text), call)):
        body = render(MESSAGES, user(text), assistant(Text(text)), message).body
        assert body["messages"] == [
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "t",
                        "content": UNAVAILABLE,
                        "is_error": True,
                    }
                ],
            },
        ]


def test_arguments_nobody_can_parse_are_sent_as_none() -> None:
    body = render(CHAT, assistant(ToolCall("f", '{"a": ', "t"))).body
    assert body["messages"][0]["tool_calls"][0]["function"]["arguments"] == "{}"


@pytest.mark.parametrize(
    "wire", [*WIRES.values(), OpenAIChat(tool_id_length=9)], ids=[*WIRES, "nine"]
)
def test_ids_are_never_empty_or_twice_and_results_follow_their_calls(wire: Wire) -> None:
    message = assistant(
        ToolCall("f", {}, ""),
        ToolCall("g", {}, "same"),
        ToolCall("h", {}, "same"),
        ToolResult("three", "same", "h", seq=3),
        ToolResult("one", "", "f", seq=1),
        ToolCall("i", {}, "same", round=2),
        ToolCall("j", {}, "an id/with: signs" * 9, round=2),
    )
    flat = json.dumps(render(wire, user("x"), message, user("y"), message).body)
    calls = [piece for piece in ids_in(json.loads(flat)) if piece[0] == "call"]
    results = [piece for piece in ids_in(json.loads(flat)) if piece[0] == "result"]
    ids = [piece[1] for piece in calls]
    assert len(ids) == len(set(ids)) == 10
    assert all(0 < len(found) <= 64 for found in ids)
    assert [piece[1] for piece in results] == ids
    assert [piece[2] for piece in results][:3] == ["one", UNAVAILABLE, "three"]
    if isinstance(wire, OpenAIChat) and wire.tool_id_length:
        assert all(len(found) == 9 and found.isalnum() for found in ids)


def ids_in(body: Any) -> list[tuple[str, str, str]]:
    """Ids of calls and of results in the order of the body, either wire's."""
    found = []
    for message in body["messages"]:
        for call in message.get("tool_calls", []):
            found.append(("call", call["id"], ""))
        if message["role"] == "tool":
            found.append(("result", message["tool_call_id"], message["content"]))
        for block in message["content"] if isinstance(message["content"], list) else []:
            if block["type"] == "tool_use":
                found.append(("call", block["id"], ""))
            elif block["type"] == "tool_result":
                found.append(("result", block["tool_use_id"], block["content"]))
    return found


def test_a_good_id_is_kept_and_a_prefix_of_the_history_keeps_its_bytes() -> None:
    turns = [user("a"), assistant(ToolCall("f", {}, "good_1"), ToolCall("f", {}, "")), user("b")]
    for wire in WIRES.values():
        short, long = render(wire, *turns[:2]).body, render(wire, *turns).body
        assert long["messages"][: len(short["messages"])] == short["messages"]
        assert ids_in(long)[0][1] == "good_1"


def test_a_round_of_opaque_blocks_alone_goes_back() -> None:
    blocks = [{"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"q": "x"}}]
    raw = {"round": 1, "wire": "anthropic", "provider": "p", "model": "m", "blocks": blocks}
    message = assistant(Text("found", round=2), raw=(raw,))
    assert render(MESSAGES, message).body["messages"] == [
        {"role": "assistant", "content": blocks},
        {"role": "assistant", "content": [{"type": "text", "text": "found"}]},
    ]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (Settings(), {"max_tokens": 4096}),
        (Settings(temperature=0, max_tokens=9), {"max_tokens": 9, "temperature": 0}),
        (
            Settings(temperature=1, thinking={"budget": 2000}),
            {"max_tokens": 6096, "thinking": {"type": "enabled", "budget_tokens": 2000}},
        ),
        (
            Settings(max_tokens=3000, thinking={"budget": 2000}),
            {"max_tokens": 3000, "thinking": {"type": "enabled", "budget_tokens": 2000}},
        ),
        (
            Settings(max_tokens=2000, thinking={"budget": 2000}),
            {"max_tokens": 6096, "thinking": {"type": "enabled", "budget_tokens": 2000}},
        ),
        (
            Settings(temperature=1, thinking={"effort": "low"}),
            {
                "max_tokens": 4096,
                "output_config": {"effort": "low"},
                "thinking": {"type": "adaptive", "display": "summarized"},
            },
        ),
        (Settings(params={"max_tokens": 1, "top_k": 2}), {"max_tokens": 1, "top_k": 2}),
    ],
)
def test_anthropics_settings(settings: Settings, expected: dict[str, Any]) -> None:
    body = render(MESSAGES, user("hi"), settings=settings).body
    assert body == {"model": "m", "messages": [{"role": "user", "content": "hi"}]} | expected


@pytest.mark.parametrize(
    ("wire", "settings", "expected"),
    [
        (CHAT, Settings(temperature=0, max_tokens=9), {"temperature": 0, "max_tokens": 9}),
        (
            OpenAIChat(max_tokens_field="max_completion_tokens"),
            Settings(max_tokens=9),
            {"max_completion_tokens": 9},
        ),
        (CHAT, Settings(thinking={"effort": "minimal"}), {"reasoning_effort": "minimal"}),
        (CHAT, Settings(thinking={"budget": 4096}), {"reasoning_effort": "low"}),
        (CHAT, Settings(thinking={"budget": 16000}), {"reasoning_effort": "medium"}),
        (CHAT, Settings(thinking={"budget": 16001}), {"reasoning_effort": "high"}),
        (
            OpenAIChat(thinking_field="reasoning"),
            Settings(thinking={"budget": 7}),
            {"reasoning": {"max_tokens": 7}},
        ),
        (
            OpenAIChat(thinking_field="thinking"),
            Settings(thinking={"effort": "high"}),
            {"thinking": {"type": "enabled"}, "reasoning_effort": "high"},
        ),
        (
            CHAT,
            Settings(temperature=0, params={"temperature": 1, "seed": 3}),
            {"temperature": 1, "seed": 3},
        ),
    ],
)
def test_chats_settings(wire: Wire, settings: Settings, expected: dict[str, Any]) -> None:
    body = render(wire, user("hi"), settings=settings).body
    assert body == {"model": "m", "messages": [{"role": "user", "content": "hi"}]} | expected


@pytest.mark.parametrize(
    ("choice", "chat", "messages"),
    [
        ("auto", "auto", {"type": "auto"}),
        ("none", "none", {"type": "none"}),
        ("required", "required", {"type": "any"}),
        ("f", {"type": "function", "function": {"name": "f"}}, {"type": "tool", "name": "f"}),
    ],
)
def test_tools_and_the_choice_among_them(choice: str, chat: Any, messages: Any) -> None:
    rest: dict[str, Any] = {"tools": (SPEC,), "settings": Settings(tool_choice=choice)}
    body = render(CHAT, user("hi"), **rest).body
    assert body["tools"] == [
        {
            "type": "function",
            "function": {"name": "f", "description": "does f", "parameters": SPEC.parameters},
        }
    ]
    assert body["tool_choice"] == chat
    body = render(MESSAGES, user("hi"), **rest).body
    assert body["tools"] == [
        {"name": "f", "description": "does f", "input_schema": SPEC.parameters}
    ]
    assert body["tool_choice"] == messages


def test_instructions_come_first_and_streaming_asks_for_usage() -> None:
    rest: dict[str, Any] = {"instructions": "Be brief.", "stream": True}
    chat = render(CHAT, user("hi"), **rest).body
    assert chat["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (chat["stream"], chat["stream_options"]) == (True, {"include_usage": True})
    assert "stream_options" not in render(OpenAIChat(stream_usage=False), user("hi"), **rest).body
    messages = render(MESSAGES, user("hi"), **rest).body
    assert (messages["system"], messages["stream"]) == ("Be brief.", True)
    assert messages["messages"] == [{"role": "user", "content": "hi"}]


def test_keys_are_in_headers_and_nowhere_else() -> None:
    assert CHAT.headers("k") == {"Authorization": "Bearer k"}
    assert MESSAGES.headers("k") == {"anthropic-version": "2023-06-01", "x-api-key": "k"}
    assert CHAT.headers(None) == {}
    assert MESSAGES.headers(None) == {"anthropic-version": "2023-06-01"}


def tool_loops(endpoint: str) -> Iterator[tuple[Recording, Any]]:
    """Recorded answers with calls, and the body that the client sent next."""
    found = [item for item in recordings() if item.endpoint == endpoint and item.status == 200]
    for first, second in pairwise(found):
        if first.path == second.path and second.request.startswith(b"{"):
            yield first, json.loads(second.request)


def chat_calls(body: Any) -> list[Any]:
    """The calls of the assistant's rounds in a request: id, name, arguments as a value."""
    return [
        [
            (
                call["id"],
                call["function"]["name"],
                json.loads(call["function"]["arguments"] or "{}"),
            )
            for call in message["tool_calls"]
        ]
        for message in body["messages"]
        if message["role"] == "assistant" and message.get("tool_calls")
    ]


def said_blocks(body: Any) -> list[Any]:
    """The blocks of the assistant's rounds with calls, without what no client sends alike."""
    kept = ("type", "id", "name", "input", "text", "signature", "thinking", "data")
    return [
        [
            {key: block[key] for key in kept if key in block}
            for block in message["content"]
            if block.get("text") != " "
        ]
        for message in body["messages"]
        if message["role"] == "assistant" and "tool_use" in str(message["content"])
    ]


@pytest.mark.skipif(len(list(recordings())) < 20, reason="only the tests' own recordings are here")
@pytest.mark.parametrize(("endpoint", "shape"), [("chat", chat_calls), ("messages", said_blocks)])
def test_recorded_clients_sent_their_calls_back_as_the_wire_does(
    endpoint: str, shape: Callable[[Any], list[Any]]
) -> None:
    wire, compared = WIRES[endpoint], 0
    for first, next_body in tool_loops(endpoint):
        reply = decoded(wire, first.body)
        ours = shape(render(wire, answered(reply, wire.name, "p")).body)
        theirs = [
            sent
            for sent in shape(next_body)
            if ours and sent[0] and ids_of(sent) == ids_of(ours[0])
        ]
        for sent in theirs:
            kinds = {item["type"] for item in sent} if endpoint == "messages" else set()
            mine = [item for item in ours[0] if not kinds or item["type"] in kinds]
            assert mine == sent, first.id  # some clients leave thinking out
            compared += 1
    assert compared >= 5


def ids_of(sent: list[Any]) -> list[str]:
    """The ids of the calls in one round."""
    return [
        item[0] if isinstance(item, tuple) else item["id"]
        for item in sent
        if isinstance(item, tuple) or "id" in item
    ]
