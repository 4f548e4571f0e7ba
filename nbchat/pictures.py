"""Figures, pictures and image bytes become bytes with a type: of tools and of people.

No plotting or imaging library is imported: a value is asked in the way its library answers.
"""

import base64
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

LABEL = 200  # characters of a title
MAX_BYTES = 20_000_000  # of a picture or a file, whoever brings it


@dataclass(frozen=True, slots=True)
class ResultImage:
    """An image for the model, as bytes; its size in pixels where its first bytes tell."""

    media_type: str
    data: bytes = field(repr=False)
    width: int | None = None
    height: int | None = None

    def __str__(self) -> str:
        kind = self.media_type.removeprefix("image/").upper()
        size = f" {self.width}x{self.height}," if self.width and self.height else ""
        return f"{kind},{size} {len(self.data):,} bytes"


def figure_of(value: Any) -> Any:
    """The figure that a value is, or is a part of, or None."""
    if _can(value, "savefig"):
        return value
    try:
        figure = getattr(value, "figure", None)
    except Exception:  # another thing's figure, computed when asked for
        return None
    return figure if _can(figure, "savefig") else None


def is_image(value: Any) -> bool:
    """Whether the value is an image, or shows itself as one."""
    if isinstance(value, bytes | bytearray | memoryview):
        return media_type_of(value) is not None
    return (
        _is_picture(value)
        or any(_can(value, way) for way in ("_repr_png_", "_repr_jpeg_"))
        or figure_of(value) is not None
    )


def image_of(value: Any) -> ResultImage | None:
    """The value as an image; None if it does not show itself as one after all."""
    figure = figure_of(value)
    if figure is not None:
        return image_from(_saved(figure.savefig, format="png", bbox_inches="tight"))
    if isinstance(value, bytes | bytearray | memoryview):
        return image_from(bytes(value))
    if _is_picture(value):
        return image_from(_picture(value))
    return next(filter(None, map(image_from, _shown(value))), None)


def labels_of(figure: Any) -> str:
    """The titles and axis labels of a figure, '' when it has none."""
    heading = getattr(figure, "_suptitle", None)
    found = [("title", heading.get_text())] if heading is not None else []
    for axes in figure.get_axes() if _can(figure, "get_axes") else ():
        for label, way in (("title", "get_title"), ("x", "get_xlabel"), ("y", "get_ylabel")):
            if _can(axes, way):
                found.append((label, getattr(axes, way)()))
    return "; ".join(f"{label}: {str(text)[:LABEL]}" for label, text in found[:30] if text)


def image_from(data: bytes) -> ResultImage | None:
    """The bytes as an image, if they begin as one does."""
    media_type = media_type_of(data)
    if media_type is None:
        return None
    width, height = SIZES[media_type](data) or (None, None)
    return ResultImage(media_type, data, width, height)


def media_type_of(data: bytes | bytearray | memoryview) -> str | None:
    """The type that the first bytes are known by: PNG, JPEG, GIF or WebP."""
    start = bytes(data[:16]) if not isinstance(data, memoryview) else data.tobytes()[:16]
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if start.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if start.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    return "image/webp" if start[:4] == b"RIFF" and start[8:12] == b"WEBP" else None


def _can(value: Any, way: str) -> bool:
    """Whether the value's class has this method; an object may claim to have everything."""
    return callable(getattr(type(value), way, None))


def _is_picture(value: Any) -> bool:
    return _can(value, "save") and isinstance(getattr(value, "size", None), tuple)


def _saved(save: Callable[..., Any], **options: Any) -> bytes:
    held = io.BytesIO()
    save(held, **options)
    return held.getvalue()


def _picture(value: Any) -> bytes:
    try:
        return _saved(value.save, format="PNG")
    except Exception:  # a mode that PNG has not, such as CMYK
        if not _can(value, "convert"):
            raise
        return _saved(value.convert("RGB").save, format="PNG")


def _shown(value: Any) -> Iterator[bytes]:
    """What the value shows itself as in a notebook."""
    data = getattr(value, "data", None)
    if isinstance(data, bytes):  # IPython's Image, in a format that it has no method for
        yield data
    for way in ("_repr_png_", "_repr_jpeg_"):
        shown = getattr(value, way)() if _can(value, way) else None
        if isinstance(shown, tuple):  # with metadata
            shown = shown[0]
        if isinstance(shown, str):
            yield base64.b64decode(shown)
        elif isinstance(shown, bytes):
            yield shown


def _size_of_png(data: bytes) -> tuple[int, int] | None:
    return _pair(data, 16, 4, "big")


def _size_of_gif(data: bytes) -> tuple[int, int] | None:
    return _pair(data, 6, 2, "little")


def _size_of_jpeg(data: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            size = _pair(data, at + 5, 2, "big")
            return size[::-1] if size else None
        at += 2 + length
    return None


def _size_of_webp(data: bytes) -> tuple[int, int] | None:
    if data[12:16] == b"VP8X" and len(data) >= 30:
        return (
            int.from_bytes(data[24:27], "little") + 1,
            int.from_bytes(data[27:30], "little") + 1,
        )
    if data[12:16] == b"VP8L" and len(data) >= 25:
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    size = _pair(data, 26, 2, "little") if data[12:16] == b"VP8 " else None
    return (size[0] & 0x3FFF, size[1] & 0x3FFF) if size else None


def _pair(data: bytes, at: int, width: int, order: Any) -> tuple[int, int] | None:
    if len(data) < at + 2 * width:
        return None
    first, second = data[at : at + width], data[at + width : at + 2 * width]
    return int.from_bytes(first, order), int.from_bytes(second, order)


SIZES: dict[str, Callable[[bytes], tuple[int, int] | None]] = {
    "image/png": _size_of_png,
    "image/jpeg": _size_of_jpeg,
    "image/gif": _size_of_gif,
    "image/webp": _size_of_webp,
}
