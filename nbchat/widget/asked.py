"""What the page may ask of the kernel, checked field by field.

Invariant: what `parse_op` gives is of a known kind with fields of the right types; anything else
is None, and ignored. The page's side of the table is panel.js.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

LONGEST = 2_000_000  # characters of one field

FIELDS: dict[str, dict[str, type]] = {
    "hello": {"have": int},
    "send": {"rid": str, "text": str},
    "stop": {},
    "decide": {"call": str, "nonce": str, "ok": bool, "always": bool},
    "older": {"before": str},
    "source": {"rid": str, "id": str},
    "picture": {"rid": str, "digest": str},
    "retry": {"rid": str, "id": str},
    "edit": {"rid": str, "id": str, "text": str},
    "switch": {"rid": str, "id": str},
    "fork": {"rid": str, "id": str},
    "drop": {"rid": str, "id": str},
    "rate": {"id": str, "rating": int, "note": str},
    "model": {"rid": str, "name": str},
    "list": {"rid": str, "query": str},
    "open": {"rid": str, "id": str},
    "new": {"rid": str},
    "rename": {"rid": str, "id": str, "title": str},
    "pin": {"rid": str, "id": str, "on": bool},
    "delete": {"rid": str, "id": str},
    "names": {"rid": str, "prefix": str},
    "draft": {"text": str},
    "attach": {"rid": str, "name": str, "type": str},
    "figure": {"rid": str},
    "unattach": {"id": str},
}
UNSAID = {"have": -1, "note": "", "always": False, "type": "", "query": "", "rid": ""}


@dataclass(frozen=True, slots=True)
class Op:
    """One wish of the page; `rid` is the page's own id of it, '' where it needs none."""

    name: str
    values: Mapping[str, Any] = field(default_factory=dict)
    data: bytes = b""

    @property
    def rid(self) -> str:
        """The page's own id of this wish."""
        return str(self.values.get("rid", ""))

    def __getitem__(self, key: str) -> Any:
        return self.values[key]


def parse_op(content: Any, buffers: Sequence[Any] = ()) -> Op | None:
    """The wish in a custom message; None for what is none."""
    if not isinstance(content, Mapping) or content.get("op") not in FIELDS:
        return None
    fields = FIELDS[content["op"]]
    values = {key: content.get(key, UNSAID.get(key)) for key in fields}
    for key, kind in fields.items():
        value = values[key]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            return None
        if isinstance(value, str) and len(value) > LONGEST:
            return None
    return Op(content["op"], values, bytes(buffers[0]) if buffers else b"")
