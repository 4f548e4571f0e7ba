"""A notebook open in JupyterLab or Notebook 7, driven by the application's own commands."""

from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page

from browser.server import JupyterServer
from browser.tripwires import Tripwires

HOSTS = ("lab", "notebook")
WITHIN_MS = 30_000
IDLE = """(path) => {
  const panel = globalThis.jupyterapp?.shell?.currentWidget;
  const session = panel?.sessionContext?.session;
  return panel?.context?.isReady && panel.context.path === path
    && panel.content.widgets.length > 0 && session?.kernel?.status === 'idle';
}"""
START = """(index) => {
  const app = globalThis.jupyterapp;
  app.shell.currentWidget.content.activeCellIndex = index;
  globalThis.nbchatCell = app.commands.execute('notebook:run-cell');
}"""
OUTPUTS = """(index) => {
  const cell = globalThis.jupyterapp.shell.currentWidget.content.widgets[index];
  return cell.model.outputs.toJSON();
}"""
SOURCES = """() => globalThis.jupyterapp.shell.currentWidget.content.widgets
  .map((cell) => cell.model.sharedModel.getSource())"""
KERNEL = "globalThis.jupyterapp.shell.currentWidget.sessionContext.session.kernel"
SAVE = """async () => { await globalThis.jupyterapp.shell.currentWidget.context.save(); }"""


class Notebook:
    """An open notebook whose kernel is idle."""

    def __init__(self, page: Page, server: JupyterServer, wires: Tripwires, path: Path, host: str):
        self.page, self.wires, self.path = page, wires, path
        self._place = path.relative_to(server.root).as_posix()
        self._server = server
        self.open_in(host)

    @property
    def folder(self) -> Path:
        """Where the kernel runs."""
        return self.path.parent

    def open_in(self, host: str) -> None:
        """Open the page in this host; a kernel that runs goes on."""
        server, view = self._server, "lab/tree" if host == "lab" else "notebooks"
        self._url = f"{server.url}/{view}/{self._place}?reset&token={server.token}"
        self.load()

    def load(self) -> None:
        """Open the page, for the first time or anew."""
        self.page.goto(self._url)
        self.page.wait_for_function(IDLE, arg=self._place, timeout=WITHIN_MS)

    def start(self, index: int) -> None:
        """Run a cell without waiting for its end."""
        self.page.evaluate(f"(index) => {{ ({START})(index); }}", index)

    def is_busy(self) -> None:
        """Wait until the kernel is at work."""
        self.page.wait_for_function(f"() => ({KERNEL}).status === 'busy'")

    def finish(self) -> None:
        """Wait until the cell that was started has ended."""
        self.page.evaluate("() => globalThis.nbchatCell.then(() => null)")

    def run(self, *indices: int) -> None:
        """Run cells to their ends; an error in one is the test's."""
        for index in indices:
            self.start(index)
            self.finish()
            errors = [o for o in self.outputs(index) if o["output_type"] == "error"]
            assert not errors, "\n".join(errors[0]["traceback"])

    def outputs(self, index: int) -> list[dict[str, Any]]:
        """A cell's outputs as the document has them."""
        return self.page.evaluate(OUTPUTS, index)

    def sources(self) -> list[str]:
        """What is written in every cell."""
        return self.page.evaluate(SOURCES)

    def output(self, index: int) -> Locator:
        """A cell's output area in the page."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(index).locator(".jp-Cell-outputArea")

    def save(self) -> None:
        """Write the notebook to its file."""
        self.page.evaluate(SAVE)

    def interrupt(self) -> None:
        """Interrupt the kernel, as the host's own button does."""
        self.page.evaluate(f"() => {KERNEL}.interrupt()")

    def end_kernel(self) -> None:
        """Shut the kernel down without asking."""
        self._server.end_kernels()
