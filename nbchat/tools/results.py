"""What a tool returned becomes what the model is told: text within a limit, and images.

What stands in the output is what is sent and what is stored. Nothing that a value does while
it is shown is raised: a value that cannot be shown is told so in words.
"""

import json
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field, is_dataclass
from enum import Enum
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

from nbchat.errors import ConfigError
from nbchat.pictures import MAX_BYTES, ResultImage, figure_of, image_of, is_image, labels_of
from nbchat.tools.cut import cut_end, cut_middle
from nbchat.tools.frames import frame_of, is_frame, text_of_frame

MAX_CHARS = 30_000
MAX_IMAGES = 20
DEEPEST = 6  # containers within containers that are looked into for images and frames
LEAST_SHARE = 200  # characters of an item among many
ARRAY_ITEMS = 1_000_000  # a larger array is summed up
BYTES_SHOWN = 200


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """What the model is told a tool returned.

    `full_chars` is how long the text would have been uncut, None if nobody made it. `is_table` says
    that it is one frame, whole or cut.
    """

    text: str
    full_chars: int | None
    images: tuple[ResultImage, ...] = ()
    is_table: bool | None = None

    @property
    def sent_chars(self) -> int:
        """How long the text is that the model gets."""
        return len(self.text)


def output_of(value: Any, max_chars: int = MAX_CHARS) -> ToolOutput:
    """What a tool returned, as text of at most `max_chars` characters, and its images."""
    if max_chars < 1:
        raise ConfigError(f"max_chars={max_chars!r} leaves no room. Give a whole number above 0.")
    telling = _Telling()
    text, full_chars = telling.told(value, max_chars)
    text = sendable(cut_middle(text, max_chars))
    return ToolOutput(text, full_chars, tuple(telling.images), telling.is_table)


def text_of_result(value: Any) -> str:
    """A result as the whole text: as it is, frames as CSV, the rest as JSON."""
    return sendable(_Telling().told(value, None)[0])


