"""The child process that holds llama.cpp: settings in by stdin, its address out by stdout.

A script of its own that imports nothing of nbchat, because the engine holds the GIL while it
loads and its C++ may abort. Invariants: it lives no longer than its stdin stays open; the
engine's own words go to stderr, which the parent has turned into a log; the key is told by
stdin only, so that no list of processes shows it.
"""

import json
import os
import signal
import sys
from typing import Any


def main() -> None:
    """Serves until stdin ends, which it does when the parent closes it or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a cell's interrupt is not meant for it
    answer = os.dup(1)
    os.dup2(2, 1)
    settings = json.loads(sys.stdin.buffer.readline())
    try:
        server = start(settings)
    except RuntimeError as error:
        sys.exit(str(error))  # the engine has already written why
    os.write(answer, json.dumps({"address": server.listening_address}).encode() + b"\n")
    sys.stdin.buffer.read()
    os._exit(0)  # the engine's own way out waits for answers nobody will read


def start(settings: dict[str, Any]) -> Any:
    """A running server on a free port of the loopback interface."""
    import xllamacpp  # type: ignore[import-untyped]  # the wheel has no stubs; an optional extra

    params = xllamacpp.CommonParams()
    params.model.path = settings["path"]
    params.model_alias = {settings["model"]}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [settings["key"]]
    params.n_ctx = settings["context_tokens"]
    params.cpuparams.n_threads = settings["threads"]
    params.cpuparams_batch.n_threads = settings["threads"]
    params.use_jinja = True
    params.ui = False
    params.cache_ram_mib = 256  # the default lets old prompts take 8 GiB
    params.verbosity = 2  # warnings; above that each request adds to the log
    return xllamacpp.Server(params)


if __name__ == "__main__":
    main()
