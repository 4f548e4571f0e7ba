"""The page's module: its own tests run by node, and what its text may never contain."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from nbchat.render.highlight import COLORS

HERE = Path(__file__).parent
STATIC = HERE.parents[1] / "nbchat" / "widget" / "static"
FORBIDDEN = [
    "http://", "https://", "eval", "Function(", "import(", "document.write", "insertAdjacentHTML",
    "outerHTML", "srcdoc", "createContextualFragment", "DOMParser",
]  # fmt: skip


def panel_js() -> str:
    return (STATIC / "panel.js").read_text(encoding="utf-8")


def test_the_modules_own_tests_pass() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed: it runs the tests of panel.js")
    run = subprocess.run(
        [node, "--test", str(HERE / "panel.test.mjs")],
        capture_output=True, text=True, encoding="utf-8", timeout=120, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_module_is_under_40_kb() -> None:
    assert (STATIC / "panel.js").stat().st_size < 40 * 1024


@pytest.mark.parametrize("word", FORBIDDEN)
def test_the_module_neither_runs_text_nor_names_an_address(word: str) -> None:
    assert word not in panel_js()


def test_markup_goes_into_the_page_at_one_place() -> None:
    assert len(re.findall("innerHTML", panel_js())) == 1


def test_the_styles_load_nothing() -> None:
    css = (STATIC / "panel.css").read_text(encoding="utf-8")
    assert not re.search(r"url\(|@import|@font-face|https?:", css)


def test_every_colour_of_code_is_made_to_read_on_every_page() -> None:
    styles = (STATIC / "panel.css").read_text(encoding="utf-8")
    used = set(re.findall("#[0-9a-f]{6}", " ".join(COLORS.values())))

    assert set(re.findall(r'style\*="(#[0-9a-f]{6})"\] { --nbc-hue: \1; }', styles)) == used
