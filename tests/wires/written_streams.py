"""Streams written by hand after the protocols, and the plain answers that say the same."""

import json
from typing import Any


def sse(*events: Any, end: str = "data: [DONE]\n\n") -> bytes:
    named = (f"event: {event['type']}\n" if "type" in event else "" for event in events)
    lines = (
        name + f"data: {json.dumps(event)}\n\n" for name, event in zip(named, events, strict=True)
    )
    return ("".join(lines) + end).encode()


def chunk(delta: Any = None, reason: str | None = None, **rest: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}], **rest}


def piece(name: str | None = None, arguments: Any = None, **rest: Any) -> dict[str, Any]:
    return {**rest, "function": {"name": name, "arguments": arguments}}


CHAT_PLAIN = {
    "model": "m-1",
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "message": {
                "role": "assistant",
                "content": "Héllo",
                "reasoning_content": "let me see",
                "refusal": None,
                "tool_calls": [
                    {
                        "id": "a",
                        "type": "function",
                        "function": {"name": "f", "arguments": '{"x": 1}'},
                    },
                    {"id": "b", "type": "function", "function": {"name": "g", "arguments": ""}},
                ],
            },
        }
    ],
    "usage": {
        "prompt_tokens": 5,
        "completion_tokens": 7,
        "total_tokens": 12,
        "prompt_tokens_details": {"cached_tokens": 2},
    },
}
CHAT_STREAM = (
    chunk({"role": "assistant", "content": ""}, model="m-1", usage=None),
    chunk({"reasoning_content": "let me "}),
    chunk({"reasoning_content": "see", "content": None}),
    chunk({"content": "Hé"}),
    chunk({"content": "llo"}),
    chunk(None),
    {"choices": []},
    chunk(
        {
            "tool_calls": [
                piece("f", "", index=0, id="a", type="function"),
                piece("g", None, index=1, id="b"),
            ]
        }
    ),
    chunk({"tool_calls": [piece(None, '{"x"', index=0)]}),
    chunk({"tool_calls": [piece("", ": 1}", index=0, id="")]}),
    chunk({}, "tool_calls"),
    chunk({"content": ""}, "stop"),
    {"usage": CHAT_PLAIN["usage"]},
)
MESSAGES_PLAIN = {
    "type": "message",
    "model": "c-1",
    "stop_reason": "tool_use",
    "content": [
        {"type": "thinking", "thinking": "hm, yes", "signature": "sig"},
        {"type": "redacted_thinking", "data": "opaque"},
        {"type": "text", "text": "Hello", "citations": None},
        {"type": "tool_use", "id": "t1", "name": "f", "input": {"x": None}},
        {"type": "tool_use", "id": "t2", "name": "g", "input": {}},
        {"type": "new_kind", "anything": [1, 2]},
    ],
    "usage": {
        "input_tokens": 3,
        "cache_read_input_tokens": 10,
        "cache_creation_input_tokens": 20,
        "output_tokens": 9,
        "output_tokens_details": {"thinking_tokens": 4},
    },
}


def block(index: int, content: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": content},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


MESSAGES_STREAM = (
    {
        "type": "message_start",
        "message": {
            "model": "c-1",
            "content": [],
            "usage": {
                "input_tokens": 1,
                "cache_read_input_tokens": 10,
                "cache_creation_input_tokens": 20,
                "output_tokens": 1,
            },
        },
    },
    *block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "hm, "},
        {"type": "thinking_delta", "thinking": "yes"},
        {"type": "signature_delta", "signature": "sig"},
    ),
    {"type": "ping"},
    {"type": "kind_of_tomorrow", "index": 7},
    *block(1, {"type": "redacted_thinking", "data": "opaque"}),
    *block(
        2,
        {"type": "text", "text": ""},
        {"type": "text_delta", "text": "Hel"},
        {"type": "text_delta", "text": "lo"},
    ),
    *block(
        3,
        {"type": "tool_use", "id": "t1", "name": "f", "input": {}},
        {"type": "input_json_delta", "partial_json": ""},
        {"type": "input_json_delta", "partial_json": '{"x": nu'},
        {"type": "input_json_delta", "partial_json": "ll}"},
    ),
    *block(4, {"type": "tool_use", "id": "t2", "name": "g", "input": {}}),
    *block(5, {"type": "new_kind", "anything": [1]}, {"type": "new_kind_delta", "anything": [2]}),
    {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use"},
        "usage": {
            "input_tokens": 3,
            "output_tokens": 9,
            "output_tokens_details": {"thinking_tokens": 4},
        },
    },
    {"type": "message_stop"},
)
