"""What a rule is: a shape of text, and a test that a text of that shape is the real thing.

Invariant: a pattern takes time in proportion to the text, so every run in one is bounded,
possessive, or starts only where a run can start.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

# where a word begins: also behind the \n or \u00fc of JSON that lies in a string
START = r"(?:(?<![A-Za-z0-9])(?<!\\)|(?<=\\[nrt])|(?<=\\u[0-9a-fA-F]{4}))"
END = r"(?![A-Za-z0-9])"

RUN = re.compile(r"[A-Za-z0-9]{16,}")


def always(text: str) -> bool:
    """A hint that knows nothing."""
    return True


def has(*needles: str) -> Callable[[str], bool]:
    """A hint: whether one of these stands anywhere in a text."""
    return lambda text: any(needle in text for needle in needles)


def has_word(*words: str) -> Callable[[str], bool]:
    """A hint: whether one of these lower-case words stands anywhere in a text, in any case."""

    def hint(text: str) -> bool:
        lowered = text.lower()
        return any(word in lowered for word in words)

    return hint


@dataclass(frozen=True)
class Rule:
    """One kind of text to mask as `[name]`.

    What is masked is the pattern's group `value`, or all it matches when it has none, if
    `accepts` says yes to it. `hint` is a cheap question whose no means that the pattern
    matches nowhere in the text.
    """

    name: str
    pattern: re.Pattern[str]
    accepts: Callable[[str], bool] | None = None
    hint: Callable[[str], object] = always


def looks_random(text: str) -> bool:
    """Whether a run of 16 letters and digits in it has both: no words, no placeholder."""
    return any(mixes(run) for run in RUN.findall(text))


def mixes(text: str) -> bool:
    """Whether there are letters and digits in it."""
    return any(sign.isdigit() for sign in text) and any(sign.isalpha() for sign in text)
