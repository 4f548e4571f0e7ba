"""OpenAI's Chat Completions, and every server that speaks it.

What differs between servers is a field of `OpenAIChat`. Thinking goes back only to the
provider that sent it, in its own fields; for any other it is dropped and counted.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from nbchat.errors import BadRequest, ProviderError
from nbchat.exchange import Request, Secret, Settings, ToolSpec
from nbchat.messages import File, Image, Message, Text, Thinking, ToolCall, ToolResult, text_of
from nbchat.wires import Decoder, Rendered, Round, is_own, rounds_of
from nbchat.wires.answers import AnswerDecoder
from nbchat.wires.attached import data_url, has_attachments, plain_if_text, user_blocks
from nbchat.wires.chat_answer import ChatAnswer
from nbchat.wires.chat_calls import arguments_text, sendable
from nbchat.wires.failures import response_error
from nbchat.wires.tool_ids import ToolIds

CARRIED = ("reasoning_content", "reasoning", "reasoning_details", "extra_content")
LOW_BUDGET, MEDIUM_BUDGET = 4_096, 16_000


@dataclass(frozen=True, slots=True)
class OpenAIChat:
    """The wire, and how a server's dialect differs.

    `thinking_field` is where the wish to think goes: an effort word, OpenRouter's
    `reasoning` object, or DeepSeek's `thinking` switch beside the word. `tool_id_length` is
    for servers that take ids of exactly so many letters and digits. Without `carries_files`
    only words go, and files that are text.
    """

    max_tokens_field: str = "max_tokens"
    stream_usage: bool = True
    thinking_field: Literal["reasoning_effort", "reasoning", "thinking"] = "reasoning_effort"
    tool_id_length: int | None = None
    instructions_role: str = "system"
    carries_files: bool = True
    name: str = "openai_chat"
    path: str = "/chat/completions"

    def headers(self, key: str | None) -> dict[str, str]:
        """The headers that carry the key."""
        return {"Authorization": Secret(f"Bearer {key}")} if key else {}

    def render_request(self, request: Request) -> Rendered:
        """The JSON body for this request."""
        history = History(self, request)
        body: dict[str, Any] = {"model": request.model, "messages": list(history.messages())}
        if request.tools:
            body["tools"] = [render_tool(tool) for tool in request.tools]
            body |= render_tool_choice(request.settings.tool_choice)
        body |= self._render_settings(request.settings)
        if request.stream:
            body["stream"] = True
            if self.stream_usage:
                body["stream_options"] = {"include_usage": True}
        return Rendered(body | dict(request.settings.params), dict(history.dropped))

    def decoder(self) -> Decoder:
        """A fresh decoder for one response."""
        return AnswerDecoder(ChatAnswer())

    def parse_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """The typed error for an answer with a failing status."""
        return response_error(status, headers, body)

    def amended(self, error: ProviderError) -> "OpenAIChat | None":
        """The wire without stream_options, where the server says that it does not know them."""
        refused = self.stream_usage and isinstance(error, BadRequest)
        named = "stream_options" in f"{error} {error.body}" or "include_usage" in str(error)
        return replace(self, stream_usage=False) if refused and named else None

    def _render_settings(self, settings: Settings) -> dict[str, Any]:
        body: dict[str, Any] = {}
        if settings.temperature is not None:
            body["temperature"] = settings.temperature
        if settings.max_tokens is not None:
            body[self.max_tokens_field] = settings.max_tokens
        return body | render_thinking(settings.thinking or {}, self.thinking_field)


class History:
    """The messages of one request as the wire wants them; counts what is dropped."""

    def __init__(self, wire: OpenAIChat, request: Request) -> None:
        self._wire = wire
        self._request = request
        length = wire.tool_id_length
        shape = f"[a-zA-Z0-9]{{{length}}}" if length else r"[a-zA-Z0-9_.:-]{1,40}"
        self._ids = ToolIds(re.compile(shape), length)
        self.dropped: Counter[str] = Counter()

    def messages(self) -> Iterator[dict[str, Any]]:
        """Instructions, then every message in order."""
        if self._request.instructions:
            role = self._wire.instructions_role
            yield {"role": role, "content": self._request.instructions}
        for position, message in enumerate(self._request.messages):
            if message.role == "user":
                yield {"role": "user", "content": self._render_user(message)}
                continue
            for number, spoken in enumerate(rounds_of(message)):
                yield from self._render_round(spoken, f"{position}.{number}")

    def _render_user(self, message: Message) -> str | list[dict[str, Any]]:
        if not has_attachments(message):
            return render_user(message)
        files = self._request.attachments
        binary = render_attachment if self._wire.carries_files else None
        return plain_if_text(list(user_blocks(message, files, self.dropped, binary)))

    def _render_round(self, spoken: Round, place: str) -> Iterator[dict[str, Any]]:
        own = is_own(spoken, self._wire.name, self._request.provider)
        blocks = spoken.raw["blocks"] if own and spoken.raw else {}
        calls = [part for part in spoken.parts if isinstance(part, ToolCall)]
        ids = [
            self._ids.take(call.tool_call_id, f"{place}.{seq}", own=own)
            for seq, call in enumerate(calls)
        ]
        carried = {key: blocks[key] for key in CARRIED if key in blocks}
        listed = isinstance(blocks.get("content"), list)
        content = blocks["content"] if listed else text_of(spoken.parts)
        speaks = bool(content or calls)  # servers refuse a message that says nothing
        if not speaks or not (carried or listed):
            thoughts = sum(isinstance(part, Thinking) for part in spoken.parts)
            self.dropped.update({"thinking": thoughts} if thoughts else {})
        if speaks:
            yield render_assistant(content, carried, render_calls(calls, ids, blocks))
        pictures = sum(len(result.images) for result in spoken.results)
        self.dropped.update({"image": pictures} if pictures else {})
        yield from map(render_result, spoken.results, ids)


def render_attachment(part: Image | File, data: bytes) -> dict[str, Any]:
    """A picture or a PDF.

    Source: OpenAI's API reference, Chat Completions: image_url and file content parts.
    """
    url = data_url(part.media_type, data)
    if isinstance(part, Image):
        return {"type": "image_url", "image_url": {"url": url}}
    return {"type": "file", "file": {"filename": part.name or "file.pdf", "file_data": url}}


def render_user(message: Message) -> str | list[dict[str, Any]]:
    """A user's words, plain when they are one text."""
    texts = [part.text for part in message.parts if isinstance(part, Text)]
    if len(texts) > 1:
        return [{"type": "text", "text": text} for text in texts]
    return texts[0] if texts else message.content


