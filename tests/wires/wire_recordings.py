"""Recorded answers of real servers, in one shape, whatever kept them.

The large collection is a folder beside the repository, or wherever NBCHAT_FIXTURES says; its own
tools folder reads its formats. A few small recordings live here, so that the core runs alone.
"""

import importlib.util
import json
import os
import random
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
FIXTURES = Path(os.environ.get("NBCHAT_FIXTURES") or REPOSITORY.parent / "shared" / "fixtures")
ENDPOINTS = {"chat": "/chat/completions", "messages": "/v1/messages"}


@dataclass(frozen=True)
class Recording:
    """One answer: the bytes of its body, and what is known of where they come from."""

    path: str
    number: int
    provider: str
    endpoint: str
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    request: bytes = b""

    @property
    def id(self) -> str:
        return f"{self.path}#{self.number}"

    @property
    def streamed(self) -> bool:
        return self.body.lstrip()[:1] not in (b"{", b"[")

    def cuts(self, seed: str = "") -> Iterator[bytes]:
        """The body in random pieces, the same ones every time."""
        dice, at = random.Random(self.id + seed), 0
        while at < len(self.body):
            size = dice.choice((1, 2, 3, 7, 40, 300, 4000))
            yield self.body[at : at + size]
            at += size


def exchanges_module() -> ModuleType:
    """The collection's own reader, from the tools folder beside it."""
    path = FIXTURES.parent / "tools" / "exchanges.py"
    spec = importlib.util.spec_from_file_location("recorded_exchanges", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def reframed(body: bytes, endpoint: str) -> bytes:
    """One payload a line as the event stream it was cut from."""
    events = []
    for line in filter(str.strip, body.decode().splitlines()):
        kind = json.loads(line).get("type") if endpoint == "messages" else None
        events.append((f"event: {kind}\n" if kind else "") + f"data: {line}\n\n")
    return "".join(events).encode()


def dechunked(body: bytes) -> bytes:
    """A body without HTTP's chunk framing, as far as it came."""
    whole = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size.split(b";")[0] or b"0", 16)
        whole, body = whole + body[:length], body[length:].removeprefix(b"\r\n")
        if not length:
            break
    return whole


def raw_http(path: Path, name: str, provider: str, endpoint: str) -> Recording:
    """An answer kept with its status line and headers."""
    head, _, body = path.read_bytes().partition(b"\r\n\r\n")
    first, *lines = head.decode("latin1").split("\r\n")
    headers = {
        key.strip().lower(): value.strip()
        for key, _, value in (line.partition(":") for line in lines)
    }
    if headers.get("transfer-encoding") == "chunked":
        body = dechunked(body)
    status = int(first.split()[1])
    return Recording(name, 0, provider, endpoint, status, tuple(headers.items()), body)


def own_recordings() -> Iterator[Recording]:
    """The few kept with the tests; the name says what wire they are for."""
    for path in sorted((HERE / "recorded").glob("*.http")):
        endpoint = "messages" if "messages" in path.name else "chat"
        yield raw_http(path, f"recorded/{path.name}", "llamacpp", endpoint)


def local_recordings() -> Iterator[Recording]:
    """Exact bytes exchanged with local servers."""
    for request in sorted((FIXTURES / "local").glob("*/*.req")):
        line = request.read_bytes().partition(b"\r\n")[0].decode()
        for endpoint, path in ENDPOINTS.items():
            if line.startswith("POST ") and line.split()[1].endswith(path):
                answer = request.with_suffix(".resp")
                yield raw_http(
                    answer,
                    f"local/{answer.parent.name}/{answer.name}",
                    answer.parent.name,
                    endpoint,
                )


def manifest_recordings() -> Iterator[Recording]:
    """Every exchange of the collection's manifest for the two wires."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the reader leaves closing to Python
        found = list(exchanges_module().exchanges(FIXTURES, wanted))
    for x in found:
        body = x["body"]
        if x["format"] == "chunks" and x["path"].endswith(".txt"):
            body = reframed(body, x["endpoint"])
        yield Recording(
            x["path"],
            x["exchange"],
            x["provider"],
            x["endpoint"],
            x["status"],
            tuple(x["headers"].items()),
            body,
            x["request"],
        )


def wanted(row: dict[str, str]) -> bool:
    return row["endpoint"] in ENDPOINTS


@cache
def recordings() -> tuple[Recording, ...]:
    """All that can be found; the collection may be absent."""
    found = [*own_recordings()]
    if (FIXTURES / "MANIFEST.tsv").exists():
        found += [*local_recordings(), *manifest_recordings()]
    return tuple(found)
