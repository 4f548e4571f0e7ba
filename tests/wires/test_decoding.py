"""What holds for every answer: cuts change nothing, nothing that ends early passes for whole."""

import json
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_recordings import Recording, own_recordings
from written_streams import (
    CHAT_PLAIN,
    CHAT_STREAM,
    MESSAGES_PLAIN,
    MESSAGES_STREAM,
    block,
    chunk,
    piece,
    sse,
)

from nbchat.errors import BrokenStream, ContextTooLong, ProviderError, RateLimited, ServerError
from nbchat.exchange import Reply, Usage
from nbchat.messages import Text, Thinking, ToolCall
from nbchat.wires import Wire
from nbchat.wires.anthropic import AnthropicMessages
from nbchat.wires.openai_chat import OpenAIChat

CHAT, MESSAGES = OpenAIChat(), AnthropicMessages()
WIRES: dict[str, Wire] = {"chat": CHAT, "messages": MESSAGES}
OWN = [recording for recording in own_recordings() if recording.status == 200]
STREAMS = [recording for recording in OWN if recording.streamed]


def decode(wire: Wire, *body: bytes) -> Reply:
    decoder = wire.decoder()
    for data in body:
        list(decoder.feed(data))
    list(decoder.finish())
    return decoder.reply()


def calls_of(*deltas: Any) -> list[tuple[str, Any, str]]:
    events = [chunk({"tool_calls": delta}) for delta in deltas]
    reply = decode(CHAT, sse(*events, chunk({}, "tool_calls")))
    return [(call.name, call.arguments, call.tool_call_id) for call in reply.tool_calls]


def pieces_at(body: bytes, cuts: set[int]) -> Iterator[bytes]:
    edges = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    for start, end in pairwise(edges):
        yield body[start:end]


@pytest.mark.parametrize("recording", OWN, ids=lambda recording: recording.path)
@settings(max_examples=40, deadline=None)
@given(cuts=st.sets(st.integers(0, 10**6), max_size=60))
def test_how_the_bytes_are_cut_changes_nothing(recording: Recording, cuts: set[int]) -> None:
    wire = WIRES[recording.endpoint]
    assert decode(wire, *pieces_at(recording.body, cuts)) == decode(wire, recording.body)


@pytest.mark.parametrize("newline", [b"\r\n", b"\r"], ids=["crlf", "cr"])
@pytest.mark.parametrize("recording", STREAMS, ids=lambda recording: recording.path)
def test_every_line_ending_reads_the_same(recording: Recording, newline: bytes) -> None:
    wire = WIRES[recording.endpoint]
    body = recording.body.replace(b"\n", newline)
    bytewise = (body[at : at + 1] for at in range(len(body)))
    assert decode(wire, *bytewise) == decode(wire, recording.body)


@pytest.mark.parametrize("recording", OWN, ids=lambda recording: recording.path)
def test_a_stream_cut_anywhere_is_an_error_or_says_all_it_had_to_say(recording: Recording) -> None:
    wire = WIRES[recording.endpoint]
    whole = decode(wire, recording.body)
    for end in range(len(recording.body)):
        decoder = wire.decoder()
        list(decoder.feed(recording.body[:end]))
        try:
            list(decoder.finish())
        except ProviderError:
            said = decoder.reply()
            assert whole.text.startswith(said.text)
            for call in said.tool_calls:  # what can be run was said whole
                assert isinstance(call.arguments, str) or call in whole.tool_calls
        else:
            said = decoder.reply()
            assert replace(said, usage=whole.usage) == whole


def test_every_byte_order_mark_comment_and_blank_is_skipped() -> None:
    body = b"\xef\xbb\xbf: hello\r\n\r\nevent: ping\ndata: ok\n\nretry: 3\nid: 4\n\n"
    body += (
        'data: {"choices":[{"delta":\ndata: {"content":"é😀"},"finish_reason":"stop"}]}'.encode()
    )
    reply = decode(CHAT, *(body[at : at + 1] for at in range(len(body))))
    assert reply.parts == (Text("é😀"),)


def test_what_follows_the_end_is_ignored() -> None:
    decoder = CHAT.decoder()
    list(decoder.feed(sse(chunk({"content": "a"}, "stop"))))
    assert decoder.done
    assert list(decoder.feed(sse(chunk({"content": "b"})))) == []
    assert decoder.reply().text == "a"


@pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" \n ",
        b"\xef\xbb",
        b"<html>502</html>",
        b"{",
        b"[]",
        b"{}",
        b'"text"',
        b"data: {\n\n",
        b"data: nonsense\n\n",
        b": only a comment\n\n",
        b'{"choices": []}',
        b'data: {"choices":[]}\n\n',
    ],
)
def test_nonsense_is_a_broken_stream(wire: Wire, body: bytes) -> None:
    with pytest.raises(BrokenStream):
        decode(wire, body)


@pytest.mark.parametrize(
    ("wire", "plain", "stream"),
    [
        (CHAT, CHAT_PLAIN, sse(*CHAT_STREAM)),
        (MESSAGES, MESSAGES_PLAIN, sse(*MESSAGES_STREAM, end="")),
    ],
    ids=WIRES,
)
def test_a_plain_answer_and_a_stream_of_it_are_equal(wire: Wire, plain: Any, stream: bytes) -> None:
    assert decode(wire, json.dumps(plain).encode()) == decode(wire, stream)


def test_anthropic_blocks_become_parts_and_tokens_are_summed() -> None:
    reply = decode(MESSAGES, sse(*MESSAGES_STREAM, end=""))
    assert reply.parts == (
        Thinking("hm, yes", "sig"),
        Thinking("", data="opaque"),
        Text("Hello"),
        ToolCall("f", {"x": None}, "t1"),
        ToolCall("g", {}, "t2"),
    )
    assert replace(reply.usage, raw=None) == Usage(33, 9, 10, 20, 4)
    assert (reply.finish_reason, reply.model) == ("tool_calls", "c-1")


def test_calls_under_one_index_stay_apart() -> None:
    assert calls_of(
        [piece("f", '{"a":1}', index=0, id="x")], [piece("f", '{"a":2}', index=0, id="y")]
    ) == [("f", {"a": 1}, "x"), ("f", {"a": 2}, "y")]
    assert calls_of([piece("f", '{"a":1}', index=0)], [piece("f", '{"a":2}', index=0)]) == [
        ("f", {"a": 1}, ""),
        ("f", {"a": 2}, ""),
    ]


def test_interleaved_fragments_find_their_calls() -> None:
    assert calls_of(
        [piece("f", '{"a"', index=0, id="x"), piece("g", '{"b"', index=1, id="y")],
        [piece(None, ":1}", index=1)],
        [piece(None, ":2}", index=0)],
    ) == [("f", {"a": 2}, "x"), ("g", {"b": 1}, "y")]
    assert calls_of(
        [piece("f", '{"a"', id="x")],
        [piece("g", '{"b"', id="y")],
        [piece(None, ":1}", id="x")],
        [piece(None, ":2}")],
    ) == [("f", {"a": 1}, "x"), ("g", {"b": 2}, "y")]


def test_names_and_ids_that_repeat_are_said_once() -> None:
    assert calls_of(
        [piece("f", "", index=0, id="x")],
        [piece("f", '{"a"', index=0, id="x")],
        [piece("f", ":1}", index=0, id="x")],
    ) == [("f", {"a": 1}, "x")]


def test_arguments_are_objects_or_stay_text() -> None:
    assert calls_of([piece("f", {"a": 1}, index=0)]) == [("f", {"a": 1}, "")]
    for text in ('{"a": 1', "[1]", "null", "NaN", '{"a": NaN}', '{"a": 1e999}', "[" * 100_000):
        assert calls_of([piece("f", text, index=0)]) == [("f", text, "")]


@pytest.mark.parametrize("arguments", ["", '{"city": "Par'])
def test_a_call_cut_by_the_length_limit_never_has_arguments(arguments: str) -> None:
    chat = sse(chunk({"tool_calls": [piece("f", arguments, index=0)]}), chunk({}, "length"))
    deltas = [{"type": "input_json_delta", "partial_json": arguments}]
    messages = sse(
        MESSAGES_STREAM[0],
        *block(0, {"type": "tool_use", "id": "t", "name": "f", "input": {}}, *deltas),
        {"type": "message_delta", "delta": {"stop_reason": "max_tokens"}, "usage": {}},
    )
    for reply in (decode(CHAT, chat), decode(MESSAGES, messages)):
        assert [call.arguments for call in reply.tool_calls] == [arguments]
        assert reply.finish_reason == "length"


