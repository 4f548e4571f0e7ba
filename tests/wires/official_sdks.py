"""What the official SDKs read from recorded bytes, in the contract's words.

They are served the bytes through their own HTTP client. Only what their typed models say is
taken: text, tool calls, tokens, the error's class.
"""

import json
import warnings
from dataclasses import dataclass
from typing import Any

import anthropic
import httpx2
import openai
from openai.lib.streaming.chat import ChatCompletionStreamState
from wire_recordings import Recording

from nbchat import errors

ERRORS: dict[str, tuple[type[errors.ProviderError], ...]] = {
    "BadRequestError": (errors.BadRequest,),
    "UnprocessableEntityError": (errors.BadRequest,),
    "RequestTooLargeError": (errors.BadRequest,),
    "AuthenticationError": (errors.AuthFailed,),
    "PermissionDeniedError": (errors.AuthFailed,),
    "NotFoundError": (errors.UnknownModel,),
    "ConflictError": (errors.ServerError,),
    "RateLimitError": (errors.RateLimited, errors.QuotaExceeded),
    "InternalServerError": (errors.ServerError,),
    "OverloadedError": (errors.ServerError,),
}


@dataclass(frozen=True)
class Seen:
    """An answer as somebody read it; tokens are input, output, cached, written, thinking."""

    text: str = ""
    thinking: str | None = None
    calls: tuple[tuple[str, Any], ...] = ()
    tokens: tuple[int | None, ...] = (None, None, None, None, None)
    error: str | None = None


def sdk_reads(recording: Recording) -> Seen:
    """What the provider's own SDK makes of the recording."""
    read = read_openai if recording.endpoint == "chat" else read_anthropic
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its models warn of every dialect
        return read(recording)


def serve(recording: Recording) -> httpx2.Client:
    """A client that answers every request with the recorded bytes."""
    kind = "text/event-stream" if recording.streamed else "application/json"

    def answer(request: httpx2.Request) -> httpx2.Response:
        kept = ("retry-after", "x-should-retry", "request-id", "x-request-id")
        headers = {key: value for key, value in recording.headers if key in kept}
        return httpx2.Response(
            recording.status, content=recording.body, headers=headers | {"content-type": kind}
        )

    return httpx2.Client(transport=httpx2.MockTransport(answer))


def read_openai(recording: Recording) -> Seen:
    client = openai.OpenAI(
        api_key="k", base_url="http://recorded/v1", max_retries=0, http_client=serve(recording)
    )
    ask: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    usage: Any = None
    message: Any = None
    error = None
    try:
        if recording.streamed:
            state: Any = ChatCompletionStreamState()
            for chunk in client.chat.completions.create(**ask, stream=True):
                usage = chunk.usage or usage
                list(state.handle_chunk(chunk))
                message = first_message(state.current_completion_snapshot.choices)
        else:
            whole = client.chat.completions.create(**ask)
            usage, message = whole.usage, first_message(whole.choices)
    except Exception as caught:
        error = type(caught).__name__
    return Seen(openai_text(message), None, openai_calls(message), openai_tokens(usage), error)


def openai_text(message: Any) -> str:
    """Content and refusal, as far as they are the text that the SDK's model promises."""
    said = (message.content, message.refusal) if message else ()
    return "".join(text for text in said if isinstance(text, str))


def first_message(choices: Any) -> Any:
    return choices[0].message if choices else None


def openai_calls(message: Any) -> tuple[tuple[str, Any], ...]:
    calls = (message.tool_calls if message else None) or []
    return tuple((call.function.name, loaded(call.function.arguments)) for call in calls)


def loaded(text: str | None) -> Any:
    """Arguments as an object, or the text when they are none."""
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return text
    return value if isinstance(value, dict) else text


def openai_tokens(usage: Any) -> tuple[int | None, ...]:
    if usage is None:
        return Seen.tokens
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    return (
        usage.prompt_tokens,
        usage.completion_tokens,
        getattr(prompt, "cached_tokens", None),
        getattr(prompt, "cache_write_tokens", None),
        getattr(completion, "reasoning_tokens", None),
    )


def read_anthropic(recording: Recording) -> Seen:
    client = anthropic.Anthropic(
        api_key="k", base_url="http://recorded", max_retries=0, http_client=serve(recording)
    )
    ask: dict[str, Any] = {
        "model": "m",
        "max_tokens": 10,
        "messages": [{"role": "user", "content": "hi"}],
    }
    message: Any = None
    error = None
    try:
        if recording.streamed:
            with client.messages.stream(**ask) as stream:
                for _ in stream:
                    message = stream.current_message_snapshot
        else:
            message = client.messages.create(**ask)
    except Exception as caught:
        error = type(caught).__name__
    blocks = message.content if message else []
    return Seen(
        "".join(block.text for block in blocks if block.type == "text"),
        "".join(block.thinking for block in blocks if block.type == "thinking"),
        tuple((block.name, block.input) for block in blocks if block.type == "tool_use"),
        anthropic_tokens(message.usage if message else None),
        error,
    )


def anthropic_tokens(usage: Any) -> tuple[int | None, ...]:
    if usage is None:
        return Seen.tokens
    cached, written = usage.cache_read_input_tokens, usage.cache_creation_input_tokens
    details = getattr(usage, "output_tokens_details", None)
    return (
        usage.input_tokens + (cached or 0) + (written or 0),
        usage.output_tokens,
        cached,
        written,
        getattr(details, "thinking_tokens", None),
    )
