"""The transcript that is saved in the notebook beside the live panel: static HTML and text.

A second output with an id of its own, updated after every turn. It needs no kernel, no widget
and no trust; never text/markdown, from which JupyterLab runs scripts.
"""

import contextlib
from collections.abc import Sequence

from IPython.display import publish_display_data

from nbchat.messages import Message
from nbchat.render.conversation import plain_conversation, render_conversation
from nbchat.render.values import Pictures
from nbchat.store import Store
from nbchat.store.attachments import load_attachments
from nbchat.store.identity import new_id
from nbchat.widget.shown import images_of

PICTURE_BYTES = 100_000  # a picture that takes more is named only, to keep the notebook small
# where no kernel revives the panel, JupyterLab says so in red above what was said
HIDE_ERROR = (
    "<style>.jp-OutputArea-child:has(+ .jp-OutputArea-child .nbchat-static)"
    ":has(> .jupyter-widgets):not(:has(.nbc)){display:none}</style>"
)


def pictures_of(store: Store, messages: Sequence[Message]) -> Pictures:
    """The bytes of the small pictures of these messages, by digest; larger ones are only named."""
    digests = {image.digest for message in messages for image in images_of(message)}
    return store.read(lambda cursor: load_attachments(cursor, digests, most_bytes=PICTURE_BYTES))


class SavedTranscript:
    """One output of the cell that showed the panel; nothing where no notebook is."""

    def __init__(self) -> None:
        self._places: list[str] = []

    def show(
        self, messages: list[Message], title: str, store_path: str, pictures: Pictures
    ) -> None:
        """Put the transcript below the panel; called where the panel is displayed."""
        place = new_id()
        self._places = [*self._places[-3:], place]  # a cell that ran again has a new one
        _publish(place, _bundle(messages, title, store_path, pictures), update=False)

    def update(
        self, messages: list[Message], title: str, store_path: str, pictures: Pictures
    ) -> None:
        """Say in every place where it was shown what was said since."""
        bundle = _bundle(messages, title, store_path, pictures) if self._places else {}
        for place in self._places:
            with contextlib.suppress(Exception):  # the output or the kernel's socket is gone
                _publish(place, bundle, update=True)


def _publish(place: str, bundle: dict[str, str], *, update: bool) -> None:
    publish_display_data(bundle, transient={"display_id": place}, update=update)  # type: ignore[no-untyped-call]


def _bundle(
    messages: list[Message], title: str, store_path: str, pictures: Pictures
) -> dict[str, str]:
    known = {"title": title, "store_path": store_path}
    return {
        "text/html": HIDE_ERROR + render_conversation(messages, **known, pictures=pictures),
        "text/plain": plain_conversation(messages, **known),
    }
