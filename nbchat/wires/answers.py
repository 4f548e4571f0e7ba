"""The bytes of one response become deltas and a reply, whatever the protocol.

A JSON body and an event stream are told apart by their first byte and told to the same
`Answer`, so that both give equal replies. Invariant: how the bytes are cut changes nothing,
and an answer that is not whole never finishes in silence.
"""

from collections.abc import Iterator
from typing import Any, Protocol

from nbchat.errors import BrokenStream
from nbchat.exchange import Delta, Reply
from nbchat.wires.failures import stream_error
from nbchat.wires.fragments import read_json
from nbchat.wires.sse import BOM, EventDecoder, ServerEvent

PINGS = {"ping", "keepalive", "keep-alive", "heartbeat"}


class Answer(Protocol):
    """What one protocol has said so far.

    `done` is set once nothing more can follow; `finished` says that it ended as it should.
    """

    done: bool

    @property
    def finished(self) -> bool:
        """Whether a terminal event or a finish reason was seen."""
        ...

    def take_event(self, event: dict[str, Any]) -> Iterator[Delta]:
        """Adds one event of a stream."""
        ...

    def take_body(self, body: dict[str, Any]) -> Iterator[Delta]:
        """Adds a whole answer."""
        ...

    def flush(self) -> Iterator[Delta]:
        """Text that was held back, at the end of the bytes."""
        ...

    def reply(self) -> Reply:
        """The reply as far as it has come."""
        ...


class AnswerDecoder:
    """A `Decoder` over an `Answer`."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._head = b""
        self._body: list[bytes] | None = None
        self._events: EventDecoder | None = None
        self._heard = False

    @property
    def done(self) -> bool:
        """Whether the last event was seen, so that reading can stop."""
        return self._answer.done

    def feed(self, data: bytes) -> Iterator[Delta]:
        """Deltas in these bytes; raises ProviderError for an error inside the stream."""
        if self._body is None and self._events is None:
            data = self._sniff(data)
        if self._body is not None:
            self._body.append(data)
        elif self._events is not None:
            for event in self._events.feed(data):
                if self.done:
                    return
                yield from self._take(event)

    def finish(self) -> Iterator[Delta]:
        """Deltas left at the end; raises BrokenStream if the answer is not whole."""
        if self._body is not None:
            yield from self._answer.take_body(self._read_body(b"".join(self._body)))
        elif self._events is None:
            raise BrokenStream("The provider answered with an empty body.")
        elif not self.done:
            yield from self._finish_events(self._events)
        if self._events is not None and not self._heard:
            raise BrokenStream("The provider ended the stream and had said nothing.")
        yield from self._answer.flush()
        if not self._answer.finished:
            raise BrokenStream("The stream ended before the answer was whole.")

    def reply(self) -> Reply:
        """The reply as far as it has come."""
        return self._answer.reply()

    def _sniff(self, data: bytes) -> bytes:
        self._head += data
        start = self._head.lstrip()
        if BOM.startswith(start[:3]):
            start = start[3:].lstrip()
        if not start:
            return b""
        if start[:1] in b"{[":
            self._body = []
        else:
            self._events = EventDecoder()
        data, self._head = self._head, b""
        return data

    def _take(self, event: ServerEvent) -> Iterator[Delta]:
        if event.data.strip().startswith("[DONE]"):
            self._answer.done = True
            yield from self._answer.flush()
            return
        try:
            value = read_json(event.data)
        except ValueError as error:
            if event.name in PINGS:
                return
            if event.name == "error":
                raise stream_error({"error": event.data}) from None
            raise BrokenStream(f"The stream broke at {event.data[:80]!r}.") from error
        if event.name == "error":
            raise stream_error(value)
        if isinstance(value, dict):
            self._heard = self._heard or bool(value)
            yield from self._answer.take_event(value)

    def _finish_events(self, events: EventDecoder) -> Iterator[Delta]:
        for event in events.finish():
            try:
                yield from self._take(event)
            except BrokenStream:
                # a cut after the finish reason loses nothing that was said
                if not self._answer.finished:
                    raise

    @staticmethod
    def _read_body(body: bytes) -> dict[str, Any]:
        try:
            value = read_json(body.strip().decode("utf-8-sig"))
        except ValueError as error:
            start = body[:80].decode("utf-8", "replace")
            raise BrokenStream(f"The answer is not whole JSON; it starts {start!r}.") from error
        if isinstance(value, list):
            value = next((item for item in value if isinstance(item, dict)), None)
        if not isinstance(value, dict):
            raise BrokenStream(f"The answer is JSON, but no object: {body[:80]!r}.")
        return value
