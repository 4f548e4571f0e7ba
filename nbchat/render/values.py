"""What a tool returned, as a person should see it: a frame as a table, a picture as a picture.

Invariant: what comes from a tool is escaped or is the bytes of a picture; nothing in it runs
or loads anything.
"""

import base64
import csv
import io
from collections.abc import Iterable, Mapping, Sequence

from nbchat.messages import Image
from nbchat.render.plain import escaped, one_line

ROWS, COLUMNS = 10, 20
CELL = 200  # characters
GAP = "…"
TYPES = {"image/png", "image/jpeg", "image/gif", "image/webp"}

Pictures = Mapping[str, bytes]  # by their digests
NO_PICTURES: Pictures = {}


def render_table(text: str) -> str:
    """The first and last rows of a frame, told as CSV, as a table; '' for what is none."""
    try:
        lines = [line for line in csv.reader(io.StringIO(text)) if line]
    except csv.Error:
        return ""
    if not lines:
        return ""
    header, *rest = lines
    rows = [line for line in rest if len(line) == len(header)]
    notes = [", ".join(line) for line in rest if len(line) != len(header) and line != [GAP]]
    said = " ".join(notes) or f"{len(rows):,} rows x {len(header):,} columns"
    if len(rows) > ROWS:
        rows = [*rows[: ROWS // 2], [GAP] * len(header), *rows[-ROWS // 2 :]]
    body = "".join(_row(row, "td") for row in rows)
    return (
        f'<div class="nbchat-table"><table><thead>{_row(header, "th")}</thead>'
        f"<tbody>{body}</tbody></table><p>{escaped(one_line(said, 400))}</p></div>"
    )


def _row(cells: Sequence[str], tag: str) -> str:
    more = [GAP] if len(cells) > COLUMNS else []
    shown = (escaped(one_line(cell, CELL)) for cell in [*cells[:COLUMNS], *more])
    return f"<tr>{''.join(f'<{tag}>{cell}</{tag}>' for cell in shown)}</tr>"


def render_pictures(images: Iterable[Image], pictures: Pictures) -> str:
    """The pictures in the page itself, as far as their bytes are given."""
    return "".join(render_picture(image, pictures.get(image.digest)) for image in images)


def render_picture(image: Image, data: bytes | None) -> str:
    """A picture in the page itself; '' without bytes, or for what browsers do more with."""
    source = data_url(image.media_type, data)
    label = escaped(one_line(image.name, 60) or "image")
    return f'<img class="nbchat-image" alt="{label}" src="{source}">' if source else ""


def data_url(media_type: str, data: bytes | None) -> str:
    """The picture as an address that loads nothing; '' as in `render_picture`."""
    if not data or media_type not in TYPES:
        return ""
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"
