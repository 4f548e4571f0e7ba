"""Anthropic's Messages API, and the servers that copy it.

A round that this provider said goes back as its own blocks, unmodified and in order: thinking
is signed over them. Any other round is rendered from its parts, without its thinking.
Invariant: no empty text is ever sent, and every tool_use is followed by its result.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nbchat.errors import ProviderError
from nbchat.exchange import Request, Secret, Settings, ToolSpec
from nbchat.messages import JSON, File, Image, Message, Text, Thinking, ToolCall, ToolResult
from nbchat.wires import Decoder, Rendered, Round, is_own, rounds_of
from nbchat.wires.answers import AnswerDecoder
from nbchat.wires.anthropic_answer import AnthropicAnswer
from nbchat.wires.anthropic_pictures import left_out
from nbchat.wires.attached import has_attachments, in_base64, plain_if_text, user_blocks
from nbchat.wires.failures import response_error
from nbchat.wires.tool_ids import ToolIds

DEFAULT_MAX_TOKENS = 4_096
TOOL_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class AnthropicMessages:
    """The wire; `version` is the API version to ask for."""

    version: str = "2023-06-01"
    default_max_tokens: int = DEFAULT_MAX_TOKENS
    name: str = "anthropic"
    path: str = "/v1/messages"

    def headers(self, key: str | None) -> dict[str, str]:
        """The headers that carry the key and the protocol's version."""
        version = {"anthropic-version": self.version}
        return version | ({"x-api-key": Secret(key)} if key else {})

    def render_request(self, request: Request) -> Rendered:
        """The JSON body for this request."""
        history = History(self, request)
        messages = list(history.messages())
        body: dict[str, Any] = {"model": request.model}
        body |= render_settings(request.settings, self.default_max_tokens)
        if request.instructions and request.instructions.strip():
            body["system"] = request.instructions
        body["messages"] = messages
        if request.tools:
            body["tools"] = [render_tool(tool) for tool in request.tools]
            body |= render_tool_choice(request.settings.tool_choice)
        if request.stream:
            body["stream"] = True
        return Rendered(body | dict(request.settings.params), dict(history.dropped))

    def decoder(self) -> Decoder:
        """A fresh decoder for one response."""
        return AnswerDecoder(AnthropicAnswer())

    def parse_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """The typed error for an answer with a failing status."""
        return response_error(status, headers, body)

    def amended(self, error: ProviderError) -> None:
        """None: nothing is sent that a server may do without."""


class History:
    """The messages of one request as the wire wants them; counts what is dropped."""

    def __init__(self, wire: AnthropicMessages, request: Request) -> None:
        self._wire = wire
        self._request = request
        self._ids = ToolIds(TOOL_ID)
        self._left_out = left_out(request.messages, request.attachments)
        self.dropped: Counter[str] = Counter()

    def messages(self) -> Iterator[dict[str, Any]]:
        """Every message in order, empty ones left out."""
        for position, message in enumerate(self._request.messages):
            if message.role == "user":
                yield from said("user", self._render_user(message))
                continue
            for number, spoken in enumerate(rounds_of(message)):
                yield from self._render_round(spoken, f"{position}.{number}")

    def _render_user(self, message: Message) -> list[dict[str, Any]] | str:
        if not has_attachments(message):
            return render_user(message)
        files = self._request.attachments
        return plain_if_text(list(user_blocks(message, files, self.dropped, render_attachment)))

    def _render_round(self, spoken: Round, place: str) -> Iterator[dict[str, Any]]:
        own = is_own(spoken, self._wire.name, self._request.provider)
        calls = [part for part in spoken.parts if isinstance(part, ToolCall)]
        ids = [
            self._ids.take(call.tool_call_id, f"{place}.{seq}", own=own)
            for seq, call in enumerate(calls)
        ]
        if own and spoken.raw:
            content = list(self._replay_blocks(spoken.raw["blocks"], ids))
        else:
            content = list(self._render_parts(spoken, ids))
        yield from said("assistant", content)
        yield from said("user", list(map(self._render_result, spoken.results, ids)))

    def _render_result(self, result: ToolResult, call_id: str) -> dict[str, Any]:
        pictures = []
        for image in result.images:
            if self._left_out[image.digest] > 0:
                self._left_out[image.digest] -= 1
                self.dropped["image"] += 1
            else:
                data = self._request.attachments[image.digest]
                pictures.append(render_attachment(image, data))
        return render_result(result, call_id, pictures)

    def _replay_blocks(self, blocks: list[JSON], ids: list[str]) -> Iterator[dict[str, Any]]:
        waiting = iter(ids)
        for block in blocks:
            kind = block.get("type")
            if kind == "tool_use":
                # one without a call among the parts has no result either
                call_id = next(waiting, None)
                if call_id is not None:
                    yield with_input(block) | {"id": call_id}
            elif kind == "thinking" and not block.get("signature"):
                self.dropped["thinking"] += 1
            elif kind != "text" or block.get("text", "").strip():
                yield with_input(block)

    def _render_parts(self, spoken: Round, ids: list[str]) -> Iterator[dict[str, Any]]:
        waiting = iter(ids)
        for part in spoken.parts:
            if isinstance(part, Thinking):
                self.dropped["thinking"] += 1
            elif isinstance(part, ToolCall):
                yield render_call(part, next(waiting))
            elif isinstance(part, Text) and part.text.strip():
                yield {"type": "text", "text": part.text}


