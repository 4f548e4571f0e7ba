"""Network file systems, where locks may not hold: known by the mounts, and warned of."""

import re
import warnings
from pathlib import Path

MOUNTS = Path("/proc/mounts")
# file systems whose locks may not hold between machines; DuckDB allows one machine at a time
NETWORK = re.compile(r"nfs\d?|cifs|smb\w*|afs|ncpfs|ceph|glusterfs|lustre|9p|fuse\.(sshfs|rclone)")


def network_type(path: Path, mounts: str) -> str | None:
    """The type of network file system that `path` is on, by the text of /proc/mounts; or None."""
    deepest, type_ = -1, ""
    for line in mounts.splitlines():
        _, folder, kind, *_ = [*line.split(), "", "", ""]
        folder = folder.replace("\\040", " ")
        if folder and path.is_relative_to(folder) and len(folder) >= deepest:
            deepest, type_ = len(folder), kind  # the last one mounted there counts
    return type_ if NETWORK.fullmatch(type_) else None


def warn_of_network(path: str) -> None:
    """Say so when the store is on a network file system, as far as this system tells."""
    try:
        mounts = MOUNTS.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    type_ = network_type(Path(path), mounts)
    if type_ is not None:
        warnings.warn(
            f"{path!r} is on a network file system ({type_}), where locks may not hold between "
            "machines. Use this store from one machine at a time, or put it on a local disk.",
            stacklevel=5,
        )
