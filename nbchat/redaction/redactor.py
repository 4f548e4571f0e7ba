"""A redactor: text in, the same text with what its rules find masked.

Invariant: masking what is masked already changes nothing. Masks split a text, and each piece
is searched as if it were alone, until no rule finds anything in any piece. The passes are
counted, so that no text takes more than time in proportion to its length.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from nbchat.errors import ConfigError
from nbchat.redaction.personal import PERSONAL
from nbchat.redaction.rules import Rule
from nbchat.redaction.secrets import SECRETS

# a mask may uncover the next match; a text that goes on like that is made to
PASSES = 16
NAME = re.compile(r"[^\[\]\s](?:[^\[\]\r\n]*[^\[\]\s])?")


class Redactor:
    """Masks secrets and personal data in a text: `redactor(text)`.

    `rules` adds your own as `(name, regular expression)` or `Rule`; they go first. A group
    named `value` says which part of a match is masked. What is masked reads `[name]`.
    """

    def __init__(
        self,
        secrets: bool = True,
        personal: bool = True,
        rules: Iterable[Rule | tuple[str, str]] = (),
    ) -> None:
        own = tuple(_rule(rule) for rule in rules)
        self.rules = own + SECRETS * secrets + PERSONAL * personal
        names = sorted({rule.name for rule in (*own, *SECRETS, *PERSONAL)}, reverse=True)
        self._masks = re.compile(rf"(\[(?:{'|'.join(map(re.escape, names))})\])")

    def __call__(self, text: str) -> str:
        """The text with everything found replaced by its mask, the rest as it was."""
        return self._redacted(text)[0]

    def count(self, text: str) -> dict[str, int]:
        """How many of each kind would be masked; {} when there are none."""
        return dict(self._redacted(text)[1])

    def _redacted(self, text: str) -> tuple[str, Counter[str]]:
        found: Counter[str] = Counter()
        rules = [rule for rule in self.rules if rule.hint(text)]
        pieces = self._masks.split(text)  # every second one is a mask
        for left in reversed(range(PASSES)):
            before = len(pieces)
            for rule in rules:
                pieces = _cut(rule, pieces, found, whole=not left)
            if len(pieces) == before:
                break
        return ("".join(pieces) if found else text), found


def _rule(given: Rule | tuple[str, str]) -> Rule:
    try:
        rule = given if isinstance(given, Rule) else Rule(given[0], re.compile(given[1]))
    except (re.error, TypeError, IndexError) as error:
        raise ConfigError(
            f"{given!r} is no rule: {error}. Give a name and a regular expression."
        ) from error
    if not isinstance(rule.name, str) or not NAME.fullmatch(rule.name):
        raise ConfigError(
            f"A rule can't be named {rule.name!r}: it becomes the mask. Use words without brackets."
        )
    return rule


def _cut(rule: Rule, pieces: list[str], found: Counter[str], whole: bool) -> list[str]:
    """The pieces with those that the rule finds something in cut up around masks.

    With `whole` such a piece is masked from end to end instead, so that nothing is left in it.
    """
    cut: list[str] = []
    for place, piece in enumerate(pieces):
        if place % 2 or not piece or not rule.hint(piece):
            cut.append(piece)
            continue
        end = 0
        spans = _spans(rule, piece)
        for start, stop in [(0, len(piece))] * any(True for _ in spans) if whole else spans:
            cut += (piece[end:start], f"[{rule.name}]")
            found[rule.name] += 1
            end = stop
        cut.append(piece[end:])
    return cut


def _spans(rule: Rule, text: str) -> Iterator[tuple[int, int]]:
    """Where the rule finds what it is to mask, first to last."""
    group = "value" if "value" in rule.pattern.groupindex else 0
    for match in rule.pattern.finditer(text):
        start, stop = match.span(group)
        if start < stop and (rule.accepts is None or rule.accepts(match[group])):
            yield start, stop
