"""One physical attempt to get a reply: send, decode as it comes, measure.

An `Attempt` is filled while it runs, so that it can be recorded whatever happens. No rows
are written here and nothing is retried.
"""

import asyncio
import inspect
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from nbchat import http
from nbchat.engine.loop import contained, in_thread
from nbchat.engine.plan import Plan, Target
from nbchat.errors import (
    BrokenStream,
    ConfigError,
    Halt,
    MissingKey,
    ProviderError,
    StoreError,
    ToolError,
    ToolRoundsExceeded,
)
from nbchat.exchange import Delta, Reply, Request
from nbchat.store.values import utc_now
from nbchat.wires import Decoder, Wire
from nbchat.wires.function import FunctionDecoder

VERSION = re.compile(r"/v\d+(?=/)")
Show = Callable[[Delta], None]

_END = object()
# a shorter beginning of a key tells nothing, and many keys begin alike
SHORTEST_SECRET = 8


@dataclass(slots=True)
class Attempt:
    """What is known of one attempt so far; `began_answer` once a byte of a reply was there."""

    round: int
    number: int
    started_at: datetime = field(default_factory=utc_now)
    clock: float = field(default_factory=time.monotonic)
    ended_ms: float | None = None
    ttft_ms: float | None = None
    status_code: int | None = None
    request_id: str | None = None
    dropped: dict[str, int] = field(default_factory=dict)
    began_answer: bool = False
    wire: Wire | None = None
    decoder: Decoder | FunctionDecoder | None = None

    def elapsed_ms(self) -> float:
        """Milliseconds since it was sent, or that it took."""
        return self.ended_ms or (time.monotonic() - self.clock) * 1000

    def reply(self) -> Reply:
        """The reply as far as it has come."""
        return self.decoder.reply() if self.decoder else Reply()


async def run_attempt(plan: Plan, request: Request, attempt: Attempt, show: Show) -> Reply:
    """The whole reply; `show` gets its deltas as they come.

    Raises the provider's error, with the provider and model said in it and no key.
    """
    target = plan.target
    in_process = target.provider.wire is None and target.respond is not None
    deltas = _ask_function if in_process else _ask_http
    try:
        async for delta in deltas(plan, request, attempt):
            _note_first(attempt, request)
            show(delta)
        return attempt.reply()
    except ProviderError as error:
        _complete(error, target, attempt)
        raise
    finally:
        attempt.ended_ms = attempt.elapsed_ms()


def _note_first(attempt: Attempt, request: Request) -> None:
    if request.stream and attempt.ttft_ms is None:
        attempt.ttft_ms = attempt.elapsed_ms()


def _complete(error: ProviderError, target: Target, attempt: Attempt) -> None:
    error.provider = target.provider.name
    error.model = target.full_model
    error.request_id = error.request_id or attempt.request_id
    error.status = error.status if error.status is not None else attempt.status_code
    if target.key:
        key = target.key
        error.args = tuple(without_key(str(text), key) for text in error.args)
        error.body = error.body and without_key(error.body, key)
        error.request_id = error.request_id and without_key(error.request_id, key)


def without_key(text: str, key: str) -> str:
    """The text with the key hidden, also where only its beginning was left by a cut."""
    for length in range(len(key), SHORTEST_SECRET - 1, -1):
        text = text.replace(key[:length], "[key]")
    return re.sub(rf"(?<!\w){re.escape(key)}(?!\w)", "[key]", text)


