"""The panel: a widget that shows a chat and takes what its reader asks.

Only glue: the page's messages go to the session on the engine's thread, the session's messages
to the page. No transcript is in the widget's state; the store has it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets
from IPython.display import publish_display_data

from nbchat.store.identity import new_id
from nbchat.widget.attached import Attached
from nbchat.widget.commands import Command, checked_commands
from nbchat.widget.figures import follow_figures, last_figure
from nbchat.widget.saved import SavedTranscript, pictures_of
from nbchat.widget.session import Session

if TYPE_CHECKING:
    from nbchat.chat import Chat

STATIC = Path(__file__).with_name("static")
PLAIN = "nbchat panel: run this cell to continue the conversation"


class Panel(anywidget.AnyWidget):
    """A chat as a widget, made by `chat.panel()` or `nbchat.open_panel()`.

    It composes with any other widget, and may be shown as often as you like. `commands` are
    slash commands of your own: a dict from a word to a function from text to text.
    """

    _esm = STATIC / "panel.js"
    _css = STATIC / "panel.css"
    _cid = traitlets.Unicode().tag(sync=True)

    def __init__(
        self, chat: "Chat", *, commands: Mapping[str, Command] | None = None, **options: Any
    ) -> None:
        own = checked_commands(commands)
        super().__init__(_cid=new_id(), **options)
        follow_figures()
        self._saved = SavedTranscript()
        self._session = Session(
            chat, self.send, saved=self._saved, attached=Attached(_variables), commands=own,
            last_figure=last_figure,
        )  # fmt: skip
        self.on_msg(self._receive)
        _keep_subshells(self.comm)

    @property
    def chat(self) -> "Chat":
        """The chat that is shown now: the reader may have opened another one."""
        return self._session.chat

    def close(self) -> None:
        """Take the panel away; a turn that runs goes on to its end."""
        self._session.close()
        super().close()

    def _receive(self, widget: Any, content: Any, buffers: Any) -> None:
        self._session.take(content, buffers or ())

    def _repr_mimebundle_(self, **options: Any) -> Any:
        bundle = super()._repr_mimebundle_(**options)
        data, *rest = bundle if isinstance(bundle, tuple) else (bundle,)
        if data:
            data["text/plain"] = PLAIN
        return (data, *rest) if rest else data

    def _ipython_display_(self, **options: Any) -> None:
        bundle = self._repr_mimebundle_(**options)
        publish_display_data(bundle[0] if isinstance(bundle, tuple) else bundle)  # type: ignore[no-untyped-call]
        messages = self.chat.messages()
        store, title = self.chat.store, self._session.title_for(messages)
        self._saved.show(messages, title, store.path, pictures_of(store, messages))


def open_panel(
    chat: "Chat | str | None" = None,
    *,
    store: Any = None,
    commands: Mapping[str, Command] | None = None,
) -> Panel:
    """A panel over a chat, its id or name; over the store's latest chat, or a new one, for None.

    A name that no chat has starts one that is called so. The panel's drawer opens all others.
    """
    from nbchat.chat import Chat, create_chat, load_chat
    from nbchat.stores import list_chats

    if isinstance(chat, Chat):
        return Panel(chat, commands=commands)
    if chat is None:
        latest = list_chats(store=store, limit=1)["id"].tolist()
        found = load_chat(latest[0], store=store) if latest else None
    else:
        found = load_chat(chat, store=store)
    return Panel(found or create_chat(store=store, name=chat), commands=commands)


def _variables() -> Mapping[str, Any]:
    """The notebook's variables; none outside of one."""
    from IPython import get_ipython

    shell = get_ipython()
    return dict(shell.user_ns) if shell is not None else {}


def _keep_subshells(comm: Any) -> None:
    """Have ipykernel 7.4 take the page's messages where the page sends them.

    It would send them to the shell that last used the comm, which a busy cell blocks, and Stop
    with it. A private name: where it is gone, Stop waits for the cell to end.
    """
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda data, default: default
