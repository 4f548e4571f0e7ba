"""Notebooks from the command line: executed in this Python, printed cell by cell, saved.

What is printed of a notebook is text only: control sequences in it never reach the terminal.
"""

import argparse
import json
import os
import re
import shlex
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from nbchat.errors import ConfigError, MissingExtra, NbchatError

# CSI, OSC and the other string sequences, in their 7-bit and 8-bit forms, then any control
# character but newline and tab
CONTROLS = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)


def run(args: argparse.Namespace) -> int:
    """Executes a notebook in this Python, prints it cell by cell and saves the executed copy."""
    for name in ("nbformat", "nbclient", "ipykernel"):
        try:
            import_module(name)
        except ImportError as error:
            raise MissingExtra(
                f'`nbchat run` needs {name}. Install it with `pip install "nbchat[lab]"`.'
            ) from error
    out = destination(args.notebook, args.out)
    notebook = read_notebook(args.notebook)
    try:
        for text in execute(notebook, args.notebook, args.timeout):
            print(text, flush=True)
    finally:
        save_notebook(notebook, out)
        print(f"The executed copy is {out}")
        print(f"Open the notebook yourself:\n    {open_command(args.notebook)}", flush=True)
    return 0


def destination(source: Path, out: Path | None) -> Path:
    """Where the executed copy goes; never onto the source."""
    out = out or source.with_name(f"{source.stem}.executed.ipynb")
    if out.resolve() == source.resolve() or (out.exists() and out.samefile(source)):
        raise ConfigError(f"--out {out} is the notebook itself. Name another file.")
    if not out.parent.is_dir():
        raise ConfigError(f"The folder {out.parent} of --out does not exist. Create it first.")
    return out


def read_notebook(path: Path) -> Any:
    """The notebook in that file, in the current format."""
    import nbformat  # an optional extra, as in the functions below

    if not path.is_file():
        raise ConfigError(f"There is no notebook {path}. Check the path.")
    try:
        notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]  # theirs
        nbformat.validate(notebook)
    except (ValueError, TypeError, AttributeError, LookupError, nbformat.ValidationError) as error:
        raise ConfigError(f"{path} is not a notebook: {str(error)[:200]}") from error
    return notebook


def save_notebook(notebook: Any, path: Path) -> None:
    """Writes the notebook whole or not at all."""
    import nbformat

    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    nbformat.write(notebook, fresh)  # type: ignore[no-untyped-call]  # theirs
    fresh.replace(path)


def execute(notebook: Any, path: Path, timeout_s: int) -> Iterator[str]:
    """What each cell says, once it has run; raises NbchatError after the first that fails."""
    from nbclient import NotebookClient

    folder = {"metadata": {"path": str(path.resolve().parent)}}
    client = NotebookClient(
        notebook, km=this_python(), timeout=timeout_s, resources=folder, coalesce_streams=True
    )
    with TemporaryFile() as log:  # the kernel's own chatter, told only when it dies
        try:
            with client.setup_kernel(cleanup_kc=True, stdout=log, stderr=log):
                for index, cell in enumerate(notebook.cells):
                    failure = run_cell(client, cell, index)
                    yield shown(cell)
                    if failure:
                        raise NbchatError(f"Cell {index + 1} of {path} {failure}.")
                client.set_widgets_metadata()
        except RuntimeError as error:
            raise NbchatError(f"The kernel did not start; {last_words(log)}.") from error


def run_cell(client: Any, cell: Any, index: int) -> str | None:
    """What went wrong in the cell, None when nothing did."""
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    try:
        client.execute_cell(cell, index)
    except CellExecutionError as error:
        return f"failed with {error.ename}; the rest was not run"
    except CellTimeoutError:
        return f"ran longer than --timeout {client.timeout}; the rest was not run"
    except DeadKernelError:
        return "ended its kernel; the rest was not run"
    return None


def last_words(log: IO[bytes]) -> str:
    """The last line a dead kernel wrote."""
    log.seek(0)
    lines = plain(log.read().decode(errors="replace")).strip().splitlines()
    return f"its last words: {lines[-1]}" if lines else "it said nothing"


def this_python() -> Any:
    """A manager for kernels of this very interpreter, whatever kernels are installed."""
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    class ThisPython(KernelSpecManager):
        def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
            argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
            argv += ["--log-level=ERROR"]
            return KernelSpec(argv=argv, display_name="This Python", language="python")

    return AsyncKernelManager(kernel_name="python3", kernel_spec_manager=ThisPython())


def shown(cell: Any) -> str:
    """A cell as text: prose as it is, code behind its prompt, then its outputs."""
    if cell.cell_type != "code":
        return plain(cell.source) + "\n"
    number = cell.execution_count or " "
    lines = [prompted(f"In [{number}]: ", cell.source)]
    lines += [shown_output(output) for output in cell.outputs]
    return "\n".join(line for line in lines if line) + "\n"


def shown_output(output: Any) -> str:
    """One output of a cell as text."""
    if output.output_type == "stream":
        return plain(output.text).rstrip("\n")
    if output.output_type == "error":
        return plain("\n".join(output.traceback) or f"{output.ename}: {output.evalue}")
    data = output.data
    text = data.get("text/plain", f"[{', '.join(data)}]")
    text = text if isinstance(text, str) else json.dumps(text)
    if output.output_type == "execute_result":
        return prompted(f"Out[{output.execution_count or ' '}]: ", text)
    return plain(text)


def prompted(prompt: str, text: str) -> str:
    """The text behind a prompt; tables and other blocks begin on a line of their own."""
    text = plain(text)
    if prompt.startswith("Out") and "\n" in text:
        return f"{prompt.rstrip()}\n{text}"
    return prompt + text.replace("\n", "\n" + "...: ".rjust(len(prompt)))


def plain(text: str) -> str:
    """The text as a terminal would leave it, without anything that steers a terminal."""
    text = CONTROLS.sub(lambda found: "\r" if found[0] == "\r" else "", text.replace("\r\n", "\n"))
    lines = text.split("\n")
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines)


def open_command(notebook: Path) -> str:
    """How to open the notebook in JupyterLab, with this environment's own jupyter if it has one."""
    program = "jupyter"
    own = Path(sys.executable).with_name("jupyter.exe" if os.name == "nt" else "jupyter")
    if sys.prefix != sys.base_prefix and own.exists():
        inside = own.is_relative_to(Path.cwd())
        program = str(own.relative_to(Path.cwd()) if inside else own)
    return shlex.join([program, "lab", str(notebook)])
