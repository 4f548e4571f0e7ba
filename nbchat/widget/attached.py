"""What goes with the next message: files that were dropped, figures, and variables that it names.

Each has a chip that says what it is and about how many tokens it takes, before it is sent.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nbchat.attachments import attachment_of
from nbchat.errors import ConfigError
from nbchat.messages import Attachment
from nbchat.render.plain import clean, one_line, size_in_words
from nbchat.render.values import data_url
from nbchat.store.identity import new_id
from nbchat.variables import MARK, in_words, is_frame, is_value

CHARS_PER_TOKEN = 4
IMAGE_TOKENS = 1_500  # about what a large picture takes
THUMB_BYTES = 100_000
OFFERED = 20

Names = Callable[[], Mapping[str, Any]]


@dataclass(slots=True)
class Attached:
    """The chips of one panel's composer; `names` are the notebook's variables."""

    names: Names
    items: dict[str, Attachment] = field(default_factory=dict)

    def add(self, value: Any, name: str) -> None:
        """Attach bytes, a picture or a figure; raises ConfigError for what cannot be sent."""
        self.items[new_id()] = attachment_of(value, name=clean(name))

    def remove(self, id_: str) -> None:
        """Take back what was attached."""
        self.items.pop(id_, None)

    def of(self, text: str) -> list[Attachment]:
        """All that goes with this text: what was attached, then the variables it names."""
        named = [
            Attachment(name, "text/plain", said.encode("utf-8", "replace"))
            for name, said in self.named(text).items()
        ]
        return [*self.items.values(), *named]

    def named(self, text: str) -> dict[str, str]:
        """What is said of each variable that the text names."""
        names, found = self.names(), {}
        for mark in MARK.finditer(text):
            name = mark["name"]
            if name in names and is_value(names[name]):
                found[name] = _said(names[name])
        return found

    def chips(self, text: str) -> list[dict[str, Any]]:
        """One chip for each thing that goes with this text."""
        chips = [chip_of(id_, item) for id_, item in self.items.items()]
        try:
            named, error = self.named(text), ""
        except ConfigError as failed:
            named, error = {"": ""}, str(failed)
        for name, said in named.items():
            chip = _chip(f"@{name}", f"@{name}", len(said) // CHARS_PER_TOKEN)
            chips.append(chip | {"error": error})
        return chips

    def offered(self, prefix: str) -> list[dict[str, str]]:
        """The variables whose names begin so, for completion."""
        found = [
            {"name": name, "kind": type(value).__name__, "info": _shape(value)}
            for name, value in sorted(self.names().items())
            if name.startswith(prefix) and not name.startswith("_") and is_value(value)
        ]
        return found[:OFFERED]


def _said(value: Any) -> str:
    try:
        return in_words(value)
    except Exception as error:
        raise ConfigError(f"A variable could not be put into words: {error}") from error


def _shape(value: Any) -> str:
    if is_frame(value):
        return f"{len(value):,} rows × {len(value.columns):,} columns"
    return one_line(value, 40) if isinstance(value, str) else ""


def chip_of(id_: str, item: Attachment) -> dict[str, Any]:
    """The chip of something that was attached."""
    is_image = item.media_type.startswith("image/")
    tokens = IMAGE_TOKENS if is_image else len(item.data) // CHARS_PER_TOKEN
    chip = _chip(id_, item.name, tokens) | {"size": size_in_words(len(item.data))}
    if len(item.data) <= THUMB_BYTES:
        chip["thumb"] = data_url(item.media_type, item.data)
    return chip


def _chip(id_: str, label: str, tokens: int) -> dict[str, Any]:
    info = f"about {tokens:,} tokens" if tokens else ""
    return {"id": id_, "label": one_line(label, 60), "tokens": tokens, "info": info}
