"""Answers in the words of a wire: the same reply as plain JSON or as a stream.

Pure but for `Gate`, which holds an answer back until a test opens it.
"""

import concurrent.futures
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nbchat.exchange import FinishReason, Reply, Usage
from nbchat.messages import Part, Text, Thinking, ToolCall

WAIT_S = 30.0
MODEL = "replayed-1"
ANTHROPIC_REASONS = {"stop": "end_turn", "tool_calls": "tool_use", "length": "max_tokens"}


class Gate:
    """A place in an answer where the server waits until `open()`."""

    def __init__(self) -> None:
        self.reached: concurrent.futures.Future[None] = concurrent.futures.Future()
        self.opened: concurrent.futures.Future[None] = concurrent.futures.Future()

    def wait_reached(self, timeout_s: float = WAIT_S) -> None:
        """Wait until all that comes before the gate was sent; raises TimeoutError."""
        self.reached.result(timeout_s)

    def open(self) -> None:
        """Let the answer go on; opening twice is once."""
        if not self.opened.done():
            self.opened.set_result(None)


@dataclass(frozen=True, slots=True)
class Answer:
    """A raw HTTP answer: its body whole, or in pieces that are sent one by one.

    A `Gate` among the pieces holds back what follows it, `hold` the answer as a whole.
    `cut` closes the connection where the end of the body should be; `status=None` closes
    it without any answer.
    """

    status: int | None = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Sequence[bytes | Gate] = b""
    cut: bool = False
    hold: Gate | None = None


def said(
    *parts: str | Part,
    usage: Usage = Usage(),  # noqa: B008  a frozen value
    finish_reason: FinishReason | None = None,
    model: str = MODEL,
) -> Reply:
    """What a model says: texts, thinking and tool calls; the finish reason follows from them."""
    whole = tuple(Text(part) if isinstance(part, str) else part for part in parts)
    calls = any(isinstance(part, ToolCall) for part in whole)
    reason: FinishReason = finish_reason or ("tool_calls" if calls else "stop")
    return Reply(whole, None, usage, reason, model)


def answer_to(path: str, reply: Reply, *, stream: bool, piece: int = 4) -> Answer:
    """The reply for whoever asked at this path; texts are streamed `piece` characters at a time."""
    anthropic = path.endswith("/messages")
    if not stream:
        body = _messages_body(reply) if anthropic else _chat_body(reply)
        return Answer(headers={"content-type": "application/json"}, body=_dump(body))
    events = _messages_events(reply, piece) if anthropic else _chat_events(reply, piece)
    pieces = sse(events, done=not anthropic)
    return Answer(headers={"content-type": "text/event-stream"}, body=pieces)


def sse(events: Iterable[Mapping[str, Any]], *, done: bool = False) -> list[bytes]:
    """The events as server-sent ones, with OpenAI's `[DONE]` at the end if wanted."""
    lines = []
    for event in events:
        name = f"event: {event['type']}\n" if "type" in event else ""
        lines.append(name.encode() + b"data: " + _dump(event) + b"\n\n")
    return [*lines, *([b"data: [DONE]\n\n"] if done else [])]


def _dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _cut(text: str, piece: int) -> list[str]:
    return [text[at : at + piece] for at in range(0, len(text), piece)]


def _known(**counts: int | None) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count is not None}


def _arguments(call: ToolCall) -> str:
    return call.arguments if isinstance(call.arguments, str) else _dump(call.arguments).decode()


# Chat Completions ---------------------------------------------------------------------------


def _chat_usage(usage: Usage) -> dict[str, Any]:
    counts: dict[str, Any] = _known(
        prompt_tokens=usage.input_tokens, completion_tokens=usage.output_tokens
    )
    cached = _known(
        cached_tokens=usage.cached_input_tokens, cache_write_tokens=usage.cache_write_tokens
    )
    thinking = _known(reasoning_tokens=usage.thinking_tokens)
    counts |= {"prompt_tokens_details": cached} if cached else {}
    counts |= {"completion_tokens_details": thinking} if thinking else {}
    return {"usage": counts} if counts else {}


def _chat_call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": _arguments(call)}
    return {"id": call.tool_call_id, "type": "function", "function": function}


def _chat_choice(reply: Reply, key: str, message: Mapping[str, Any], **rest: Any) -> dict[str, Any]:
    choice = {"index": 0, key: dict(message), **rest}
    kind = "chat.completion" + (".chunk" if key == "delta" else "")
    return {"id": "chatcmpl-1", "object": kind, "model": reply.model, "choices": [choice]}