def test_a_legacy_function_call_is_a_tool_call() -> None:
    streamed = sse(
        chunk({"function_call": {"name": "f", "arguments": '{"a"'}}),
        chunk({"function_call": {"arguments": ":1}"}}),
        chunk({}, "function_call"),
    )
    plain = {
        "choices": [
            {
                "finish_reason": "function_call",
                "message": {
                    "content": None,
                    "function_call": {"name": "f", "arguments": '{"a":1}'},
                },
            }
        ]
    }
    for body in (streamed, json.dumps(plain).encode()):
        reply = decode(CHAT, body)
        assert reply.parts == (ToolCall("f", {"a": 1}),)
        assert reply.finish_reason == "tool_calls"


def test_thinking_sent_under_several_names_is_read_once() -> None:
    detail = {"type": "reasoning.text", "index": 0}
    reply = decode(
        CHAT,
        sse(
            chunk(
                {
                    "reasoning": "a",
                    "reasoning_content": "a",
                    "reasoning_details": [detail | {"text": "a"}],
                }
            ),
            chunk(
                {
                    "reasoning": "b",
                    "reasoning_content": "b",
                    "reasoning_details": [detail | {"text": "b", "signature": "s"}],
                }
            ),
            chunk({"content": "x"}, "stop"),
        ),
    )
    assert reply.parts == (Thinking("ab", "s"), Text("x"))
    assert reply.blocks["reasoning_details"] == [detail | {"text": "ab", "signature": "s"}]


def test_every_entry_of_reasoning_details_is_read_and_encrypted_ones_stay_apart() -> None:
    entries = [
        {"type": "reasoning.summary", "index": 0, "summary": "a", "id": None},
        {"type": "reasoning.summary", "index": 1, "summary": "b"},
        {"type": "reasoning.encrypted", "index": 0, "data": "x"},
        {"type": "reasoning.encrypted", "index": 0, "data": "y"},
    ]
    plain = {"choices": [{"message": {"reasoning_details": entries}, "finish_reason": "stop"}]}
    streamed = sse(*(chunk({"reasoning_details": [entry]}) for entry in entries), chunk({}, "stop"))
    for body in (json.dumps(plain).encode(), streamed):
        reply = decode(CHAT, body)
        assert reply.parts == (Thinking("ab"),)
        assert reply.blocks["reasoning_details"] == [
            {key: value for key, value in entry.items() if value is not None} for entry in entries
        ]


def test_a_list_of_thinking_and_text_is_read_in_order_and_kept() -> None:
    thought = [{"type": "text", "text": "hm"}]
    reply = decode(
        CHAT,
        sse(
            chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "h"}]}]}),
            chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "m"}]}]}),
            chunk({"content": [{"type": "text", "text": "a"}]}),
            chunk({"content": "b"}, "stop"),
        ),
    )
    assert reply.parts == (Thinking("hm"), Text("ab"))
    assert reply.blocks["content"] == [
        {"type": "thinking", "thinking": thought},
        {"type": "text", "text": "ab"},
    ]


def test_what_is_kept_can_always_be_written() -> None:
    half = "\ud83d"
    arguments = json.dumps({"a": half})
    usage = {"prompt_tokens": float("nan"), "completion_tokens": 1e999}
    reply = decode(
        CHAT,
        sse(
            chunk(
                {"reasoning": half, "tool_calls": [piece("f" + half, arguments, id=half)]}, "stop"
            ),
            chunk({"reasoning_details": [{"type": "x", "data": half}]}, usage=usage),
        ),
    )
    json.dumps(reply.blocks, ensure_ascii=False).encode()
    [call] = reply.tool_calls
    assert call == ToolCall("f\ufffd", {"a": "\ufffd"}, "\ufffd")
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (None, None)


def test_a_refusal_is_text_with_its_own_reason() -> None:
    reply = decode(
        CHAT, sse(chunk({"refusal": "I "}), chunk({"refusal": "won't"}), chunk({}, "stop"))
    )
    assert (reply.text, reply.finish_reason) == ("I won't", "refusal")


def test_only_the_first_choice_counts() -> None:
    other = {"choices": [{"index": 1, "delta": {"content": "no"}, "finish_reason": "stop"}]}
    assert decode(CHAT, sse(other, chunk({"content": "yes"}, "stop"), other)).text == "yes"


