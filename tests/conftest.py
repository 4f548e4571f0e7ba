"""Property tests look for new examples on a developer's machine, and repeat theirs in CI."""

import os
import sys

from hypothesis import settings

settings.register_profile("ci", derandomize=True, deadline=None)
if os.environ.get("CI"):
    settings.load_profile("ci")

# multiprocessing reads it before it starts a process; pytest-xdist's own processes have none
vars(sys.modules["__main__"]).setdefault("__spec__", None)
