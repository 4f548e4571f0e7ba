"""What must not happen in a page: scripts of a text, dialogs, requests to elsewhere, commands."""

from typing import Any

from playwright.sync_api import BrowserContext, Dialog, Page, Request

OURS = ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:", "file:", "about:")
# what Notebook 7.6 throws by itself when it opens a notebook
HOSTS_OWN = (
    "Cannot read properties of undefined (reading 'schema')",
    "Command 'filebrowser:open-path' not registered.",
)

# Every payload that gets to run says so by one of these; all frames have them.
WATCH = """
(() => {
  const ran = (what) => globalThis.nbchatRan(String(what));
  for (const name of ['alert', 'confirm', 'prompt', 'print', 'msgbox'])
    Object.defineProperty(globalThis, name, {value: ran, writable: false});
})();
"""
WATCH_COMMANDS = """() => {
  const app = globalThis.jupyterapp;
  app.commands.commandExecuted.connect((_, args) => globalThis.nbchatCommand(args.id));
}"""


class Tripwires:
    """Lists everything of that kind that happened in a browser context."""

    def __init__(self, context: BrowserContext) -> None:
        self.ran: list[str] = []
        self.left: list[str] = []
        self.errors: list[str] = []
        self.commands: list[str] = []
        context.expose_binding("nbchatRan", lambda _, what: self.ran.append(what))
        context.expose_binding("nbchatCommand", lambda _, name: self.commands.append(name))
        context.add_init_script(WATCH)
        context.on("request", self._on_request)
        context.on("page", self._on_page)
        context.on("weberror", lambda error: self._on_error(str(error.error)))
        context.on("dialog", self._on_dialog)

    def _on_error(self, error: str) -> None:
        if not error.endswith(HOSTS_OWN):
            self.errors.append(error)

    def _on_page(self, page: Page) -> None:
        page.on("websocket", lambda socket: self._note(socket.url))

    def _on_request(self, request: Request) -> None:
        self._note(request.url)

    def _note(self, url: str) -> None:
        if not url.startswith(OURS):
            self.left.append(url)

    def _on_dialog(self, dialog: Dialog) -> None:
        if dialog.type == "beforeunload":  # the host asks about unsaved work
            dialog.accept()
        else:
            self.ran.append(f"{dialog.type}: {dialog.message}")
            dialog.dismiss()

    def watch_commands(self, page: Page) -> None:
        """From now on, list the commands that the host runs."""
        page.evaluate(WATCH_COMMANDS)

    def touched(self) -> dict[str, list[str]]:
        """What happened, by kind; empty when nothing did."""
        kinds: dict[str, Any] = {"ran": self.ran, "left": self.left, "errors": self.errors}
        return {kind: found for kind, found in kinds.items() if found}
