"""A real IPython shell with the extension loaded, a store of its own, and scripted chats."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from IPython.terminal.interactiveshell import TerminalInteractiveShell
from IPython.utils.capture import capture_output
from traitlets.config import Config

import nbchat
from nbchat.testing import scripted


class Notebook:
    """Runs cells in a shell; remembers what the last one showed."""

    def __init__(self, shell: InteractiveShell, folder: Path) -> None:
        self.shell = shell
        self.names = shell.user_ns
        self.folder = folder
        self.outputs: list[dict[str, Any]] = []
        self.stdout = self.stderr = ""

    def run(self, source: str) -> Any:
        """The cell's value."""
        before = self.shell.display_pub
        with capture_output() as shown:
            # capture_output only finds the one global shell
            self.shell.display_pub = shown_here = CapturingDisplayPublisher()
            try:
                result = self.shell.run_cell(source, store_history=True)
            finally:
                self.shell.display_pub = before
        self.outputs, self.stdout, self.stderr = shown_here.outputs, shown.stdout, shown.stderr
        self.failed = not result.success
        return result.result

    def talk(self, *replies: Any, **options: Any) -> nbchat.Chat:
        """The current chat, which gives these replies."""
        self.script = scripted(replies)
        chat = nbchat.create_chat(
            "function/x", respond=self.script, store=self.folder / "chats.duckdb", **options
        )
        self.names["talk"] = chat
        self.run("%chat -c talk")
        assert not self.failed
        return chat

    def html(self) -> str:
        """What the cell's output is in the end."""
        return str(self.outputs[-1]["data"]["text/html"])

    def asked(self) -> list[str]:
        """What the model was asked last."""
        return [message.content for message in self.script.requests[-1].messages]


def shell_of(kind: type[InteractiveShell], folder: Path) -> InteractiveShell:
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    config.TerminalInteractiveShell.simple_prompt = True
    return kind(config=config, ipython_dir=str(folder / "ipython"))


def notebooks(
    kind: type[InteractiveShell], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Notebook]:
    monkeypatch.chdir(folder)
    monkeypatch.delenv("NBCHAT_DB", raising=False)
    shell = shell_of(kind, folder)
    shell.run_cell("%load_ext nbchat")
    yield Notebook(shell, folder)
    shell.run_cell("%unload_ext nbchat")
    shell.reset()  # DuckDB complains of connections that outlive Python


@pytest.fixture
def notebook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, main_module: None
) -> Iterator[Notebook]:
    """A shell that shows HTML."""
    yield from notebooks(InteractiveShell, tmp_path, monkeypatch)


@pytest.fixture
def terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, main_module: None
) -> Iterator[Notebook]:
    """A shell that only shows text."""
    yield from notebooks(TerminalInteractiveShell, tmp_path, monkeypatch)
