"""For every test: property tests repeat their examples in CI only, and processes can be started."""

import os
import sys

from hypothesis import settings

settings.register_profile("ci", derandomize=True, deadline=None)
if os.environ.get("CI"):
    settings.load_profile("ci")

# multiprocessing reads it before it starts a process; pytest-xdist's own processes have none
vars(sys.modules["__main__"]).setdefault("__spec__", None)
