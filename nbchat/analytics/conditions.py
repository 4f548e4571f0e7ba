"""Which rows a question is about, checked and as its .sql file takes it.

Pure: knows no question and asks none.
"""

from collections.abc import Mapping
from typing import Any

from nbchat.errors import ConfigError
from nbchat.store.values import dump_json


def metadata_json(metadata: Mapping[str, Any] | None) -> str:
    """The metadata that chats must have as a JSON object. Raises ConfigError for no mapping."""
    if metadata is not None and not isinstance(metadata, Mapping):
        raise ConfigError(f"metadata={metadata!r} is not a mapping. Give it as {{'user_id': 7}}.")
    return dump_json(dict(metadata or {}))


def checked_limit(limit: int) -> int:
    """The number of rows wanted. Raises ConfigError for anything but a whole number from 1."""
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit < 2**63:
        raise ConfigError(f"limit={limit!r} is not a number of rows. Give 1 or more.")
    return limit
