"""A real HTTP server on 127.0.0.1 that plays answers and remembers what was asked.

It runs on a thread of its own with its own loop. Invariant: when a client hangs up, the
request says so at once, also while the answer is held back.
"""

import asyncio
import contextlib
import json
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from nbchat.exchange import Reply
from nbchat.testing.answers import WAIT_S, Answer, Gate, answer_to, said


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came; `hung_up` is set when its client left before the answer's end."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    hung_up: threading.Event = field(default_factory=threading.Event)

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


Played = Answer | Reply | str | Callable[[Received], Any]


class ReplayServer:
    """Answers every POST with the next of its answers; a context manager.

    An answer is an `Answer` of raw bytes, a `Reply` or text in the words of the wire that
    asks, or a function from the `Received` request to one of these. `url` is the base URL.
    """

    def __init__(self, *answers: Played) -> None:
        self.requests: list[Received] = []
        self.url = ""
        self._answers = deque(answers)
        self._came = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._connections: set[asyncio.Task[None]] = set()

    def add(self, *answers: Played) -> None:
        """Put more answers at the end of the queue."""
        with self._came:
            self._answers.extend(answers)

    def wait_for(self, number: int, timeout_s: float = WAIT_S) -> Received:
        """The request of that number, from 1, once it has come; raises TimeoutError."""
        with self._came:
            if not self._came.wait_for(lambda: len(self.requests) >= number, timeout_s):
                raise TimeoutError(f"{len(self.requests)} requests came, not {number}.")
            return self.requests[number - 1]

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_S)
        self._loop.close()

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_S)

    async def _close(self) -> None:
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while await self._serve(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # either side hung up; `Received.hung_up` says whose fault it was
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            self._connections.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection can be used again."""
        request = await _read_request(reader)
        if request is None:
            return False
        answer = self._next(request)
        async with _watched(reader, request):
            if answer.hold is not None:
                await _pass(answer.hold)
            if answer.status is None:
                return False
            await _write(writer, answer)
        if not answer.cut and not isinstance(answer.body, bytes):
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        return not answer.cut

    def _next(self, request: Received) -> Answer:
        with self._came:
            self.requests.append(request)
            played: Any = self._answers.popleft() if self._answers else None
            self._came.notify_all()
        if callable(played):
            played = played(request)
        if isinstance(played, str):
            played = said(played)
        if isinstance(played, Reply):
            return answer_to(request.path, played, stream=bool(request.json.get("stream")))
        # 418 is never retried: a script that is too short fails at once
        return played if isinstance(played, Answer) else Answer(418, body=b"No answer is left.")


async def _read_request(reader: asyncio.StreamReader) -> Received | None:
    line = (await reader.readline()).decode()
    if not line:
        return None
    headers = {}
    while (header := (await reader.readline()).decode().strip()) != "":
        name, _, value = header.partition(":")
        headers[name.strip().lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Received(line.split()[1], headers, body)


@contextlib.asynccontextmanager
async def _watched(reader: asyncio.StreamReader, request: Received) -> AsyncIterator[None]:
    """End the answer at once when the client hangs up, and say so on the request."""
    serving = asyncio.current_task()
    assert serving is not None

    async def watch() -> None:
        with contextlib.suppress(ConnectionError):
            if await reader.read(1):
                return  # the client speaks out of turn; the answer goes on
        request.hung_up.set()
        serving.cancel()

    watching = asyncio.create_task(watch())
    try:
        yield
    except ConnectionError:
        request.hung_up.set()
        raise
    finally:
        watching.cancel()


async def _write(writer: asyncio.StreamWriter, answer: Answer) -> None:
    whole = isinstance(answer.body, bytes)
    length = f"content-length: {len(answer.body)}" if whole else "transfer-encoding: chunked"
    lines = [f"HTTP/1.1 {answer.status} Replayed", length]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    if isinstance(answer.body, bytes):
        writer.write(answer.body[: len(answer.body) // 2] if answer.cut else answer.body)
        await writer.drain()
        return
    for piece in answer.body:
        if isinstance(piece, Gate):
            await _pass(piece)
        elif piece:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()


async def _pass(gate: Gate) -> None:
    if not gate.reached.done():
        gate.reached.set_result(None)
    await asyncio.shield(asyncio.wrap_future(gate.opened))