async def _ask_http(plan: Plan, request: Request, attempt: Attempt) -> AsyncIterator[Delta]:
    target = plan.target
    wire = attempt.wire = attempt.wire or target.provider.wire_at(target.base_url)
    if wire is None:
        raise ConfigError(
            f"{target.full_model!r} needs a function: pass respond= to create_chat or load_chat."
        )
    base_url, key = await _endpoint(target)
    rendered = wire.render_request(request)
    attempt.dropped = dict(rendered.dropped)
    url = joined_url(base_url, wire.path)
    attempt.started_at, attempt.clock = utc_now(), time.monotonic()
    async with http.post(url, wire.headers(key), rendered.body, plan.idle_s) as answer:
        attempt.status_code = answer.status
        attempt.request_id = _request_id(answer.headers, key)
        if not 200 <= answer.status < 300:
            body = b"".join([data async for data in answer.body])
            raise wire.parse_error(answer.status, answer.headers, body)
        async for delta in _decode(wire, answer, request, attempt):
            yield delta


def joined_url(base_url: str, path: str) -> str:
    """The address of a path; a version that ends the base is not said twice."""
    version = VERSION.match(path)
    return base_url.rstrip("/").removesuffix(version[0] if version else "/") + path


async def _decode(
    wire: Wire, answer: http.Answer, request: Request, attempt: Attempt
) -> AsyncIterator[Delta]:
    decoder = attempt.decoder = wire.decoder()
    async for data in answer.body:
        attempt.began_answer = attempt.began_answer or bool(data)
        for delta in decoder.feed(data):
            yield delta
        if request.stream and attempt.ttft_ms is None and decoder.reply().tool_calls:
            _note_first(attempt, request)
        if decoder.done:
            await http.drain(answer.body)
            break
    for delta in decoder.finish():
        yield delta


async def _endpoint(target: Target) -> tuple[str, str | None]:
    """Base URL and key; a local engine is started for them if the provider has one."""
    provider = target.provider
    if provider.launch is not None and target.base_url is None:
        launch = provider.launch
        endpoint = await in_thread(lambda: launch(target.model))
        return endpoint.base_url, endpoint.key
    if target.key is None and provider.keys and target.base_url is None:
        raise MissingKey(
            f"No API key for {provider.name!r}. Set {provider.keys[0]}, or pass api_key=..."
        )
    return str(target.base_url or provider.base_url), target.key


def _request_id(headers: Any, key: str | None) -> str | None:
    for name in ("request-id", "x-request-id", "x-generation-id", "apim-request-id"):
        if headers.get(name):
            return without_key(str(headers[name]), key) if key else str(headers[name])
    return None


async def _ask_function(plan: Plan, request: Request, attempt: Attempt) -> AsyncIterator[Delta]:
    respond = plan.target.respond
    assert respond is not None
    decoder = FunctionDecoder()
    attempt.decoder = decoder
    try:
        async for item in _items_of(respond, request):
            for delta in decoder.feed(item):
                attempt.began_answer = True
                yield delta
    except ProviderError as error:
        attempt.status_code = error.status
        raise
    except (StoreError, ToolError, ToolRoundsExceeded, Halt) as error:
        # raised by the function they mean no more than any other error
        said = f"{type(error).__name__}: {error}"
        raise BrokenStream(f"The respond function raised {said}") from error
    decoder.finish()
    attempt.status_code = 200  # it answered, as a server would


async def _items_of(respond: Callable[..., Any], request: Request) -> AsyncIterator[Any]:
    """What the function gives, one by one; blocking functions and iterators run on threads."""
    if inspect.iscoroutinefunction(respond):
        given = await contained(respond(request))
    elif inspect.isasyncgenfunction(respond):
        given = respond(request)
    else:
        given = await in_thread(lambda: respond(request))
        if inspect.isawaitable(given):
            given = await contained(given)
    if isinstance(given, AsyncIterator):
        while (item := await contained(anext(given, _END))) is not _END:
            yield item
    elif isinstance(given, Iterator):
        async for item in _threaded(given):
            yield item
    else:
        yield given


async def _threaded(items: Iterator[Any]) -> AsyncIterator[Any]:
    try:
        while (item := await in_thread(lambda: next(items, _END))) is not _END:
            yield item
    except asyncio.CancelledError:
        close = getattr(items, "close", None)
        if close is not None and not getattr(items, "gi_running", False):
            close()
        raise
