"""The last figure that a notebook showed, so that a reader may attach it.

Plots are closed as soon as a cell has shown them, so what was shown is what is kept.
"""

import base64
import contextlib
import sys
from typing import Any

_last: dict[str, bytes] = {}


def follow_figures() -> None:
    """Keep the last picture that any cell shows from now on; does nothing outside a kernel."""
    from IPython import get_ipython

    publisher = getattr(get_ipython(), "display_pub", None)
    if publisher is None or not hasattr(publisher, "register_hook"):
        return
    publisher.unregister_hook(_look)
    publisher.register_hook(_look)


def _look(message: Any) -> Any:
    """Take note of a picture on its way to the page, which is let through as it is."""
    with contextlib.suppress(Exception):
        data = message.get("content", {}).get("data", {}).get("image/png")
        if isinstance(data, str):
            _last["figure"] = base64.b64decode(data)
    return message


def last_figure() -> Any:
    """An open figure, else the last picture that was shown as PNG bytes; None for neither."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None and pyplot.get_fignums():
        return pyplot.gcf()
    return _last.get("figure")
