"""Server-sent events out of bytes, however they are cut.

Follows the standard: lines end in CR LF, LF or CR, comments and unknown fields are skipped,
several data lines are one event, a byte order mark is no text. Unlike a browser it also
gives the last event when the blank line after it is missing: some servers leave it out.
Knows nothing of what the events mean.
"""

from collections.abc import Iterator
from dataclasses import dataclass

BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event; `name` is "message" when the server gave none."""

    name: str
    data: str


class EventDecoder:
    """Collects lines into events; feed it bytes, then finish it."""

    def __init__(self) -> None:
        self._line: list[bytes] = []
        self._after_cr = False
        self._first = True
        self._name = ""
        self._data: list[str] = []

    def feed(self, data: bytes) -> Iterator[ServerEvent]:
        """The events these bytes complete."""
        if not data:
            return
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
        self._after_cr = data.endswith(b"\r")
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        head, *tails = data.split(b"\n")
        self._line.append(head)
        for tail in tails:
            line, self._line = b"".join(self._line), [tail]
            yield from self._take(line)

    def finish(self) -> Iterator[ServerEvent]:
        """The event that was still open when the bytes ended."""
        line, self._line = b"".join(self._line), []
        if line:
            yield from self._take(line)
        yield from self._dispatch()

    def _take(self, line: bytes) -> Iterator[ServerEvent]:
        if self._first:
            self._first = False
            line = line.removeprefix(BOM)
        if not line:
            yield from self._dispatch()
            return
        field, _, value = line.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
        elif field == "event":
            self._name = value
        elif field == "error":
            # llama.cpp's server used to name the field after what went wrong
            self._name = "error"
            self._data.append(value)

    def _dispatch(self) -> Iterator[ServerEvent]:
        name, data = self._name, self._data
        self._name, self._data = "", []
        if data:
            yield ServerEvent(name or "message", "\n".join(data))
