"""The care of stores from the command line: init, migrate, doctor, purge, compact, export.

Each is one call and what it found, in words; a store that needs attention exits with 1.
"""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbchat.errors import ConfigError

if TYPE_CHECKING:
    from nbchat.store import Store
    from nbchat.store.sets import TableSet


# what Python calls these options
OPTIONS = {"repair=True": "--repair", "overwrite=True": "--overwrite"}


def add_commands(commands: Any) -> None:
    """Add these commands to the parser's."""
    new = commands.add_parser("init", help="create a store, or print the schema for review")
    new.add_argument("path", nargs="?", metavar="PATH", help="without it the schema is printed")
    new.set_defaults(command=init)
    forward = _store_command(commands, "migrate", migrate, "bring a store to the current schema")
    forward.add_argument("--dry-run", action="store_true", help="only show what is due")
    check = _store_command(commands, "doctor", doctor, "check that a store is whole")
    check.add_argument("--repair", action="store_true", help="repair what can be repaired")
    clear = _store_command(commands, "purge", purge, "delete turns that are older than some age")
    clear.add_argument("--older-than", required=True, metavar="AGE", help="30d, 90min or a date")
    clear.add_argument("--content-only", action="store_true", help="keep every metric")
    clear.add_argument("--dry-run", action="store_true", help="only count")
    _store_command(commands, "compact", compact, "write a store anew, without deleted text")
    out = _store_command(commands, "export", export, "a chat as a file, or a store as Parquet")
    out.add_argument("--chat", metavar="ID_OR_NAME", help="one chat; without it the whole store")
    out.add_argument("--out", required=True, type=Path, help=".md, .html, .jsonl, .ipynb; a folder")
    out.add_argument("--overwrite", action="store_true", help="replace what is there")


def as_options(text: str) -> str:
    """The text with the options of the command line in the place of Python's."""
    for python, option in OPTIONS.items():
        text = text.replace(python, option)
    return text


def _store_command(commands: Any, name: str, command: Any, about: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=about)
    parser.add_argument("path", nargs="?", metavar="PATH", help="NBCHAT_DB, else ./nbchat.duckdb")
    parser.set_defaults(command=command)
    return parser


def init(args: argparse.Namespace) -> int:
    """Creates a store where there is nothing yet, or prints the schema."""
    from nbchat.store import open_store
    from nbchat.store.schema import VERSION, schema_sql

    if args.path is None:
        print(schema_sql(), end="")
        return 0
    if os.path.lexists(args.path):
        raise ConfigError(f"{args.path} is there already and was not touched. Name a new file.")
    with open_store(args.path) as store:
        print(f"Created {store.path}, schema version {VERSION}.")
    return 0


def migrate(args: argparse.Namespace) -> int:
    """Shows what is due on a store, and does it unless it is a dry run."""
    from nbchat.store import migration_due

    place = _with_default_tables(args.path)
    found = migration_due(place)
    if found is None:
        print(f"{place} is current.")
        return 0
    print(f"{place} has schema version {found.version}. Due:")
    for step in found.steps:
        print(f"\n-- {step.name}\n{step.read_text(encoding='utf-8').rstrip()}")
    if args.dry_run:
        print(f"\nNothing was changed. A copy would be kept in {found.backup}.")
        return 0
    before = _backups(place)
    _open(args.path).close()
    kept = sorted(_backups(place) - before)
    print("\nMigrated.", *(f"The store as it was is kept in {backup}." for backup in kept))
    return 0


def doctor(args: argparse.Namespace) -> int:
    """Prints one line per check; 1 when something is wrong that is not only worth knowing."""
    from pandas import isna

    from nbchat.store.doctor import INFORMATION

    code = 0
    for row in _open(args.path).doctor(repair=args.repair).to_dict("records"):
        # the rows are NA where damage kept them from being counted
        whole = not isna(row["rows"]) and row["rows"] == row["repaired"]
        known = row["check"] in INFORMATION
        code = code if whole or known else 1
        mark = "ok" if whole else "note" if known else "WRONG"
        print(f"{mark:<5} {row['check']}: {as_options(row['what'])}")
    return code


def purge(args: argparse.Namespace) -> int:
    """Prints how many rows went, or would go."""
    counts = _open(args.path).purge(
        args.older_than, content_only=args.content_only, dry_run=args.dry_run
    )
    row = counts.iloc[0]
    print(
        f"{'Would remove' if args.dry_run else 'Removed'} what is older than {row['older_than']}:"
    )
    for name in ("chats", "messages", "tool_calls", "requests", "agent_sessions"):
        print(f"  {name:<15} {row[name]}")
    if not args.dry_run:
        print("`nbchat compact` takes it out of the file's bytes too.")
    return 0


def compact(args: argparse.Namespace) -> int:
    """Prints the file's size before and after."""
    from nbchat.store import compact_at

    place = _existing(args.path)
    _sets(place)
    row = compact_at(place).iloc[0]
    print(f"{row['bytes_before']:,} bytes before, {row['bytes_after']:,} after.")
    return 0


def export(args: argparse.Namespace) -> int:
    """Prints where the chat or the store was written."""
    from nbchat.chat import load_chat

    store = _open(args.path)
    if args.chat is None:
        if args.out.suffix:
            raise ConfigError(f"{args.out} is a file, for one chat. Give --chat, or a folder.")
        for row in store.export(args.out, overwrite=args.overwrite).itertuples():
            print(f"{row.rows:>10,} {row.path}")
        return 0
    chat = load_chat(args.chat, store=store)
    if chat is None:
        raise ConfigError(f"{store.path} has no chat {args.chat!r}.")
    print(chat.export(args.out, overwrite=args.overwrite))
    return 0


def _open(path: str | None) -> "Store":
    from nbchat.store import open_store

    return open_store(_with_default_tables(path))


def _with_default_tables(path: str | None) -> Path:
    """The store that is meant; opening one without these tables would make them."""
    from nbchat.store.sets import DEFAULT

    place = _existing(path)
    sets = _sets(place)
    if DEFAULT not in sets:
        names = ", ".join(f'"{found.schema}"."{found.chats}"' for found in sets)
        raise ConfigError(
            f"{place} has no tables of the default names: its chats are in {names}. Do it in "
            "Python, with the names: open_store(path, table_names=..., schema=...)."
        )
    return place


def _sets(place: Path) -> "tuple[TableSet, ...]":
    from nbchat.store import table_sets

    sets = table_sets(place)
    if not sets:
        raise ConfigError(f"{place} is no nbchat store and was not touched. Name another file.")
    return sets


def _existing(path: str | None) -> Path:
    """The store that is meant; a command for a store that is not there must not make one."""
    from nbchat.store import default_place

    place = Path(default_place() if path is None else path).expanduser()
    if place.is_dir():
        raise ConfigError(f"{place} is a folder. Name the store's file.")
    if not place.is_file():
        raise ConfigError(f"There is no store {place}. Name one, or make it with `nbchat init`.")
    return place


def _backups(place: Path) -> set[Path]:
    return {
        other
        for other in place.parent.iterdir()
        if other.name.startswith(f"{place.name}.v") and other.suffix == ".bak"
    }
