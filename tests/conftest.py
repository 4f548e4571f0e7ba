"""For every test: hypothesis repeats its examples in CI only, and a shell leaves no trace."""

import os
import sys

import pytest
from hypothesis import settings

settings.register_profile("ci", derandomize=True, deadline=None)
if os.environ.get("CI"):
    settings.load_profile("ci")


@pytest.fixture
def main_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """The main module, put back after a shell that stood in for it; multiprocessing reads it."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