def said(role: str, content: list[dict[str, Any]] | str) -> Iterator[dict[str, Any]]:
    """The message, unless it says nothing."""
    if content:
        yield {"role": role, "content": content}


def render_user(message: Message) -> list[dict[str, Any]] | str:
    """A user's words, plain when they are one text."""
    texts = [part.text for part in message.parts if isinstance(part, Text)] or [message.content]
    texts = [text for text in texts if text.strip()]
    if len(texts) > 1:
        return [{"type": "text", "text": text} for text in texts]
    return texts[0] if texts else ""


def render_attachment(part: Image | File, data: bytes) -> dict[str, Any]:
    """A picture or a PDF.

    Source: platform.claude.com, Vision and PDF support: base64 sources in image and document
    blocks.
    """
    source = {"type": "base64", "media_type": part.media_type, "data": in_base64(data)}
    if isinstance(part, Image):
        return {"type": "image", "source": source}
    return {"type": "document", "source": source} | ({"title": part.name} if part.name else {})


def with_input(block: Mapping[str, Any]) -> dict[str, Any]:
    """The block itself, its input made an object where it was cut."""
    if "input" in block and not isinstance(block["input"], dict):
        return {**block, "input": {}}
    return dict(block)


def render_call(call: ToolCall, call_id: str) -> dict[str, Any]:
    """A call in the provider's shape; arguments nobody could read are left out."""
    arguments = call.arguments if isinstance(call.arguments, dict) else {}
    return {"type": "tool_use", "id": call_id, "name": call.name, "input": arguments}


def render_result(
    result: ToolResult, call_id: str, pictures: list[dict[str, Any]]
) -> dict[str, Any]:
    """What the model is told a call came to, its words before its pictures.

    Source: platform.claude.com, Messages API: a tool_result's content is text, or text and image
    blocks.
    """
    block: dict[str, Any] = {"type": "tool_result", "tool_use_id": call_id}
    words = result.content if result.content.strip() else ""
    if pictures:
        block["content"] = [*([{"type": "text", "text": words}] if words else []), *pictures]
    elif words:
        block["content"] = words
    return block | ({"is_error": True} if result.is_error else {})


def render_tool(tool: ToolSpec) -> dict[str, Any]:
    """What the model is told about a tool."""
    return {
        "name": tool.name,
        "description": tool.description,
        "input_schema": dict(tool.parameters),
    }


def render_tool_choice(choice: str | None) -> dict[str, Any]:
    """The wish to use tools, one tool, or none."""
    if choice is None:
        return {}
    kinds = {"auto": "auto", "none": "none", "required": "any"}
    named = {"type": "tool", "name": choice}
    return {"tool_choice": {"type": kinds[choice]} if choice in kinds else named}


def render_settings(settings: Settings, default_max_tokens: int) -> dict[str, Any]:
    """Length, temperature and thinking; the API refuses a temperature beside thinking."""
    thinking = settings.thinking or {}
    budget, effort = thinking.get("budget"), thinking.get("effort")
    max_tokens = settings.max_tokens or default_max_tokens
    if budget and (settings.max_tokens is None or max_tokens <= budget):
        max_tokens = budget + default_max_tokens
    body: dict[str, Any] = {"max_tokens": max_tokens}
    if budget:
        body["thinking"] = {"type": "enabled", "budget_tokens": budget}
    elif effort:
        body["thinking"] = {"type": "adaptive", "display": "summarized"}
    if effort:
        body["output_config"] = {"effort": effort}
    if settings.temperature is not None and not budget and not effort:
        body["temperature"] = settings.temperature
    return body
