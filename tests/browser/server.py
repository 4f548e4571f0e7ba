"""A Jupyter server of the tests' own: JupyterLab and Notebook 7, on this machine only."""

import json
import os
import secrets
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[2]
READY_WITHIN_S = 60
PLACES = ["CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR"]
QUIET = {
    "@jupyterlab/apputils-extension/notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    },
    "@jupyterlab/completer-extension/manager": {"autoCompletion": False},
}


class JupyterServer:
    """A running server, and the folder it serves."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.root = folder, folder / "notebooks"
        self.root.mkdir(parents=True)
        self.port, self.token = free_port(), secrets.token_hex(16)
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = (folder / "server.log").open("w+", encoding="utf-8")
        write_settings(folder)
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
                *("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={self.port}"),
                *("--ServerApp.port_retries=0", f"--ServerApp.root_dir={self.root}"),
                *(f"--IdentityProvider.token={self.token}", "--LabApp.expose_app_in_browser=True"),
                *("--LabApp.extension_manager=readonly", "--ServerApp.terminals_enabled=False"),
            ],
            cwd=folder,
            env=environment(folder),
            stdout=self._log,
            stderr=self._log,
        )
        self._wait()

    def _wait(self) -> None:
        for _ in range(READY_WITHIN_S * 20):
            assert self._process.poll() is None, self.said()
            try:
                self.rest("GET", "status")
            except (urllib.error.URLError, ConnectionError):
                threading.Event().wait(0.05)
            else:
                return
        raise AssertionError(f"No server within {READY_WITHIN_S} s:\n{self.said()}")

    def rest(self, method: str, path: str) -> object:
        """The server's answer to a request to its own interface."""
        request = urllib.request.Request(
            f"{self.url}/api/{path}",
            method=method,
            headers={"Authorization": f"token {self.token}"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")

    def write(self, name: str, cells: list[str]) -> Path:
        """A new notebook of these cells in a folder of its own."""
        folder = self.root / secrets.token_hex(4)
        folder.mkdir()
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
        notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
        path = folder / f"{name}.ipynb"
        nbformat.write(notebook, path)
        return path

    @contextmanager
    def setting(self, name: str, **values: object) -> Iterator[None]:
        """Pages that are opened meanwhile find these values in this settings file."""
        place = write_setting(self._folder, name, values)
        try:
            yield
        finally:
            place.unlink()

    def end_kernels(self) -> None:
        """Shut down every kernel that runs."""
        for kernel in self.rest("GET", "kernels"):
            self.rest("DELETE", f"kernels/{kernel['id']}")

    def said(self) -> str:
        """The server's log."""
        self._log.seek(0)
        return self._log.read()

    def close(self) -> None:
        """End the server and its kernels."""
        self.end_kernels()
        self._process.terminate()
        self._process.wait(30)
        self._log.close()


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def write_settings(folder: Path) -> None:
    """No news, no updates, no completion while typing; the application is found by tests."""
    for name, settings in QUIET.items():
        write_setting(folder, name, settings)
    place = folder / "CONFIG_DIR" / "jupyter_server_config.json"
    place.parent.mkdir(parents=True)
    place.write_text(json.dumps({"JupyterNotebookApp": {"expose_app_in_browser": True}}))


def write_setting(folder: Path, name: str, values: dict[str, object]) -> Path:
    """One settings file of the application."""
    place = folder / "SETTINGS_DIR" / f"{name}.jupyterlab-settings"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(values))
    return place


def environment(folder: Path) -> dict[str, str]:
    """This process's environment, with every place that is written to inside the folder."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("NBCHAT_", "JUPYTER", "IPYTHON")) and not name.endswith("_API_KEY")
    }
    for name in ("NBCHAT_MODELS", "NBCHAT_FIXTURES"):
        if name in os.environ:
            kept[name] = os.environ[name]
    return {
        **kept,
        **{f"JUPYTER_{place}": str(folder / place) for place in PLACES},
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "SETTINGS_DIR"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "WORKSPACES_DIR"),
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_PLATFORM_DIRS": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
    }