def _chat_body(reply: Reply) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None}
    thinking = "".join(part.text for part in reply.parts if isinstance(part, Thinking))
    message |= {"reasoning_content": thinking} if thinking else {}
    message |= {"tool_calls": list(map(_chat_call, reply.tool_calls))} if reply.tool_calls else {}
    choice = _chat_choice(reply, "message", message, finish_reason=reply.finish_reason)
    return choice | _chat_usage(reply.usage)


def _chat_events(reply: Reply, piece: int) -> Iterator[dict[str, Any]]:
    yield _chat_choice(reply, "delta", {"role": "assistant", "content": ""})
    for part in reply.parts:
        if isinstance(part, Text | Thinking):
            name = "content" if isinstance(part, Text) else "reasoning_content"
            for text in _cut(part.text, piece):
                yield _chat_choice(reply, "delta", {name: text})
    for index, call in enumerate(reply.tool_calls):
        first = _chat_call(call) | {"function": {"name": call.name, "arguments": ""}}
        yield _chat_choice(reply, "delta", {"tool_calls": [{"index": index, **first}]})
        for text in _cut(_arguments(call), piece):
            more = {"index": index, "function": {"arguments": text}}
            yield _chat_choice(reply, "delta", {"tool_calls": [more]})
    yield _chat_choice(reply, "delta", {}, finish_reason=reply.finish_reason)
    if usage := _chat_usage(reply.usage):
        yield {"id": "chatcmpl-1", "model": reply.model, "choices": [], **usage}


# Anthropic's Messages -----------------------------------------------------------------------


def _messages_usage(usage: Usage) -> dict[str, Any]:
    """Anthropic counts cached input apart from the rest."""
    apart = (usage.cached_input_tokens or 0) + (usage.cache_write_tokens or 0)
    fresh = None if usage.input_tokens is None else usage.input_tokens - apart
    return _known(
        input_tokens=fresh,
        cache_read_input_tokens=usage.cached_input_tokens,
        cache_creation_input_tokens=usage.cache_write_tokens,
        output_tokens=usage.output_tokens,
    )


def _messages_block(part: Part) -> dict[str, Any]:
    match part:
        case Text(text=text):
            return {"type": "text", "text": text}
        case Thinking(data=str(data)):
            return {"type": "redacted_thinking", "data": data}
        case Thinking(text=text, signature=signature):
            return {"type": "thinking", "thinking": text, "signature": signature or ""}
        case ToolCall(name=name, arguments=arguments, tool_call_id=id_):
            return {"type": "tool_use", "id": id_, "name": name, "input": arguments}
    raise TypeError(f"A model does not say {part!r}.")


def _messages_body(reply: Reply) -> dict[str, Any]:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": reply.model}
    reason = ANTHROPIC_REASONS.get(reply.finish_reason or "", reply.finish_reason)
    content = list(map(_messages_block, reply.parts))
    usage = _messages_usage(reply.usage)
    return {**message, "content": content, "stop_reason": reason, "usage": usage}


def _messages_events(reply: Reply, piece: int) -> Iterator[dict[str, Any]]:
    body = _messages_body(reply)
    start = body | {"content": [], "stop_reason": None}
    yield {"type": "message_start", "message": start}
    for index, part in enumerate(reply.parts):
        yield from _block_events(index, part, piece)
    delta = {"stop_reason": body["stop_reason"]}
    yield {"type": "message_delta", "delta": delta, "usage": body["usage"]}
    yield {"type": "message_stop"}


def _block_events(index: int, part: Part, piece: int) -> Iterator[dict[str, Any]]:
    block = _messages_block(part)
    deltas: list[dict[str, Any]] = []
    if block["type"] == "tool_use":
        texts = _cut(_arguments(part), piece) if isinstance(part, ToolCall) else []
        deltas = [{"type": "input_json_delta", "partial_json": text} for text in texts]
        block |= {"input": {}}
    elif block["type"] in ("text", "thinking"):
        kind = block["type"]
        deltas = [{"type": f"{kind}_delta", kind: text} for text in _cut(block[kind], piece)]
        if block.get("signature"):
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        block |= {kind: "", **({"signature": ""} if "signature" in block else {})}
    yield {"type": "content_block_start", "index": index, "content_block": block}
    for delta in deltas:
        yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}
