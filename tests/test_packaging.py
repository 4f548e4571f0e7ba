"""The wheel holds what it must, works where it is put, and importing it is cheap."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import nbchat

ROOT = Path(nbchat.__file__).parents[1]
HEAVY = ("pandas", "duckdb", "httpx", "pydantic", "IPython", "ipywidgets", "genai_prices")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of this checkout, built as an installer would."""
    dist = tmp_path_factory.mktemp("dist")
    command = ["-m", "build", "--wheel", "--no-isolation", "--outdir", str(dist), str(ROOT)]
    subprocess.run([sys.executable, *command], check=True, capture_output=True)
    (built,) = dist.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def unpacked(wheel, tmp_path_factory):
    """The wheel's files in a folder of their own."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def python(code, *args, where, **env):
    """What a fresh Python prints, with `where` as the only place that nbchat can come from."""
    process = subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        env={**os.environ, "PYTHONPATH": str(where), **env},
        cwd=where,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (process.returncode, process.stderr) == (0, "")
    return process.stdout.split()


def test_the_wheel_holds_the_package_whole_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())

    sources = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "nbchat").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    info = f"nbchat-{nbchat.__version__}.dist-info/"
    beside = {name for name in names if not name.startswith(info)}
    assert beside == sources | {"nbchat/schema.sql"}
    assert {"nbchat/py.typed", "nbchat/analytics/questions/usage.sql"} <= beside
    assert info + "licenses/LICENSE" in names


def test_the_wheels_schema_is_the_repositorys_byte_for_byte(unpacked):
    assert (unpacked / "nbchat/schema.sql").read_bytes() == (ROOT / "schema.sql").read_bytes()


def test_the_wheel_makes_and_asks_a_store(unpacked, tmp_path):
    code = """
import sys, nbchat
from nbchat.store import schema
assert nbchat.__file__.startswith(sys.argv[2]), nbchat.__file__
chat = nbchat.create_chat("function/x", store=sys.argv[1], respond=lambda request: "hi")
chat.ask("hello")
print(chat.stats()["turns"][0], len(chat.store.sql("show tables")))
"""

    printed = python(code, tmp_path / "chats.duckdb", unpacked, where=unpacked)

    assert printed == ["1", "10"]


def test_the_wheel_says_what_it_needs_and_starts(unpacked):
    info = unpacked / f"nbchat-{nbchat.__version__}.dist-info"
    metadata = (info / "METADATA").read_text(encoding="utf-8")
    needed = set(re.findall(r"^Requires-Dist: ([\w-]+)[^;\n]*$", metadata, re.MULTILINE))

    assert {"duckdb", "ipywidgets", "httpx", "pydantic", "pandas"} <= needed
    assert "Requires-Python: >=3.11" in metadata
    assert "nbchat = nbchat.cli:main" in (info / "entry_points.txt").read_text(encoding="utf-8")


def test_every_dependency_that_is_named_is_imported_somewhere():
    panel = {"ipywidgets"}  # what the panel is made of; promised from the first version on
    metadata = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = metadata.partition("dependencies = [")[2].partition("\n]")[0]
    needed = re.findall(r'^  "([a-z0-9-]+)', block, re.MULTILINE)
    modules = {"markdown-it-py": "markdown_it"}
    sources = "\n".join(path.read_text("utf-8") for path in (ROOT / "nbchat").rglob("*.py"))

    unused = [
        name
        for name in needed
        if not re.search(
            rf"\b(import|from) {modules.get(name, name.replace('-', '_'))}\b|"
            rf"import_module\(\"{name.replace('-', '_')}",
            sources,
        )
    ]

    assert len(needed) >= 10
    assert set(unused) <= panel


def test_importing_loads_nothing_heavy():
    code = "import sys, nbchat; print(*(name for name in sys.argv[1:] if name in sys.modules))"

    assert python(code, *HEAVY, where=ROOT) == []


def test_importing_starts_no_thread_and_makes_no_file(tmp_path):
    code = """
import os, threading, nbchat
nbchat.Chat, nbchat.open_store, nbchat.tool
print(threading.active_count(), os.listdir(os.environ["HERE"]))
"""

    assert python(code, where=ROOT, HERE=str(tmp_path), NBCHAT_DB=str(tmp_path / "x.duckdb")) == [
        "1",
        "[]",
    ]


def test_every_public_name_can_be_had_and_is_listed_in_order():
    assert nbchat.__all__ == sorted(nbchat.__all__)
    assert dir(nbchat) == nbchat.__all__
    assert [name for name in nbchat.__all__ if getattr(nbchat, name, None) is None] == []
    with pytest.raises(AttributeError, match="has no attribute 'nope'"):
        _ = nbchat.nope


def test_what_a_type_checker_sees_is_what_can_be_had():
    source = (ROOT / "nbchat/__init__.py").read_text(encoding="utf-8")
    seen = set(re.findall(r"\w+", source.partition("if TYPE_CHECKING:")[2]))

    assert set(nbchat._HOMES) <= seen
    assert set(nbchat.__all__) - set(nbchat._HOMES) == {
        "__version__",
        "load_ipython_extension",
        "unload_ipython_extension",
    }


def test_the_version_is_the_changelogs_latest():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")

    versions = re.findall(r"^## \[?(\d+\.\d+\.\d+)\]?", changelog, re.MULTILINE)

    assert versions[0] == nbchat.__version__
