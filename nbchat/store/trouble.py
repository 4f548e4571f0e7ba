"""What DuckDB or the system said about a store, as a typed error in a sentence or two.

An error and a path in, an error out; nothing here opens the file.
"""

import errno
import os
import re

from nbchat.errors import NotAStore, StoreBusy, StoreError

HOLDER = re.compile(r"held in (.+?) \(PID (\d+)\)")
KEYS = ("open encrypted database", "Wrong encryption key", "is not encrypted")
DAMAGED = ("checksum", "Corrupt", "Could not read enough bytes")
FOREIGN_LOG = ("WAL was created for", "WAL does not match")
FULL = ("No space left", "Disk quota exceeded", "File too large")


def explain(error: Exception, path: str) -> StoreError:
    """The typed error for what DuckDB or the system said about the store at `path`."""
    text = str(error).replace(path, "the file")  # a path may hold any of these words
    if busy := _busy(text, path):
        return busy
    if not_a_store := _not_a_store(text, path):
        return not_a_store
    if "crypto module" in text:
        return StoreError(
            f"{path!r} was to be encrypted, and DuckDB writes encrypted files only with its "
            "extension httpfs. Run `INSTALL httpfs` in DuckDB once, or open it without a key."
        )
    if any(full in text for full in FULL):
        return StoreError(
            f"There is no room left to write {path!r}: {_first_line(text)} Nothing that was "
            "stored is lost. Make room and try again."
        )
    return _damage(text, path) or _access(error, text, path)


def _busy(text: str, path: str) -> StoreBusy | None:
    """Open elsewhere: in this very process, or in a program that does not know our gate."""
    if "Unique file handle conflict" in text:
        return StoreBusy(
            f"{path!r} is open in this process by a connection of its own. Close that connection, "
            "and ask with nbchat.sql(..., write=True) what you would have asked there."
        )
    if "Could not set lock" in text:
        held = HOLDER.search(text)
        who = f"{held[1]} (PID {held[2]})" if held else "another program"
        return StoreBusy(f"{path!r} is open in {who}, which does not let go. Close it there.")
    return None


def _first_line(text: str) -> str:
    line = (text.splitlines() or [""])[0].rstrip()
    return line if line.endswith((".", "!")) else f"{line}."


def _damage(text: str, path: str) -> StoreError | None:
    """Of the file or of the log beside it, which DuckDB calls WAL."""
    log = f"{path}.wal"
    if any(said in text for said in FOREIGN_LOG):
        return StoreError(
            f"The log {log!r} is of another store, or of this one at another time. Nothing was "
            "changed. Put back the file it belongs to, or move the log away to open without it."
        )
    if "replaying WAL" in text:
        return StoreError(
            f"The log {log!r} is damaged: {_first_line(text)} Nothing was changed. Restore a "
            "backup of both files, or move the log away to open the store as it was at its last "
            "checkpoint."
        )
    if any(damaged in text for damaged in DAMAGED):
        return StoreError(
            f"The store {path!r} is damaged: {_first_line(text)} It was not changed. Restore a "
            "backup, or copy what can still be read with `COPY FROM DATABASE` in DuckDB."
        )
    return None


def _not_a_store(text: str, path: str) -> NotAStore | None:
    if "not a valid DuckDB database" in text:
        return NotAStore(
            f"{path!r} is not a DuckDB file. Choose another path for the store; it was not touched."
        )
    if "newer version of DuckDB" in text or "file with version number" in text:
        return NotAStore(f"{path!r} is a DuckDB file of another version: {_first_line(text)}")
    if any(said in text for said in KEYS):
        return NotAStore(
            f"{path!r} cannot be read with the key that was given, or without one: "
            f"{_first_line(text)} Give its own encryption_key; it was not touched."
        )
    return None


def _access(error: Exception, text: str, path: str) -> StoreError:
    number = getattr(error, "errno", None)
    if number == errno.EROFS or "Read-only file system" in text:
        return StoreError(
            f"{path!r} is on a file system that cannot be written. Copy it to another place, or "
            "choose another path."
        )
    if isinstance(error, PermissionError) or "Permission denied" in text:
        what = "The file" if _is_read_only(path) else "The folder of"
        return StoreError(
            f"{what} {path!r} cannot be written. nbchat needs to write the file and its folder; "
            "change their permissions or choose another path."
        )
    if isinstance(error, FileNotFoundError) or "No such file or directory" in text:
        return StoreError(
            f"The folder of {path!r} does not exist. Create it, or choose another path."
        )
    return StoreError(f"The store {path!r} answered: {text}")


def _is_read_only(path: str) -> bool:
    return os.path.exists(path) and not os.access(path, os.W_OK)
