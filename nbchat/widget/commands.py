"""Slash commands: a line that begins with `/word` does something instead of being asked.

A user's own command is a function from the text behind the word to the text that is asked in
its place; None asks nothing. What it says of itself is the first line of its docstring.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

from nbchat.errors import ConfigError

Command = Callable[[str], str | None]

BUILT_IN = {
    "model": "go on with another model: /model provider/name",
    "system": "set the instructions: /system Be brief.",
    "new": "start a new chat: /new [name]",
    "export": "write the chat to a file: /export chat.html",
    "help": "list the commands",
}
LINE = re.compile(r"/(?P<word>\w+)(?:\s+(?P<rest>.*))?", re.DOTALL)


def checked_commands(given: Mapping[str, Any] | None) -> dict[str, Command]:
    """The user's own commands; raises ConfigError for a name that cannot be typed, or is taken."""
    commands = dict(given or {})
    for name, command in commands.items():
        if not re.fullmatch(r"\w+", str(name)):
            raise ConfigError(f"commands={{{name!r}: ...}}: a command's name is one word.")
        if name in BUILT_IN:
            raise ConfigError(f"/{name} is the panel's own command. Choose another name.")
        if not callable(command):
            raise ConfigError(f"commands={{{name!r}: ...}} is not a function from text to text.")
    return commands


def listed(own: Mapping[str, Command]) -> list[dict[str, str]]:
    """Every command with what it does, for completion and help."""
    told = {
        name: (inspect.getdoc(command) or "").partition("\n")[0] for name, command in own.items()
    }
    return [{"name": name, "info": text} for name, text in {**BUILT_IN, **told}.items()]


def in_words(own: Mapping[str, Command]) -> str:
    """The same as text."""
    return "\n".join(f"/{item['name']}: {item['info']}" for item in listed(own))


def split_command(text: str, own: Mapping[str, Command]) -> tuple[str, str] | None:
    """The command's word and what follows it; None for text that is to be asked.

    Raises ConfigError for a word that is no command: what looks like one is never sent.
    """
    found = LINE.fullmatch(text.strip())
    if found is None:
        return None
    word = found["word"]
    if word not in BUILT_IN and word not in own:
        raise ConfigError(
            f"There is no command /{word}: /help lists them. Nothing was sent; put a word before "
            "the slash to send it as text."
        )
    return word, (found["rest"] or "").strip()
