"""Ctrl-C in a long question: the question ends, and the store is usable at once."""

import signal

import pytest

INTERRUPTED = """
    import sys, time, nbchat
    chat = nbchat.create_chat("function/x", store=sys.argv[1], respond=lambda request: "hi")
    chat.ask("before")

    def ready():
        print("ready", flush=True)
        return 1

    import threading
    threading.Timer(0.3, ready).start()
    try:
        nbchat.sql(
            "select sum(a.range * b.range) from range(10_000_000) a, range(1_000_000) b",
            store=sys.argv[1], **eval(sys.argv[2]),
        )
    except KeyboardInterrupt:
        print("interrupted")
    print(chat.ask("after").content, len(chat.messages()))
"""


@pytest.mark.parametrize(
    "options", ["{}", "{'timeout': 60}", "{'write': True}", "{'max_memory': '1GB'}"]
)
def test_ctrl_c_ends_a_question_and_leaves_the_store_usable(path, start, options):
    process = start(INTERRUPTED, path, options)
    assert process.stdout.readline() == "ready\n"

    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)

    assert (out, err, process.returncode) == ("interrupted\nhi 4\n", "", 0)
