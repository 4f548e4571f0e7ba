"""The notebooks run from top to bottom, twice, and are fit to be read as they are."""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import nbformat
import pytest

from nbchat.local.weights import DEFAULT_MODEL, is_pulled

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

pytestmark = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.mark.skipif(
    find_spec("xllamacpp") is None or not is_pulled(DEFAULT_MODEL),
    reason="needs the embedded model: nbchat pull",
)
def test_it_runs_and_runs_again_on_the_file_it_made(path: Path, tmp_path: Path) -> None:
    shutil.copy(path, tmp_path)
    environment = {
        **os.environ,
        "NBCHAT_MODEL": f"local/{DEFAULT_MODEL}",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }

    for _ in range(2):
        run = subprocess.run(
            [sys.executable, "-m", "pytest", "--nbmake", "-p", "no:cacheprovider", path.name],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stdout
        assert "1 passed" in run.stdout


def test_it_is_short_cell_by_cell_and_shows_only_harmless_kinds_of_output(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)

    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    kinds = {kind for cell in code for output in cell.outputs for kind in output.get("data", {})}
    assert code
    assert all(len(cell.source.splitlines()) <= 3 for cell in code)
    assert kinds <= {"text/html", "text/plain"}


def test_it_tells_nothing_of_the_machine_it_ran_on(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    for trace in (str(ROOT), str(Path.home()), os.sep + "tmp" + os.sep, "site-packages"):
        assert trace not in text
