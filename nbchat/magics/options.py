"""What stands behind a magic's name: options first, then text that is taken as it is.

Text begins at the first word that is no option, or after `--`: apostrophes, quotes and dashes
in it need no care. Only values of options may be quoted.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from IPython.core.error import UsageError

F = TypeVar("F", bound=Callable[..., object])

FLAG = re.compile(r"\s*(--?[A-Za-z][\w-]*)(?=[\s=]|$)")
VALUE = re.compile(r"""(?:=|\s+)(?:"([^"]*)"|'([^']*)'|(\S+))""")
END = re.compile(r"\s*--(?=\s|$)")
QUESTION = re.compile(r"^(\s*(?:[^\W\d]\w*\s*=\s*)?)%chat[ \t]+(\S.*\?)[ \t]*$")
BINDING = re.compile(r"\s*([^\W\d]\w*)\s*<<\s*")


@dataclass(frozen=True, slots=True)
class Option:
    """An option: its long name, its letter, what its value is called ('' for a switch)."""

    name: str
    letter: str
    value: str
    about: str

    @property
    def flags(self) -> tuple[str, ...]:
        """How it may be written."""
        return (f"-{self.letter}", f"--{self.name}") if self.letter else (f"--{self.name}",)


HELP = Option("help", "h", "", "show this")
CHAT = (
    Option("model", "m", "MODEL", "go on with this model, provider/name"),
    Option("chat", "c", "NAME", "go on with this chat: a variable, else by name; made if new"),
    Option("system", "s", "TEXT", "the chat's instructions from now on"),
    Option("temperature", "t", "NUMBER", "for this turn only"),
    Option("out", "o", "NAME", "bind the message to this variable"),
    Option("format", "f", "FORMAT", "html (default), text, or json: the answer read as JSON"),
    Option("raw", "", "", "send {{ }} and @ as they are"),
    Option("new", "", "", "start a new chat"),
    Option("dry-run", "", "", "show what would be sent; send and store nothing"),
    Option("quiet", "q", "", "show nothing"),
    HELP,
)
CHATSQL = (Option("out", "o", "NAME", "bind the frame to this variable, as `NAME <<` does"), HELP)


def documented(options: Sequence[Option]) -> Callable[[F], F]:
    """Adds the options to a magic's docstring, which `?` shows and `-h` prints."""
    rows = [
        (", ".join(option.flags) + f" {option.value}".rstrip(), option.about) for option in options
    ]
    lines = ["", "Options:", *(f"  {left:<24} {about}" for left, about in rows)]

    def document(magic: F) -> F:
        summary = [
            line.removeprefix("        ") for line in (magic.__doc__ or "").rstrip().splitlines()
        ]
        magic.__doc__ = "\n".join([*summary, *lines])
        return magic

    return document


def parse(line: str, options: Sequence[Option]) -> tuple[dict[str, str], str]:
    """The options given, by long name, and the text; raises UsageError for a wrong one."""
    known = {flag: option for option in options for flag in option.flags}
    given: dict[str, str] = {}
    at = 0
    while found := FLAG.match(line, at):
        flag = found[1]
        at = found.end()
        if flag not in known:
            raise UsageError(
                f"There is no option {flag}. -h lists the options; "
                "put -- before text that begins with a dash."
            )
        option = known[flag]
        given[option.name] = ""
        if option.value:
            value = VALUE.match(line, at)
            if value is None:
                raise UsageError(f"{flag} needs a value: {flag} {option.value}.")
            given[option.name] = next(group for group in value.groups() if group is not None)
            at = value.end()
    if end := END.match(line, at):
        at = end.end()
    return given, line[at:].strip()


def split_binding(text: str) -> tuple[str, str]:
    """The NAME of `NAME << text`, '' if there is none, and the text."""
    found = BINDING.match(text)
    return (found[1], text[found.end() :]) if found else ("", text)


def keep_questions(lines: list[str]) -> list[str]:
    """`%chat who?` asks: IPython takes a line that ends in `?` for a call for its own help."""
    if lines and lines[0].startswith("%%"):
        return lines
    return [
        QUESTION.sub(
            lambda found: f"{found[1]}get_ipython().run_line_magic('chat', {found[2]!r})", line
        )
        for line in lines
    ]
