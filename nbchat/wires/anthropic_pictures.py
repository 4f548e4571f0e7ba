"""Which pictures that tools returned go in a request to Anthropic: the newest, within its limits.

Every request repeats the whole history, and the API refuses one whole for a single picture too
many: unlike what a user attached, nobody chose these, so what does not fit is told in words.
Source: platform.claude.com, Vision, general limits (sides, 32 MB a request, 100 pictures for
most models, 5 MB a picture in base64 where it is lowest).
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from nbchat.messages import File, Image, Message, attached_in

MOST_PICTURES, MOST_BYTES = 100, 20_000_000
PICTURE_BYTES = 5 * 1024 * 1024 // 4 * 3
SIDE, SIDE_OF_MANY, FEW = 8_000, 2_000, 20


def left_out(messages: Iterable[Message], files: Mapping[str, bytes]) -> Counter[str]:
    """How often each of the tools' pictures stays behind, by digest; those are its first times."""
    asked, shown = _named(messages, files)
    fit = [
        image
        for image in shown
        if _side(image) <= SIDE and 0 < len(files.get(image.digest, b"")) <= PICTURE_BYTES
    ]
    count = MOST_PICTURES - sum(isinstance(part, Image) for part in asked)
    room = MOST_BYTES - sum(len(files[part.digest]) for part in asked)
    if MOST_PICTURES - count + len(fit) > FEW:
        fit = [image for image in fit if _side(image) <= SIDE_OF_MANY]
    out = Counter(image.digest for image in shown)
    for image in reversed(fit):
        count -= 1
        room -= len(files[image.digest])
        if count < 0 or room < 0:
            break
        out[image.digest] -= 1
    return out


def _named(
    messages: Iterable[Message], files: Mapping[str, bytes]
) -> tuple[list[Image | File], list[Image]]:
    """What users attached, as far as there are bytes, and the tools' pictures, first to last."""
    asked: list[Image | File] = []
    shown: list[Image] = []
    for message in messages:
        named = list(attached_in(message.parts))
        if message.role == "user":
            asked += [part for part in named if part.digest in files]
        else:
            shown += [part for part in named if isinstance(part, Image)]
    return asked, shown


def _side(image: Image) -> int:
    """The longer side in pixels; one whose first bytes do not tell it is broken, and never fits."""
    return max(image.width, image.height) if image.width and image.height else SIDE + 1
