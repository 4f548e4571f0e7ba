"""Figures, pictures and image bytes become images for the model, and a line in the text."""

import base64
import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pandas as pd
import pytest

from nbchat.pictures import MAX_BYTES
from nbchat.tools import ResultImage, output_of, text_of_result


def png(width=3, height=2):
    """A real picture, as small as they get."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = b"".join(b"\0" + b"\0\0\0" * width for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )  # fmt: skip


JPEG = (
    b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + b"\0" * 9
    + b"\xff\xc0\x00\x11\x08\x00\x02\x00\x03\x03" + b"\0" * 9
)  # fmt: skip
GIF = b"GIF89a\x03\x00\x02\x00\x00\x00\x00;"
WEBP = {
    "lossy": b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a\x03\x00\x02\x00",
    "lossless": b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f" + (2 | 1 << 14).to_bytes(4, "little"),
    "extended": b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x02\0\0\x01\0\0",
}
KINDS = {
    "png": (png(), "image/png"), "jpeg": (JPEG, "image/jpeg"), "gif": (GIF, "image/gif"),
    **{f"webp, {name}": (data, "image/webp") for name, data in WEBP.items()},
}  # fmt: skip


@pytest.mark.parametrize(("data", "media_type"), KINDS.values(), ids=KINDS)
def test_bytes_of_an_image_are_an_image(data, media_type):
    for value in (data, bytearray(data), memoryview(data)):
        output = output_of(value)

        assert output.images == (ResultImage(media_type, data, 3, 2),)
        kind = media_type.removeprefix("image/").upper()
        assert output.text == f"[image: {kind}, 3x2, {len(data)} bytes]"
        assert output.full_chars == output.sent_chars


@pytest.mark.parametrize(("data", "media_type"), KINDS.values(), ids=KINDS)
def test_an_image_that_ends_early_is_still_one(data, media_type):
    for end in range(12, len(data)):
        (image,) = output_of(data[:end]).images

        assert image.media_type == media_type
        assert (image.width, image.height) in {(3, 2), (None, None)}


class Axes:
    def __init__(self, figure):
        self.figure = figure

    def get_title(self):
        return "Rain"

    def get_xlabel(self):
        return "day"

    def get_ylabel(self):
        return ""


class Figure:
    """As matplotlib's is from outside."""

    def __init__(self, data=None):
        self.data = data or png()
        self.axes = Axes(self)

    def get_axes(self):
        return [self.axes]

    def savefig(self, where, *, format, bbox_inches):
        where.write(self.data)


class Picture:
    """As Pillow's is from outside."""

    size = (3, 2)

    def __init__(self, mode="RGB"):
        self.mode = mode

    def save(self, where, format):
        if self.mode == "CMYK":
            raise OSError("cannot write mode CMYK as PNG")
        where.write(png())

    def convert(self, mode):
        return Picture(mode)


class Shows:
    def __init__(self, shown, way="_repr_png_"):
        self.shown = shown
        self.way = way

    def _repr_png_(self):
        return self.shown

    def __str__(self):
        return "as text"


LABELS = f"[image: PNG, 3x2, {len(png())} bytes; title: Rain; x: day]"
PLAIN = f"[image: PNG, 3x2, {len(png())} bytes]"
IMAGES = {
    "a figure": (Figure(), LABELS),
    "its axes": (Figure().axes, LABELS),
    "a picture": (Picture(), PLAIN),
    "a picture in a mode that PNG has not": (Picture("CMYK"), PLAIN),
    "what shows itself": (Shows(png()), PLAIN),
    "as text": (Shows(base64.b64encode(png()).decode()), PLAIN),
    "with metadata": (Shows((png(), {"width": 3})), PLAIN),
}


@pytest.mark.parametrize(("value", "text"), IMAGES.values(), ids=IMAGES)
def test_what_can_be_seen_is_an_image(value, text):
    output = output_of(value)

    assert output.images == (ResultImage("image/png", png(), 3, 2),)
    assert output.text == text


def test_what_shows_no_image_after_all_is_text():
    output = output_of(Shows(None))

    assert (output.text, output.images) == ("as text", ())


def test_an_image_of_ipython_is_an_image():
    display = pytest.importorskip("IPython.display")

    assert output_of(display.Image(data=png())).images[0].data == png()
    assert output_of(display.Image(data=GIF, format="gif")).images[0].media_type == "image/gif"
    assert output_of(display.Image(url="https://example.com/x.png")).images == ()


