"""What a user's message says beside its words: files as text, and what no bytes are left of.

Pure; how pictures and documents look on a wire is the wire's own.
"""

import base64
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nbchat.messages import File, Image, Message, Text

Block = dict[str, Any]
FENCES = re.compile(r"`{3,}")


def user_blocks(
    message: Message,
    files: Mapping[str, bytes],
    dropped: "Counter[str]",
    binary: Callable[[Image | File, bytes], Block],
) -> Iterator[Block]:
    """The message's parts as blocks; an attachment whose bytes are gone is dropped and counted."""
    for part in message.parts:
        if isinstance(part, Text):
            if part.text.strip():
                yield {"type": "text", "text": part.text}
        elif isinstance(part, Image | File):
            data = files.get(part.digest)
            if data is None:
                dropped[part.kind] += 1
            elif part.media_type == "text/plain":
                yield {"type": "text", "text": file_text(part.name, data)}
            else:
                yield binary(part, data)


def file_text(name: str, data: bytes) -> str:
    """A text file under its name, in a fence that nothing in it can close."""
    text = data.decode("utf-8-sig", "replace")
    longest = max((len(fence) for fence in FENCES.findall(text)), default=2)
    fence = "`" * (longest + 1)
    return f"{' '.join(name.split())}:\n{fence}\n{text}\n{fence}"


def in_base64(data: bytes) -> str:
    """The bytes as both wires carry them."""
    return base64.b64encode(data).decode("ascii")


def data_url(media_type: str, data: bytes) -> str:
    """The bytes as an address of their own."""
    return f"data:{media_type};base64,{in_base64(data)}"


def has_attachments(message: Message) -> bool:
    """Whether the message has more than words."""
    return any(isinstance(part, Image | File) for part in message.parts)
