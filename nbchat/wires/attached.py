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
    binary: Callable[[Image | File, bytes], Block] | None,
) -> Iterator[Block]:
    """The message's parts as blocks; what has no bytes any more, or no `binary` form, is dropped
    and counted."""
    for part in message.parts:
        if isinstance(part, Text):
            if part.text.strip():
                yield {"type": "text", "text": part.text}
        elif isinstance(part, Image | File):
            data = files.get(part.digest)
            if data is not None and part.media_type == "text/plain":
                yield {"type": "text", "text": file_text(part.name, data)}
            elif data is not None and binary is not None:
                yield binary(part, data)
            else:
                dropped[part.kind] += 1


def file_text(name: str, data: bytes) -> str:
    """A text file under its name, in a fence that nothing in it can close."""
    text = data.decode("utf-8-sig", "replace")
    longest = max((len(fence) for fence in FENCES.findall(text)), default=2)
    fence = "`" * (longest + 1)
    heading = " ".join(name.replace("`", "").split())
    end = "" if text.endswith("\n") else "\n"
    return f"File: {heading}\n{fence}\n{text}{end}{fence}"


def plain_if_text(blocks: list[Block]) -> str | list[Block]:
    """One text as it is, which more servers take."""
    is_plain = len(blocks) == 1 and blocks[0]["type"] == "text"
    return str(blocks[0]["text"]) if is_plain else blocks


def in_base64(data: bytes) -> str:
    """The bytes as both wires carry them."""
    return base64.b64encode(data).decode("ascii")


def data_url(media_type: str, data: bytes) -> str:
    """The bytes as an address of their own."""
    return f"data:{media_type};base64,{in_base64(data)}"


def has_attachments(message: Message) -> bool:
    """Whether the message has more than words."""
    return any(isinstance(part, Image | File) for part in message.parts)
