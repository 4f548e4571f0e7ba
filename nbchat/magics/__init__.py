"""The magics: parse, call, show. They hold no logic of a turn.

Loading prints nothing, starts nothing and imports nothing that is slow; chats, the store and
rendering are imported when a magic is first used. Both functions may be called twice.
"""

import atexit
from typing import Any

NAMES = ("chat", "chatsql")
MESSAGE = ("nbchat.messages", "Message")


def load(shell: Any) -> None:
    """Add the magics to the shell."""
    from nbchat.magics.options import keep_questions
    from nbchat.magics.surface import NbChat  # both need IPython, which importing nbchat does not

    if NbChat.__name__ in shell.magics_manager.registry:
        return
    magics = NbChat(shell)
    shell.register_magics(magics)
    shell.events.register("post_run_cell", magics.forget_shown)
    own_display = shell.display_formatter.ipython_display_formatter
    own_display.for_type_by_name(*MESSAGE, magics.skip_shown)
    shell.Completer.custom_matchers.append(magics.complete)
    shell.input_transformers_cleanup.append(keep_questions)
    atexit.register(magics.close)


def unload(shell: Any) -> None:
    """Take the magics away again."""
    from nbchat.magics.options import keep_questions

    magics = shell.magics_manager.registry.pop("NbChat", None)
    if magics is None:
        return
    for name in NAMES:
        shell.magics_manager.magics["line"].pop(name, None)
        shell.magics_manager.magics["cell"].pop(name, None)
    shell.configurables.remove(magics)
    shell.events.unregister("post_run_cell", magics.forget_shown)
    shell.display_formatter.ipython_display_formatter.pop(".".join(MESSAGE), None)
    shell.Completer.custom_matchers.remove(magics.complete)
    shell.input_transformers_cleanup.remove(keep_questions)
    atexit.unregister(magics.close)
    magics.close()