def sendable(text: str) -> str:
    """The text without the half characters that UTF-8 does not have."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


class _Shown(Exception):
    """A value stands inside another that JSON cannot hold and a model can see."""


@dataclass(slots=True)
class _Telling:
    """One result while it is told: its images so far, the figures they are of, if it is a table."""

    images: list[ResultImage] = field(default_factory=list)
    figures: set[int] = field(default_factory=set)
    is_table: bool | None = None

    def told(self, value: Any, limit: int | None, depth: int = 0) -> tuple[str, int | None]:
        """The value's text, within the limit where that saves making it, and its full length."""
        try:
            return self._told(value, limit, depth)
        except Exception as error:
            text = _cannot_be_shown(value, error)
            return text, len(text)

    def _told(self, value: Any, limit: int | None, depth: int) -> tuple[str, int | None]:
        if value is None:
            return "", 0
        if isinstance(value, str):
            text = str.__str__(value)  # its text, also if it is an enum's
        elif is_frame(value) and (frame := frame_of(value)) is not None:
            text, full_chars = text_of_frame(frame, limit)
            self.is_table = depth == 0 or None
            if depth and full_chars is not None:  # whole or not, the lines end where it does
                text, full_chars = text.removesuffix("\n"), full_chars - 1
            return text, full_chars
        elif is_image(value) and (described := self._image(value)) is not None:
            text = described
        elif _is_large_array(value):
            return _summary(value), None
        else:
            try:
                text = json.dumps(value, ensure_ascii=False, default=_jsonable)
            except _Shown:
                return self._in_place(value, limit, depth)
            except (TypeError, ValueError):  # keys that are no text, or a value that holds itself
                text = str(value)
        return text, len(text)

    def _image(self, value: Any) -> str | None:
        """A line about the image, which is kept; None if there is none after all."""
        figure = figure_of(value)
        if figure is not None and id(figure) in self.figures:
            return "[image: the same figure as above]"
        if len(self.images) >= MAX_IMAGES:
            return f"[image left out: a result has at most {MAX_IMAGES}]"
        image = image_of(value)
        if image is None:
            return None
        if len(image.data) > MAX_BYTES:
            return f"[image left out: {image}, more than the {MAX_BYTES:,} it may have]"
        self.images.append(image)
        if figure is None:
            return f"[image: {image}]"
        self.figures.add(id(figure))
        labels = labels_of(figure)
        return f"[image: {image}{'; ' if labels else ''}{labels}]"

    def _in_place(self, value: Any, limit: int | None, depth: int) -> tuple[str, int | None]:
        """A container whose items are told one after another, each with its share of the room."""
        named = _items(value)
        if depth >= DEEPEST or named is None:
            text = str(value)
            return text, len(text)
        lines: list[str] = []
        full_chars: int | None = len(named) - 1
        for at, (name, item) in enumerate(named):
            share = None if limit is None else max(limit // (len(named) - at), LEAST_SHARE)
            text, full = self.told(item, share, depth + 1)
            lines.append(name + (text if share is None else cut_middle(text, share)))
            limit = None if limit is None else max(limit - len(lines[-1]) - 1, 0)
            if full is None or full_chars is None:
                full_chars = None
            else:
                full_chars += full + len(name)
        return "\n".join(lines), full_chars


def _items(value: Any) -> list[tuple[str, Any]] | None:
    """A container's items, each with what is written before it; None if it is none."""
    if isinstance(value, Mapping):
        return [(f"{cut_end(str(key), BYTES_SHOWN)}: ", item) for key, item in value.items()]
    if hasattr(value, "tolist"):  # an array of axes
        value = value.tolist()
    if isinstance(value, type):
        return None
    if is_dataclass(value) or isinstance(value, BaseModel):
        return [(f"{name}: ", item) for name, item in _fields(value).items()]
    return [("", item) for item in value] if isinstance(value, list | tuple | Set) else None


def _jsonable(value: Any) -> Any:
    if is_frame(value) or is_image(value) or _is_large_array(value):
        raise _Shown
    try:
        return _as_json(value)
    except _Shown:
        raise
    except Exception as error:
        return _cannot_be_shown(value, error)


def _as_json(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return _dumped(value)
    if is_dataclass(value) and not isinstance(value, type):
        return _fields(value)
    if isinstance(value, Enum):
        return value.value
    if hasattr(value, "tolist"):  # numpy's scalars and arrays
        return value.tolist()
    if isinstance(value, bytes | bytearray | memoryview) and len(value) > BYTES_SHOWN:
        return f"{len(value):,} bytes, beginning {bytes(value[:20])!r}"
    return list(value) if isinstance(value, Set) else str(value)


def _dumped(value: Any) -> Any:
    try:
        return value.model_dump(mode="json")
    except PydanticSerializationError:  # a frame or a figure stands in it
        return _fields(value)


def _fields(value: Any) -> dict[str, Any]:
    names = getattr(type(value), "model_fields", None) or value.__dataclass_fields__
    return {name: getattr(value, name) for name in names}


def _is_large_array(value: Any) -> bool:
    if not hasattr(type(value), "tolist"):
        return False
    counted = hasattr(type(value), "numel")  # a tensor's size is a method
    size = value.numel() if counted else getattr(value, "size", 0)
    return isinstance(size, int) and size > ARRAY_ITEMS


def _summary(value: Any) -> str:
    """An array as it shows itself, which leaves out its middle."""
    return f"array of shape {value.shape} and type {value.dtype}:\n{value}"


def _cannot_be_shown(value: Any, error: Exception) -> str:
    """A sentence for a value whose own code fails when it is asked for its text."""
    return f"[{type(value).__name__} that cannot be shown: {_said(error)}]"


def _said(error: Exception) -> str:
    make: Callable[[Any], str] = str
    try:
        return f"{type(error).__name__}: {cut_end(make(error), 300)}".removesuffix(": ")
    except Exception:  # its text is the same code's
        return type(error).__name__
