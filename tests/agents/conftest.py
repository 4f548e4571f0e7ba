"""A DuckDB file for each test, and the four ways to ask, which the engine's tests know too."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import nbchat

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[nbchat.Store]:
    """A new store."""
    with nbchat.open_store(tmp_path / "chats.duckdb") as opened:
        yield opened


@pytest.fixture(params=["ask", "ask_stream", "aask", "aask_stream"])
def way(request: pytest.FixtureRequest) -> str:
    """The name of each way to ask."""
    return str(request.param)