def test_a_figure_of_matplotlib_is_an_image():
    figures = pytest.importorskip("matplotlib.figure")
    figure = figures.Figure()
    figure.add_subplot().set_title("Rain")

    output = output_of((figure, figure.axes[0]))

    assert len(output.images) == 1
    assert "title: Rain" in output.text


def test_a_picture_of_pillow_is_an_image():
    pictures = pytest.importorskip("PIL.Image")

    (image,) = output_of(pictures.new("CMYK", (3, 2))).images
    assert (image.media_type, image.width, image.height) == ("image/png", 3, 2)


def test_a_figure_that_cannot_be_saved_is_told_so():
    class Broken(Figure):
        def savefig(self, where, **_):
            raise RuntimeError("no canvas")

    output = output_of(["look", Broken()])

    assert output.text == "look\n[Broken that cannot be shown: RuntimeError: no canvas]"
    assert output.images == ()


def test_images_within_other_values_stand_in_their_place():
    frame = pd.DataFrame({"a": [1]})
    figure, other = Figure(), Figure(png(5, 5))
    output = output_of(["look:", figure, {"table": frame, "other": other}, png(7, 7)])

    assert output.text == "\n".join([
        "look:", LABELS, "table: a", "1",
        f"other: [image: PNG, 5x5, {len(png(5, 5))} bytes; title: Rain; x: day]",
        f"[image: PNG, 7x7, {len(png(7, 7))} bytes]",
    ])  # fmt: skip
    assert [image.width for image in output.images] == [3, 5, 7]
    assert output.full_chars == len(output.text)


def test_a_long_text_leaves_room_for_what_comes_after_it():
    frame = pd.DataFrame({"n": range(100_000)})
    value = ["x" * 100_000, frame, png()]
    output = output_of(value, 3000)

    assert len(output.text) <= 3000
    assert " of 100,000 characters left out …]\n" in output.text
    assert "99999\n(100,000 rows x 1 columns; " in output.text
    assert output.text.endswith(" bytes]")
    assert output.full_chars == len(text_of_result(value))


def test_an_object_whose_figure_fails_is_told_as_text():
    class Result:
        @property
        def figure(self):
            raise ValueError("not computed")

        def __str__(self):
            return "mine"

    assert output_of(Result()).text == '"mine"'


def test_a_figure_and_its_axes_are_one_image():
    figure = Figure()
    axes = np.array([figure.axes, figure.axes], dtype=object)
    output = output_of((figure, axes))

    assert len(output.images) == 1
    assert output.text.splitlines() == [LABELS, *["[image: the same figure as above]"] * 2]


def test_a_list_that_holds_itself_ends():
    loop = [png()]
    loop.append(loop)

    assert len(output_of(loop).images) == 6


def test_a_result_has_not_endlessly_many_images():
    output = output_of([png()] * 25)

    assert len(output.images) == 20
    assert output.text.count("left out") == 5


def test_a_picture_that_is_too_large_is_told_in_words_and_takes_no_place():
    large = png() + b"\0" * MAX_BYTES
    output = output_of([large, *[png()] * 20])

    assert len(output.images) == 20
    said, *told = output.text.splitlines()
    assert said == (
        f"[image left out: PNG, 3x2, {len(large):,} bytes, more than the 20,000,000 it may have]"
    )
    assert told == [PLAIN] * 20


def test_an_object_that_claims_to_have_everything_is_no_image():
    class Claims:
        def __getattr__(self, name):
            return lambda *_, **__: self

        def __str__(self):
            return "mine"

    assert output_of(Claims()).images == ()


def test_a_frame_with_a_column_called_figure_is_a_frame():
    assert output_of(pd.DataFrame({"figure": [1], "data": [2]})).text == "figure,data\n1,2\n"


def test_no_library_is_imported_to_tell_a_result():
    code = (
        "import sys; from nbchat.tools import output_of; output_of([b'x', {1}, object()]);"
        "print({'pandas', 'numpy', 'matplotlib', 'PIL', 'IPython', 'duckdb'} & {*sys.modules})"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ended.stdout == "set()\n"


def test_a_picture_is_not_shown_with_its_bytes():
    (image,) = output_of(io.BytesIO(png()).getvalue()).images

    assert "PNG\\r" not in repr(image)
