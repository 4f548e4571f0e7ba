"""What may be sent with a question, made into bytes with a name and a type, within limits.

Invariant: what leaves here is a picture that models take, a PDF, or text; anything else is an
error in words before a byte of it is sent or stored. A type is known by the bytes, never by a
file's ending.
"""

import os
from pathlib import Path
from typing import Any

from nbchat.errors import ConfigError
from nbchat.http import fetch
from nbchat.messages import Attachment
from nbchat.pictures import MAX_BYTES, image_from, image_of, is_image
from nbchat.variables import describe, is_frame

MAX_ATTACHMENTS = 30
PDF = b"%PDF-"
WEB = ("http://", "https://")


def attachments_of(values: Any) -> tuple[Attachment, ...]:
    """All of a question's attachments; raises ConfigError for one that cannot be sent."""
    found = tuple(attachment_of(value) for value in values)
    if len(found) > MAX_ATTACHMENTS:
        raise ConfigError(
            f"{len(found)} attachments are more than the {MAX_ATTACHMENTS} a question may have. "
            "Ask in several turns."
        )
    return found


def attachment_of(value: Any, *, name: str = "") -> Attachment:
    """A path, an address, bytes, a picture, a figure or a frame as an attachment.

    Raises ConfigError for what is missing, empty, too large, or of a kind no model takes.
    """
    if isinstance(value, Attachment):
        return of_bytes(value.data, value.name)
    if isinstance(value, str) and value.startswith(WEB):
        return of_bytes(fetch(value, MAX_BYTES), name or value.rpartition("/")[2] or value)
    if isinstance(value, str | os.PathLike):
        return of_path(Path(value), name)
    if isinstance(value, bytes | bytearray | memoryview):
        return of_bytes(bytes(value), name or "attachment")
    if is_frame(value):
        return of_bytes(describe(value).encode(), name or "DataFrame")
    if is_image(value) and (picture := image_of(value)) is not None:
        return of_bytes(picture.data, name or "image")
    raise ConfigError(
        f"A {type(value).__name__} cannot be attached. Give a path, an address, bytes, a picture, "
        "a figure or a frame."
    )


def of_path(path: Path, name: str = "") -> Attachment:
    """The file as an attachment."""
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise ConfigError(f"{str(path)!r} is no file, so it cannot be attached.")
        data = b"" if size > MAX_BYTES else path.read_bytes()
    except FileNotFoundError as error:
        raise ConfigError(f"There is no file {str(path)!r} to attach.") from error
    except OSError as error:
        raise ConfigError(f"{str(path)!r} cannot be attached: {error.strerror}.") from error
    _check_size(size, path.name)
    return of_bytes(data, name or path.name)


def of_bytes(data: bytes, name: str) -> Attachment:
    """The bytes as an attachment, by what they begin with."""
    _check_size(len(data), name)
    if not data:
        raise ConfigError(f"{name!r} is empty, so there is nothing to attach.")
    picture = image_from(data)
    if picture is not None:
        return Attachment(name, picture.media_type, data, picture.width, picture.height)
    if data.startswith(PDF):
        return Attachment(name, "application/pdf", data)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise ConfigError(
            f"{name!r} is of a kind that models do not take. PNG, JPEG, GIF and WebP pictures, "
            "PDF and text in UTF-8 can be attached."
        )
    return Attachment(name, "text/plain", data)


def _check_size(size: int, name: str) -> None:
    if size > MAX_BYTES:
        raise ConfigError(
            f"{name!r} has {size:,} bytes, more than the {MAX_BYTES:,} that can be attached. "
            "Attach a smaller one, or a part of it."
        )
