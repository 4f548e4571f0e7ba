"""Tools for a model that cannot call them: its words are forced into JSON and read back."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from written_streams import CHAT_PLAIN, CHAT_STREAM, chunk, piece, sse

from nbchat.errors import BadRequest, BrokenStream, ConfigError, ContextTooLong, ProviderError
from nbchat.exchange import Reply, Request, Settings, ToolSpec, Usage
from nbchat.messages import Message, Part, Text, Thinking, ToolCall, ToolResult
from nbchat.providers import find_provider
from nbchat.wires import UNAVAILABLE
from nbchat.wires.grammar_chat import GrammarChat
from nbchat.wires.openai_chat import OpenAIChat

WIRE, CHAT = GrammarChat(), OpenAIChat()
STOCK = ToolSpec(
    "stock",
    "How many there are.",
    {"type": "object", "properties": {"item": {"type": "string"}}, "required": ["item"]},
)
CLOCK = ToolSpec("clock", "The time.", {"type": "object", "properties": {}})
WORDS = st.text(st.characters(codec="utf-8"), max_size=30)
JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
WRITTEN = st.one_of(
    st.builds(lambda text: {"tool": None, "answer": text}, WORDS),
    st.builds(
        lambda arguments: {"tool": "stock", "arguments": arguments},
        st.dictionaries(WORDS, JSONISH, max_size=3),
    ),
)


def call(arguments: Any, name: str = "stock") -> str:
    return json.dumps({"tool": name, "arguments": arguments})


def answer(text: str) -> str:
    return json.dumps({"tool": None, "answer": text})


def user(text: str) -> Message:
    return Message("u", "c", "user", text, parts=(Text(text),))


def assistant(*parts: Part, raw: tuple[dict[str, Any], ...] = ()) -> Message:
    return Message("a", "c", "assistant", parts=parts, raw=raw)


def own(*contents: str) -> tuple[dict[str, Any], ...]:
    """What is stored of rounds in which the model wrote these."""
    return tuple(
        {
            "round": number,
            "wire": WIRE.name,
            "provider": "p",
            "model": "m",
            "blocks": {"role": "assistant", "content": content},
        }
        for number, content in enumerate(contents, start=1)
    )


def request(*messages: Message, tools: tuple[ToolSpec, ...] = (STOCK, CLOCK), **rest: Any) -> Any:
    return Request("p", "m", messages, tools=tools, **rest)


def body(*messages: Message, wire: OpenAIChat = WIRE, **rest: Any) -> Any:
    asked = request(*messages, **rest)
    rendered = wire.render_request(asked)
    assert rendered == wire.render_request(asked)
    json.dumps(rendered.body).encode()
    return rendered.body


def forced(choice: str | None, **rest: Any) -> Any:
    sent = body(user("hi"), settings=Settings(tool_choice=choice), **rest)
    return sent["response_format"]["json_schema"]["schema"]


def said(*messages: Message, **rest: Any) -> list[tuple[str, str]]:
    """Who says what in the history, without the instructions."""
    return [
        (entry["role"], entry["content"])
        for entry in body(*messages, **rest)["messages"]
        if entry["role"] != "system"
    ]


def plain(content: str, reason: str = "stop") -> bytes:
    choice = {"message": {"role": "assistant", "content": content}, "finish_reason": reason}
    return json.dumps({"choices": [choice]}).encode()


def decode(*data: bytes, wire: OpenAIChat = WIRE) -> tuple[Reply, list[str]]:
    """The reply, and the text that was shown as it came."""
    decoder = wire.decoder()
    deltas = [delta for item in data for delta in decoder.feed(item)]
    deltas += decoder.finish()
    return decoder.reply(), [delta.text for delta in deltas if delta.kind == "text"]


def streamed(*pieces: str, reason: str | None = "stop") -> bytes:
    return sse(*(chunk({"content": text}) for text in pieces), chunk({}, reason))


def pieces_at(text: Any, cuts: set[int]) -> Iterator[Any]:
    edges = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    for start, end in pairwise(edges):
        yield text[start:end]


# what is sent


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("choice", [None, "none"])
def test_without_tools_it_is_chat_completions(choice: str | None, stream: bool) -> None:
    messages = (user(answer("a")), assistant(Text("b"), Thinking("hm")), user("c"))
    rest: dict[str, Any] = {"instructions": "Be brief.", "stream": stream}
    sent = body(*messages, settings=Settings(0.5, 9, tool_choice=choice), tools=(), **rest)
    assert sent == body(*messages, wire=CHAT, settings=Settings(0.5, 9), tools=(), **rest)


@pytest.mark.parametrize(("asked", "sent"), [(None, 1024), (7, 7), (2000, 2000)])
def test_an_answer_of_the_embedded_model_ends_even_where_nobody_set_a_limit(
    asked: int | None, sent: int
) -> None:
    settings_ = Settings(max_tokens=asked)
    request = Request("local", "m", (user("hello"),), settings=settings_)

    assert find_provider("local").wire.render_request(request).body["max_tokens"] == sent


def test_a_choice_of_no_tools_says_nothing_about_them() -> None:
    sent = body(user("a"), settings=Settings(tool_choice="none"))
    assert sent == body(user("a"), tools=())


@pytest.mark.parametrize("rest", [{"tools": ()}, {"settings": Settings(tool_choice="none")}])
@pytest.mark.parametrize(
    "before",
    [
        assistant(Text("3"), raw=own(answer("3"))),
        assistant(ToolCall("stock", {}), raw=own('{\n "tool" : "stock"')),
        assistant(Text("See"), ToolCall("stock", {})),
    ],
)
def test_after_calls_a_model_that_must_not_call_can_only_answer(before: Any, rest: Any) -> None:
    sent = body(user("a"), before, user("b"), **rest)
    schema = sent["response_format"]["json_schema"]["schema"]
    assert schema["properties"] == {"tool": {"type": "null"}, "answer": {"type": "string"}}
    assert [entry["role"] for entry in sent["messages"]].count("system") == 0


def test_tools_are_told_after_the_instructions_and_never_sent() -> None:
    sent = body(user("hi"), instructions="Be brief.")
    system = sent["messages"][0]
    assert system["role"] == "system"
    assert system["content"].startswith("Be brief.\n\n")
    for tool in (STOCK, CLOCK):
        assert tool.name in system["content"]
        assert tool.description in system["content"]
        assert json.dumps(tool.parameters, separators=(",", ":")) in system["content"]
    assert "tools" not in sent
    assert "tool_choice" not in sent


def test_what_is_told_is_the_same_for_every_choice() -> None:
    told = [
        body(user("hi"), settings=Settings(tool_choice=choice))["messages"]
        for choice in (None, "auto", "required", "clock")
    ]
    assert all(messages == told[0] for messages in told)


@pytest.mark.parametrize(
    ("choice", "tools", "answers"),
    [
        (None, ["stock", "clock"], True),
        ("auto", ["stock", "clock"], True),
        ("required", ["stock", "clock"], False),
        ("clock", ["clock"], False),
    ],
)
def test_the_choice_says_what_can_be_written(
    choice: str | None, tools: list[str], answers: bool
) -> None:
    schema = forced(choice)
    branches = [branch["properties"] for branch in schema.get("anyOf", [schema])]
    calls = [branch["tool"]["const"] for branch in branches if "arguments" in branch]
    assert calls == tools
    assert [branch for branch in branches if "answer" in branch] == (
        [{"tool": {"type": "null"}, "answer": {"type": "string"}}] if answers else []
    )


def test_a_choice_of_an_unknown_tool_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'gone' is no tool .*: stock, clock\."):
        forced("gone")


@pytest.mark.parametrize("key", ["response_format", "json_schema", "grammar"])
def test_a_grammar_of_the_users_own_is_left_alone(key: str) -> None:
    sent = body(user("hi"), settings=Settings(params={key: "mine"}))
    assert {"response_format", "json_schema", "grammar"} & sent.keys() == {key}
    assert sent[key] == "mine"


def test_what_the_server_refuses_is_not_sent_again() -> None:
    refused = BadRequest("JSON schema error at #/anyOf: unrecognized type x", status=400)
    loose = WIRE.amended(refused)
    assert loose == replace(WIRE, strict=False)
    branches = forced_loose(loose)
    assert [branch["arguments"] for branch in branches] == [{"type": "object"}] * 2
    assert loose.amended(refused) is None
    assert WIRE.amended(BadRequest("failed to parse grammar")) == loose
    assert WIRE.amended(BadRequest("stream_options is unknown")) == replace(
        WIRE, stream_usage=False
    )
    others = [BadRequest("no"), ContextTooLong("the schema is long"), ProviderError("grammar")]
    assert [WIRE.amended(error) for error in others] == [None] * 3


def forced_loose(wire: GrammarChat) -> list[Any]:
    schema = body(user("hi"), wire=wire, settings=Settings(tool_choice="required"))
    branches = schema["response_format"]["json_schema"]["schema"]["anyOf"]
    return [branch["properties"] for branch in branches]


# what went before


def test_own_rounds_go_back_as_they_were_written() -> None:
    first, last = '{\n  "tool" : "stock", "arguments" : {"item":"pear"}\n}', answer("Three.")
    message = assistant(
        ToolCall("stock", {"item": "pear"}, "x"),
        ToolResult("3", "x", "stock"),
        Text("Three.", round=2),
        raw=own(first, last),
    )
    expected = [
        ("user", "hi"),
        ("assistant", first),
        ("user", "Result of stock: 3"),
        ("assistant", last),
        ("user", "thanks"),
    ]
    assert said(user("hi"), message, user("thanks")) == expected
    assert said(user("hi"), message, user("thanks"), tools=()) == expected


def test_a_decoded_round_goes_back_as_it_came() -> None:
    for written in (call({"item": "é"}), answer("é\n"), "just words", call({})[:-6]):
        reply, _ = decode(plain(written))
        raw = replace_blocks(own("")[0], reply.blocks)
        [sent, *_] = said(assistant(*reply.parts, raw=(raw,)))
        assert sent == ("assistant", written)


def replace_blocks(raw: dict[str, Any], blocks: Any) -> dict[str, Any]:
    return raw | {"blocks": json.loads(json.dumps(blocks))}


@pytest.mark.parametrize("wire", ["openai_chat", "anthropic"])
def test_rounds_of_others_go_back_as_calls_one_by_one(wire: str) -> None:
    raw = own("Let me see")[0] | {"wire": wire}
    message = assistant(
        Text("Let me see"),
        ToolCall("stock", {"item": "é"}, "x"),
        ToolCall("clock", "{cut", "x"),
        ToolResult("noon", "x", "clock", seq=2),
        Text("Noon.", round=2),
        raw=(raw,),
    )
    assert said(user("hi"), message) == [
        ("user", "hi"),
        ("assistant", 'Let me see\n{"tool":"stock","arguments":{"item":"é"}}'),
        ("user", f"Result of stock: {UNAVAILABLE}"),
        ("assistant", '{"tool":"clock","arguments":{}}'),
        ("user", "Result of clock: noon"),
        ("assistant", "Noon."),
    ]


def test_a_longer_history_begins_with_the_same_bytes() -> None:
    turns = [
        user("a"),
        assistant(ToolCall("stock", {}), ToolCall("stock", {}), raw=own(call({}))),
        user("b"),
    ]
    short, long = body(*turns[:2])["messages"], body(*turns)["messages"]
    assert long[: len(short)] == short


def test_thinking_of_others_is_dropped_and_counted() -> None:
    message = assistant(Thinking("hm"), Text("a"), ToolCall("stock", {}), Thinking("so", round=2))
    assert WIRE.render_request(request(message)).dropped == {"thinking": 2}


# what comes back


@settings(max_examples=300, deadline=None)
@given(
    value=WRITTEN,
    ascii_only=st.booleans(),
    indent=st.sampled_from([None, 0, 2]),
    cuts=st.sets(st.integers(0, 10**6), max_size=20),
    byte_cuts=st.sets(st.integers(0, 10**6), max_size=20),
)
@example({"tool": None, "answer": '😀"\\'}, True, None, set(range(60)), set())
def test_how_a_stream_is_cut_changes_nothing(
    value: Any, ascii_only: bool, indent: int | None, cuts: set[int], byte_cuts: set[int]
) -> None:
    written = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    stream = streamed(*pieces_at(written, cuts))
    reply, shown = decode(*pieces_at(stream, byte_cuts))
    whole, at_once = decode(plain(written))
    assert reply == whole
    assert "".join(shown) == "".join(at_once) == reply.text == (value.get("answer") or "")
    if value["tool"]:
        [made] = reply.tool_calls
        assert reply.parts == (ToolCall("stock", value["arguments"], made.tool_call_id),)
        assert made.tool_call_id
        assert reply.finish_reason == "tool_calls"
    else:
        assert reply.tool_calls == ()
        assert reply.finish_reason == "stop"
    assert reply.blocks == {"role": "assistant", "content": written}


@settings(max_examples=200, deadline=None)
@given(value=WRITTEN, ascii_only=st.booleans(), data=st.data())
def test_a_cut_answer_keeps_what_came_and_a_cut_call_cannot_run(
    value: Any, ascii_only: bool, data: st.DataObject
) -> None:
    written = json.dumps(value, ensure_ascii=ascii_only)
    cut = written[: data.draw(st.integers(0, len(written) - 1))]
    reply, shown = decode(streamed(*cut, reason="length"))
    assert reply.finish_reason == "length"
    assert "".join(shown) == reply.text
    assert (value.get("answer") or "").startswith(reply.text)
    for made in reply.tool_calls:
        whole = made.arguments == value["arguments"] and cut == written[:-1]
        assert whole or (isinstance(made.arguments, str) and cut.endswith(made.arguments))
    if value["tool"] and '"arguments": {' in cut:
        assert len(reply.tool_calls) == 1


@settings(max_examples=200, deadline=None)
@given(value=WRITTEN, data=st.data())
def test_what_is_shown_of_a_broken_stream_is_the_beginning_of_the_whole(
    value: Any, data: st.DataObject
) -> None:
    written = json.dumps(value)
    whole, _ = decode(plain(written))
    stream = streamed(*written)
    decoder = WIRE.decoder()
    shown = [d.text for d in decoder.feed(stream[: data.draw(st.integers(0, len(stream)))])]
    assert decoder.reply().text == "".join(shown)
    with contextlib.suppress(BrokenStream):
        shown.extend(delta.text for delta in decoder.finish())
    assert whole.text.startswith("".join(shown))
    assert decoder.reply().text == "".join(shown)


def test_an_answers_text_comes_as_it_is_written_and_json_never() -> None:
    decoder = WIRE.decoder()
    shown = [
        [delta.text for delta in decoder.feed(sse(chunk({"content": text}), end=""))]
        for text in ('{"tool"', ": null", ', "answer": "', "Hel", "lo \\", 'n\\ud83d', "\\ude0",
                     '0\\u00', 'e9"', " }")
    ]  # fmt: skip
    assert shown == [[], [], [], ["Hel"], ["lo "], ["\n"], [], ["😀"], ["é"], []]


@pytest.mark.parametrize(
    "content",
    [
        "Hello.",
        "{",
        '{"tool": ',
        " ",
        '{"answer": "Paris"}',
        '{"tool": "hammer", "size": 3}',
        '{"tool": null, "reply": "x"}',
        '{"tool": 3}',
        '{"tool": "stock", "arguments": [1]}',
        '{"tools": []}',
        '[{"tool": "stock"}]',
        '"text"',
        '```json\n{"tool": "stock", "arguments": {}}\n```',
    ],
)
def test_content_of_any_other_shape_is_text_as_for_chat_completions(content: str) -> None:
    for data in (plain(content), streamed(*content), streamed(content)):
        reply, shown = decode(data)
        assert reply == decode(data, wire=CHAT)[0]
        assert "".join(shown) == reply.text == content


@pytest.mark.parametrize("body_", [json.dumps(CHAT_PLAIN).encode(), sse(*CHAT_STREAM)])
def test_usage_model_thinking_and_calls_of_the_servers_own_are_read_as_ever(body_: bytes) -> None:
    assert decode(body_)[0] == decode(body_, wire=CHAT)[0]


def test_usage_and_model_stand_beside_a_forced_call() -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 7}
    stream = sse(
        chunk({"reasoning_content": "hm"}, model="m-1"),
        chunk({"content": call({"item": "pear"})}, "stop"),
        {"choices": [], "usage": usage},
    )
    reply, shown = decode(stream)
    assert [type(part) for part in reply.parts] == [Thinking, ToolCall]
    assert (reply.usage, reply.model, shown) == (Usage(5, 7, raw=usage), "m-1", [])


def test_a_native_call_beside_an_answer_is_kept() -> None:
    delta = {"content": answer("a"), "tool_calls": [piece("clock", "{}", index=0, id="x")]}
    reply, _ = decode(sse(chunk(delta, "tool_calls")))
    assert reply.parts == (Text("a"), ToolCall("clock", {}, "x"))


def test_the_same_call_has_the_same_id_and_another_call_another() -> None:
    ids = [
        decode(plain(content))[0].tool_calls[0].tool_call_id
        for content in (call({"a": 1}), call({"a": 1}), call({"a": 2}), call({"a": 1}, "clock"))
    ]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


@pytest.mark.parametrize("arguments", ['{"a": NaN}', '{"a": 1e999}', '{"a": 1 2}', '{"a":' * 9_999])
def test_arguments_nobody_can_read_stay_text(arguments: str) -> None:
    reply, _ = decode(plain(f'{{"tool": "stock", "arguments": {arguments}'))
    assert reply.tool_calls[0].arguments == arguments
    assert reply.finish_reason == "tool_calls"


def test_what_is_kept_can_always_be_written() -> None:
    half = '{"tool": "stock", "arguments": {"a": "\\ud83d"}}'
    lone = '{"tool": null, "answer": "a\\ud83d\\x \\u12 b"}'
    call_, answer_ = decode(plain(half))[0], decode(plain(lone))[0]
    assert call_.tool_calls[0].arguments == {"a": "\ufffd"}
    assert answer_.text == "a\ufffd\\x \\u12 b"
    assert answer_ == decode(streamed(*lone))[0]


def test_an_error_in_the_stream_comes_after_what_was_said() -> None:
    decoder = WIRE.decoder()
    stream = sse(chunk({"content": '{"tool":null,"answer":"He'}), {"error": {"message": "gone"}})
    deltas = decoder.feed(stream)
    shown = [next(deltas).text]
    with pytest.raises(ProviderError, match="gone"):
        next(deltas)
    assert shown == ["He"]
    assert decoder.reply().text == "He"
    assert decoder.reply().finish_reason is None
