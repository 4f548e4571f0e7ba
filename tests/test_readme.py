"""The README keeps its promises: its commands are CI's, its Python runs as it stands."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from nbchat.local.weights import DEFAULT_MODEL, is_pulled

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def test_there_are_exactly_two_commands_and_ci_runs_both() -> None:
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()

    commands = [block.strip() for block in blocks("sh")]

    assert len(commands) == 2
    assert set(commands) <= set(ci)


@pytest.mark.skipif(
    find_spec("xllamacpp") is None or not is_pulled(DEFAULT_MODEL),
    reason="needs the embedded model: nbchat pull",
)
def test_the_python_of_the_readme_runs_from_top_to_bottom(tmp_path: Path) -> None:
    program = "\n".join(blocks("python"))

    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PATH": "", "HOME": str(Path.home()), "NBCHAT_MODEL": f"local/{DEFAULT_MODEL}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.endswith("You said 'hello'.\n")
    assert (tmp_path / "orders.duckdb").exists()


def test_every_local_link_of_the_readme_leads_somewhere() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)

    missing = [link for link in links if not (ROOT / link).exists()]

    assert links
    assert missing == []