def render_assistant(
    content: Any, carried: Mapping[str, Any], calls: list[dict[str, Any]]
) -> dict[str, Any]:
    """An assistant's round; content is '' rather than absent, which more servers accept."""
    message = {"role": "assistant", "content": content, **carried}
    return message | ({"tool_calls": calls} if calls else {})


def render_calls(
    calls: list[ToolCall], ids: list[str], blocks: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """A round's calls; the provider's own text and extras where it is the one asked again."""
    originals = blocks.get("tool_calls") or []
    if len(originals) != len(calls):
        originals = [{} for _ in calls]
    rendered = []
    for call, call_id, original in zip(calls, ids, originals, strict=True):
        text = (original.get("function") or {}).get("arguments") or arguments_text(call.arguments)
        function = {"name": call.name, "arguments": sendable(text)}
        rendered.append(original | {"id": call_id, "type": "function", "function": function})
    return rendered


def render_result(result: ToolResult, call_id: str) -> dict[str, Any]:
    """What the model is told a call came to: its words, which name the pictures that stay behind.

    Source: OpenAI's API reference, Chat Completions: a tool message's content is a string, or
    parts of type text only.
    """
    return {"role": "tool", "tool_call_id": call_id, "content": result.content}


def render_tool(tool: ToolSpec) -> dict[str, Any]:
    """What the model is told about a tool."""
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": dict(tool.parameters),
    }
    return {"type": "function", "function": function}


def render_tool_choice(choice: str | None) -> dict[str, Any]:
    """The wish to use tools, one tool, or none."""
    if choice is None:
        return {}
    if choice in ("auto", "none", "required"):
        return {"tool_choice": choice}
    return {"tool_choice": {"type": "function", "function": {"name": choice}}}


def render_thinking(thinking: Mapping[str, Any], field: str) -> dict[str, Any]:
    """The wish to think, in the server's own words."""
    effort, budget = thinking.get("effort"), thinking.get("budget")
    if not effort and not budget:
        return {}
    if field == "reasoning":
        return {"reasoning": {"max_tokens": budget} if budget else {"effort": effort}}
    word = {"reasoning_effort": effort or effort_of(int(budget or 0))}
    return word if field == "reasoning_effort" else {"thinking": {"type": "enabled"}} | word


def effort_of(budget: int) -> str:
    """The word that comes closest to a budget of tokens."""
    if budget <= LOW_BUDGET:
        return "low"
    return "medium" if budget <= MEDIUM_BUDGET else "high"
