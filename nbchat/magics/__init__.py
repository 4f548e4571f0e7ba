"""The magics: parse, call, show. They hold no logic of a turn."""

from typing import Any


def load(shell: Any) -> None:
    """Add the magics to the shell."""


def unload(shell: Any) -> None:
    """Take the magics away again."""
