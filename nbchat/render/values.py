"""What a tool returned, as a person should see it: a frame as a table, an image as an image.

Invariant: what comes from the value is escaped or is the bytes of a picture; nothing in it runs
or loads anything.
"""

import base64
from collections.abc import Iterable
from typing import Any

import nh3

ROWS, COLUMNS = 10, 20
PICTURES = {"image/png", "image/jpeg", "image/gif", "image/webp"}
TABLE = {"table", "thead", "tbody", "tr", "th", "td", "p"}


def render_value(value: Any, images: Iterable[Any] = ()) -> str:
    """Safe HTML of a frame, or of pictures; '' for anything else."""
    table = render_frame(value) if hasattr(value, "to_html") else ""
    return table + "".join(map(render_picture, images))


def render_frame(frame: Any) -> str:
    """The first and last rows of a frame as a table; '' for one that cannot be shown."""
    try:
        html = frame.to_html(max_rows=ROWS, max_cols=COLUMNS, border=0, show_dimensions=True)
    except Exception:
        return ""  # its text is there all the same
    safe = nh3.clean(str(html), tags=TABLE, attributes={}, link_rel=None)
    return f'<div class="nbchat-table">{safe}</div>'


def render_picture(image: Any) -> str:
    """A picture in the page itself; '' for a kind that browsers might do more with."""
    if image.media_type not in PICTURES:
        return ""
    data = base64.b64encode(image.data).decode()
    return f'<img class="nbchat-image" alt="image" src="data:{image.media_type};base64,{data}">'
