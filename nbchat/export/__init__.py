"""A chat as a file to keep or to send: Markdown, inert HTML, JSON lines, a notebook.

Everything comes from the stored messages, so that two exports of one chat are byte-equal.
A file is whole or not there, and readable by its owner only.
"""

import os
import tempfile
from pathlib import Path

from nbchat.errors import ConfigError
from nbchat.store import Store


def export_chat(
    store: Store, chat_id: str, path: str | os.PathLike[str], *, overwrite: bool = False
) -> Path:
    """Write the chat's current branch to `path` in the format of its ending.

    Raises ConfigError for another ending, a missing folder, or a file that is there already.
    """
    # they load the Markdown libraries
    from nbchat.export import lines, markdown, notebook, page
    from nbchat.export.content import load_content

    formats = {
        ".md": markdown.markdown_of,
        ".html": page.page_of,
        ".jsonl": lines.lines_of,
        ".ipynb": notebook.notebook_of,
    }
    place = checked_place(path, list(formats), overwrite)
    return write_private(place, formats[place.suffix.lower()](load_content(store, chat_id)))


def checked_place(path: str | os.PathLike[str], endings: list[str], overwrite: bool) -> Path:
    """Where the file goes, if it may be written there."""
    place = Path(path).expanduser()
    if place.suffix.lower() not in endings:
        raise ConfigError(
            f"{place.name!r} ends in no format of an export. Let it end in {', '.join(endings)}."
        )
    if not place.parent.is_dir():
        raise ConfigError(f"There is no folder {str(place.parent)!r}. Create it, then export.")
    if place.is_dir() or (os.path.lexists(place) and not overwrite):
        raise ConfigError(
            f"{str(place)!r} is there already. Choose another name, or say overwrite=True to "
            "replace it."
        )
    return place


def write_private(place: Path, text: str) -> Path:
    """Write the file whole, readable by its owner only; one of this name is replaced."""
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.")
        with open(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, place)
    except BaseException as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise ConfigError(
                f"{str(place)!r} could not be written: {error}. Choose another place."
            ) from error
        raise
    return place
