"""The only module that imports httpx: one POST at a time, its bytes as they come.

Knows neither wires nor providers. Everything httpx raises leaves here as a typed error,
with no header and no key in it. Closing the answer closes the connection.
"""

import asyncio
import contextlib
import json
import weakref
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from nbchat.errors import BrokenStream, ConfigError, ConnectionFailed

CONNECT_S = 10.0
IDLE_S = 600.0
FETCH_S = 30.0
# long enough for the end of a chunked body that was just announced, too short to notice
DRAIN_S = 0.05

LOOPBACK = {"localhost", "127.0.0.1", "::1"}

_Clients = dict[bool, httpx.AsyncClient]
_clients: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Clients]"
_clients = weakref.WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, lower-case headers and a body still to be read."""

    status: int
    headers: Mapping[str, str]
    body: AsyncIterator[bytes]


@contextlib.asynccontextmanager
async def post(
    url: str, headers: Mapping[str, str], body: Mapping[str, Any], idle_s: float | None
) -> AsyncIterator[Answer]:
    """The answer to a JSON POST.

    `idle_s` is how long the server may be silent, in seconds (default 600). Raises
    ConnectionFailed if no answer comes and BrokenStream if its body breaks off.
    """
    timeout = httpx.Timeout(idle_s or IDLE_S, connect=min(CONNECT_S, idle_s or CONNECT_S))
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    sent = {"content-type": "application/json", "user-agent": "nbchat", **headers}
    try:
        client = _client_for(url)
        request = client.build_request("POST", url, headers=sent, content=content, timeout=timeout)
    except httpx.InvalidURL as error:
        raise ConfigError(f"{url!r} is not an address: {error}. Check base_url.") from error
    response = await _send(client, request)
    try:
        yield Answer(response.status_code, dict(response.headers), _bytes_of(response))
    finally:
        with contextlib.suppress(httpx.HTTPError):
            await response.aclose()


async def _send(client: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
    try:
        return await client.send(request, stream=True)
    except httpx.TimeoutException as error:
        raise ConnectionFailed(f"{request.url.host} did not answer in time.") from error
    except httpx.HTTPError as error:
        raise ConnectionFailed(
            f"{request.url.host}:{request.url.port or ''} gave no answer "
            f"({type(error).__name__}). Check that the server runs and can be reached."
        ) from error


async def _bytes_of(response: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for data in response.aiter_bytes():
            yield data
    except httpx.TimeoutException as error:
        raise BrokenStream("The answer stopped: the server fell silent.") from error
    except (httpx.HTTPError, httpx.StreamError) as error:
        raise BrokenStream(f"The answer broke off ({type(error).__name__}).") from error


async def drain(body: AsyncIterator[bytes]) -> None:
    """Read what little may follow a finished answer, so that the connection can be used again."""
    with contextlib.suppress(TimeoutError, BrokenStream):
        async with asyncio.timeout(DRAIN_S):
            async for _ in body:
                pass


def _client_for(url: str) -> httpx.AsyncClient:
    """The running loop's client: connections belong to the loop that made them.

    Servers on this machine are reached directly, whatever proxy the environment names.
    """
    clients = _clients.setdefault(asyncio.get_running_loop(), {})
    is_near = httpx.URL(url).host in LOOPBACK
    if is_near not in clients:
        clients[is_near] = httpx.AsyncClient(follow_redirects=False, trust_env=not is_near)
    return clients[is_near]


async def close() -> None:
    """Close the running loop's clients."""
    for client in _clients.pop(asyncio.get_running_loop(), {}).values():
        await client.aclose()


def fetch(url: str, limit: int) -> bytes:
    """The bytes at a web address, read at once; raises ConfigError if there are none to be had.

    Follows a few redirects, and stops at `limit` bytes and a bit.
    """
    data = bytearray()
    try:
        with httpx.stream("GET", url, follow_redirects=True, timeout=FETCH_S) as answer:
            if not answer.is_success:
                raise ConfigError(f"{url!r} answered with status {answer.status_code}.")
            for piece in answer.iter_bytes():
                data += piece
                if len(data) > limit:
                    break
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ConfigError(f"{url!r} could not be fetched ({type(error).__name__}).") from error
    return bytes(data)


def get_json(url: str, timeout_s: float) -> Any:
    """The JSON a server on this machine answers to a GET, or None if none does in time."""
    try:
        answer = httpx.get(url, timeout=timeout_s, trust_env=False)
        return answer.json() if answer.is_success else None
    except (httpx.HTTPError, ValueError):
        return None
