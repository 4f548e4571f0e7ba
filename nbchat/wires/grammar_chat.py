"""Chat Completions with tools for a model whose server drops them: llama.cpp with a small one.

The tools are told in the system message, and a JSON schema, which the server enforces word by
word, leaves the model nothing to write but a call or an answer. Calls go back as the JSON they
were, results in a user's message: the model knows no other roles. Without tools this is
`OpenAIChat`, but for a history with calls, after which only an answer can be written. It reads
an answer by what it is, as every wire does.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nbchat.errors import BadRequest, ConfigError, ContextTooLong, ProviderError
from nbchat.exchange import Request, Settings, ToolSpec
from nbchat.messages import Message, Part, Text, Thinking, ToolCall, ToolResult, text_of
from nbchat.wires import Decoder, Rendered, Round, is_own, rounds_of
from nbchat.wires.answers import AnswerDecoder
from nbchat.wires.forced_schema import forced_schema
from nbchat.wires.fragments import compact
from nbchat.wires.grammar_answer import GrammarAnswer
from nbchat.wires.openai_chat import OpenAIChat

FORCING = {"response_format", "json_schema", "grammar"}
REFUSAL = re.compile("schema|grammar", re.IGNORECASE)
JSON_LINE = re.compile(r'^\s*\{\s*"tool"', re.MULTILINE)
SHAPES = (
    "Write one line of JSON and nothing else.\n"
    'To use a tool: {"tool":"NAME","arguments":{...}}\n'
    'To answer the user: {"tool":null,"answer":"TEXT"}'
)


@dataclass(frozen=True, slots=True)
class GrammarChat(OpenAIChat):
    """The wire; `strict` also forces the arguments, which a server may find too much.

    A small model may never end by itself: `default_max_tokens` ends it where nobody set a limit.
    """

    name: str = "grammar_chat"
    carries_files: bool = False
    default_max_tokens: int | None = None
    strict: bool = True

    def render_request(self, request: Request) -> Rendered:
        """The JSON body for this request; raises ConfigError where it must use an unknown tool."""
        settings, tools = request.settings, request.tools
        max_tokens = settings.max_tokens or self.default_max_tokens
        plain = replace(
            request,
            messages=tuple(self._spelled(request)),
            tools=(),
            settings=replace(settings, tool_choice=None, max_tokens=max_tokens),
        )
        if settings.tool_choice == "none":
            tools = ()
        if tools:
            told = "\n\n".join(filter(None, (request.instructions, told_tools(tools))))
            plain = replace(plain, instructions=told)
        rendered = OpenAIChat.render_request(self, plain)
        # a model that has written JSON before goes on with calls, unless it cannot
        may_call = tools or any(map(wrote_json, plain.messages))
        if not may_call or FORCING & settings.params.keys():
            return rendered
        return replace(rendered, body=rendered.body | self._render_forced(settings, tools))

    def decoder(self) -> Decoder:
        """A fresh decoder for one response."""
        return AnswerDecoder(GrammarAnswer())

    def amended(self, error: ProviderError) -> "GrammarChat | None":
        """The wire without what the server just refused: an extra, or the arguments' grammar."""
        refused = isinstance(error, BadRequest) and not isinstance(error, ContextTooLong)
        if self.strict and refused and REFUSAL.search(f"{error} {error.body}"):
            return replace(self, strict=False)
        less = OpenAIChat.amended(self, error)
        return replace(self, stream_usage=False) if less is not None else None

    def _render_forced(self, settings: Settings, tools: Sequence[ToolSpec]) -> dict[str, Any]:
        choice = settings.tool_choice or "auto"
        if tools and choice not in ("auto", "required"):
            tools = chosen(choice, tools)
        answer = choice == "auto" or not tools
        schema = forced_schema(tools, answer=answer, strict=self.strict)
        named = {"name": "call_or_answer", "schema": schema}
        return {"response_format": {"type": "json_schema", "json_schema": named}}

    def _spelled(self, request: Request) -> Iterator[Message]:
        """The history with every call and result as a message of its own."""
        for message in request.messages:
            if message.role == "user":
                yield message
                continue
            for spoken in rounds_of(message):
                own = is_own(spoken, self.name, request.provider)
                yield from spelled_round(message, spoken, own=own)


def spelled_round(message: Message, spoken: Round, *, own: bool) -> Iterator[Message]:
    """A round as messages that hold text only; one of the wire's own as it was written."""
    raw = {**(spoken.raw or {}), "round": 1}
    blocks = raw["blocks"] if own else {}
    written, calls = blocks.get("content"), [*calls_in(spoken.parts)]
    thoughts = [replace(part, round=1) for part in spoken.parts if isinstance(part, Thinking)]
    lines = [text_of(spoken.parts)]
    if isinstance(written, str) and not blocks.get("tool_calls"):
        lines = [written]
    elif calls:
        lines = [call_text(call) for call in calls]
        lines[0] = "\n".join(filter(None, (text_of(spoken.parts), lines[0])))
    for at, line in enumerate(lines):
        first = at == 0
        parts: tuple[Part, ...] = (*(thoughts if first else ()), Text(line))
        yield replace(message, parts=parts, raw=(raw,) if first and spoken.raw else ())
        for result in spoken.results[at : at + 1]:
            yield result_message(message, result)


def wrote_json(message: Message) -> bool:
    """Whether the model has written a call, or an answer in the same dress."""
    return message.role == "assistant" and bool(JSON_LINE.search(text_of(message.parts)))


def calls_in(parts: Iterable[Part]) -> Iterator[ToolCall]:
    """The calls among the parts."""
    return (part for part in parts if isinstance(part, ToolCall))


def call_text(call: ToolCall) -> str:
    """A call as this wire's model would have written it."""
    arguments = call.arguments if isinstance(call.arguments, dict) else {}
    return compact({"tool": call.name, "arguments": arguments})


def result_message(message: Message, result: ToolResult) -> Message:
    """What the model is told a call came to, in the only role it listens to."""
    text = f"Result of {result.name}: {result.content}"
    parts: tuple[Part, ...] = (Text(text), *result.images)
    return Message(message.id, message.chat_id, "user", text, parts=parts)


def told_tools(tools: Iterable[ToolSpec]) -> str:
    """What the model is told about the tools, and how to use them."""
    lines = (
        f"- {tool.name}: {tool.description}\n  arguments: {compact(dict(tool.parameters))}"
        for tool in tools
    )
    return "\n".join(("You have these tools:", *lines, SHAPES))


def chosen(name: str, tools: Iterable[ToolSpec]) -> list[ToolSpec]:
    """The tool of that name, alone; raises ConfigError where there is none."""
    named = [tool for tool in tools if tool.name == name]
    if not named:
        known = ", ".join(tool.name for tool in tools)
        raise ConfigError(
            f"tool_choice={name!r} is no tool of this chat. "
            f"Use auto, none, required or one of: {known}."
        )
    return named