def test_half_a_character_waits_for_its_other_half() -> None:
    body = sse(
        chunk({"content": "a\ud83d"}),
        chunk({"content": "\ude00b"}),
        chunk({"content": "\ud83d"}, "stop"),
    )
    decoder = CHAT.decoder()
    shown = [delta.text for delta in decoder.feed(body)] + [
        delta.text for delta in decoder.finish()
    ]
    assert shown == ["a", "😀b", "\N{REPLACEMENT CHARACTER}"]
    assert decoder.reply().text == "".join(shown)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (
            {
                "prompt_tokens": 5,
                "completion_tokens": 7,
                "total_tokens": 12,
                "completion_tokens_details": {"reasoning_tokens": 6},
            },
            Usage(5, 7, None, None, 6),
        ),
        (
            {
                "prompt_tokens": 5,
                "completion_tokens": 7,
                "total_tokens": 18,
                "cost_in_usd_ticks": 12,
                "completion_tokens_details": {"reasoning_tokens": 6},
            },
            Usage(5, 13, None, None, 6, Decimal("1.2E-9")),
        ),
        (
            {"prompt_tokens": 5, "completion_tokens": 0, "prompt_cache_hit_tokens": 4},
            Usage(5, 0, 4, None, None),
        ),
        (
            {
                "prompt_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 3},
                "cost": 0.00012,
            },
            Usage(5, None, 0, 3, None, Decimal("0.00012")),
        ),
        ({"prompt_tokens": None, "completion_tokens": "many"}, Usage()),
    ],
)
def test_usage_means_what_the_contract_says(usage: dict[str, Any], expected: Usage) -> None:
    reply = decode(CHAT, sse(chunk({"content": "x"}, "stop"), {"choices": [], "usage": usage}))
    assert reply.usage == replace(expected, raw=usage)


def test_no_usage_is_unknown_not_zero() -> None:
    assert decode(CHAT, sse(chunk({"content": "x"}, "stop"))).usage == Usage()


@pytest.mark.parametrize(
    ("wire", "event", "kind", "words"),
    [
        (
            MESSAGES,
            {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}},
            ServerError,
            "busy",
        ),
        (
            MESSAGES,
            {"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}},
            RateLimited,
            "slow",
        ),
        (
            CHAT,
            {"error": {"message": "oh", "type": "server_error", "code": None}},
            ServerError,
            "oh",
        ),
        (CHAT, {"error": "oh"}, ServerError, "oh"),
        (CHAT, {"choices": [], "x_groq": {"error": "oh"}}, ServerError, "oh"),
        (CHAT, {"object": "error", "message": "oh", "type": "x", "code": 503}, ServerError, "oh"),
        (
            CHAT,
            {"error": {"code": 400, "message": "n", "type": "exceed_context_size_error"}},
            ContextTooLong,
            "n",
        ),
        (
            CHAT,
            {"error": {"code": 429, "message": "oh"}, "choices": [{"delta": {"content": "!"}}]},
            RateLimited,
            "oh",
        ),
    ],
)
def test_an_error_inside_a_stream_comes_after_what_was_said(
    wire: Wire, event: dict[str, Any], kind: type[ProviderError], words: str
) -> None:
    said: tuple[dict[str, Any], ...] = (chunk({"content": "Hel"}),)
    if wire is MESSAGES:
        said = MESSAGES_STREAM[:1] + tuple(block(0, {"type": "text", "text": "Hel"}))
    decoder = wire.decoder()
    shown: list[str] = []
    with pytest.raises(kind, match=words):
        shown.extend(delta.text for delta in decoder.feed(sse(*said, event)))
    assert "".join(shown).startswith("Hel")
    assert decoder.reply().text == "".join(shown)


def test_an_error_event_need_not_be_json() -> None:
    with pytest.raises(ServerError, match="upstream gone"):
        decode(CHAT, b"event: error\ndata: upstream gone\n\n")
    with pytest.raises(ServerError, match="slot gone"):
        decode(CHAT, b'error: {"message": "slot gone", "type": "server_error"}\n\n')


@pytest.mark.parametrize("wire", [OpenAIChat(), AnthropicMessages()], ids=lambda wire: wire.name)
@pytest.mark.parametrize("body", [b"data: [DONE]\n\n", b"data:[DONE]", b"data: {}\n\ndata:[DONE]"])
def test_an_end_without_anything_before_it_is_no_answer(wire: Wire, body: bytes) -> None:
    decoder = wire.decoder()
    assert list(decoder.feed(body)) == []
    with pytest.raises(BrokenStream, match="said nothing"):
        list(decoder.finish())
