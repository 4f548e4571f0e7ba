"""The command line: the embedded model's weights, notebooks, and the care of stores.

Commands parse, call and show; an error is one line on stderr and exit code 1, Ctrl-C is 130.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from nbchat import __version__
from nbchat.cli import models, notebooks, stores
from nbchat.errors import NbchatError
from nbchat.local import weights


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code."""
    args = parser().parse_args(argv)
    try:
        code: int = args.command(args)
    except (NbchatError, OSError) as error:
        said = stores.as_options(notebooks.plain(str(error)))
        print(f"nbchat: {' '.join(said.split())}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("nbchat: interrupted", file=sys.stderr)
        return 130
    return code


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    top = argparse.ArgumentParser(prog="nbchat", description="Talk to models from a notebook.")
    top.add_argument("--version", action="version", version=f"nbchat {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    get = commands.add_parser("pull", help="download the weights of the embedded model")
    get.add_argument("name", nargs="?", default=weights.DEFAULT_MODEL, metavar="NAME")
    get.add_argument("-y", "--yes", action="store_true", help="do not ask")
    get.set_defaults(command=models.pull)
    execute = commands.add_parser("run", help="execute a notebook and print what it shows")
    execute.add_argument("notebook", type=Path, metavar="NOTEBOOK")
    execute.add_argument("--out", type=Path, help="where the executed copy goes")
    execute.add_argument("--timeout", type=seconds, default=600, metavar="S", help="for each cell")
    execute.set_defaults(command=notebooks.run)
    stores.add_commands(commands)
    return top


def seconds(text: str) -> int:
    """A whole number of seconds above zero."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number
