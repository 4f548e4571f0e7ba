"""Whatever a server sends, the caller gets a reply that can be kept or a typed error."""

import json
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from written_streams import CHAT_PLAIN, CHAT_STREAM, MESSAGES_PLAIN, MESSAGES_STREAM

from nbchat.errors import ProviderError
from nbchat.exchange import Request
from nbchat.messages import Message
from nbchat.wires import Wire
from nbchat.wires.anthropic import AnthropicMessages
from nbchat.wires.openai_chat import OpenAIChat

CHAT, MESSAGES = OpenAIChat(), AnthropicMessages()
WIRES: dict[str, Wire] = {"chat": CHAT, "messages": MESSAGES}

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["type", "text", "content", "error", "id"]), inner, max_size=2
        )
    ),
    max_leaves=4,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list | tuple)
        else ()
    )
    for key, item in items:
        yield from places(item, (*path, key))


def with_at(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    if isinstance(value, dict):
        return value | {path[0]: with_at(value[path[0]], path[1:], new)}
    return [
        with_at(item, path[1:], new) if at == path[0] else item for at, item in enumerate(value)
    ]


@pytest.mark.parametrize(
    ("wire", "events", "plain"),
    [(CHAT, CHAT_STREAM, CHAT_PLAIN), (MESSAGES, MESSAGES_STREAM, MESSAGES_PLAIN)],
    ids=WIRES,
)
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_malformed_answers_are_read_as_far_as_they_make_sense_or_typed_errors(
    wire: Wire, events: Any, plain: Any, data: st.DataObject
) -> None:
    original = data.draw(st.sampled_from([plain, list(events)]))
    broken = with_at(
        original, data.draw(st.sampled_from([*places(original)][1:])), data.draw(JSON_VALUES)
    )
    lines = broken if isinstance(broken, list) else None
    body = (
        json.dumps(broken).encode()
        if lines is None
        else b"".join(f"data: {json.dumps(line)}\n\n".encode() for line in lines)
    )
    decoder = wire.decoder()
    with suppress(ProviderError):
        list(decoder.feed(body))
        list(decoder.finish())
    reply = decoder.reply()
    assert all(isinstance(part.name, str) for part in reply.tool_calls)
    assert isinstance(reply.text, str)
    message = Message(
        "a",
        "c",
        "assistant",
        parts=reply.parts,
        raw=(
            {"round": 1, "wire": wire.name, "provider": "p", "model": "m", "blocks": reply.blocks},
        ),
    )
    json.dumps(wire.render_request(Request("p", "m", (message,))).body)


@given(body=st.binary(max_size=200), wire=st.sampled_from([CHAT, MESSAGES]))
def test_random_bytes_are_a_typed_error(body: bytes, wire: Wire) -> None:
    decoder = wire.decoder()
    with pytest.raises(ProviderError):
        list(chain(decoder.feed(body), decoder.finish()))


@given(
    status=st.integers(300, 599),
    value=JSON_VALUES
    | st.dictionaries(
        st.sampled_from(["error", "message", "detail", "code", "request_id"]), JSON_VALUES
    ),
)
def test_every_error_body_becomes_a_typed_error(status: int, value: Any) -> None:
    body = json.dumps(value).encode()
    assert isinstance(CHAT.parse_error(status, {"retry-after": "x"}, body), ProviderError)
