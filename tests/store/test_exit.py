"""The end of Python: silent, whole, and however it comes."""

import pytest

import nbchat

USE = """
    import asyncio, sys, threading, nbchat
    store = nbchat.open_store(sys.argv[1])

    def respond(request):
        yield from ("one ", "two ", "three")

    chat = nbchat.create_chat("function/x", store=store, name="main", respond=respond)
    chat.ask("hello")
    for event in chat.ask_stream("stream"):
        pass

    def talk():
        nbchat.create_chat("function/x", store=store, respond=respond).ask("from a thread")

    threads = [threading.Thread(target=talk) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asyncio.run(chat.aask("async"))
    nbchat.sql("select count(*) from messages", store=store)
    nbchat.stats("model", store=store)
    nbchat.open_store(":memory:").sql("select 1")
"""

ENDS = {
    "at the end of the script": ("", 0, ""),
    "by sys.exit": ("sys.exit(3)", 3, ""),
    "by an exception": ("raise LookupError('boom')", 1, "LookupError: boom"),
    "with a stream half read": ("half = chat.ask_stream('half'); next(half)", 0, ""),
    "with a thread that still asks": ("threading.Thread(target=talk).start()", 0, ""),
    "with the store closed": ("store.close()", 0, ""),
    "in an async script": ("asyncio.run(chat.aask('more')); sys.exit()", 0, ""),
}


@pytest.mark.parametrize(("last", "code", "error"), ENDS.values(), ids=ENDS)
def test_python_ends_in_silence(path, start, last, code, error):
    process = start(f"{USE}\n    {last}\n", path)

    out, err = process.communicate(timeout=60)

    told = err.strip().splitlines()
    assert (out, process.returncode, told[-1:] or [""]) == ("", code, [error])
    assert "nanobind" not in err
    assert "terminate" not in err
    assert bool(told) == bool(error)
    store = nbchat.open_store(path)
    assert store.sql("from messages where status = 'pending'").empty
    assert not path.with_name(path.name + ".wal").exists()


def test_a_stream_that_was_half_read_at_the_end_keeps_what_arrived(path, start):
    start(f"{USE}\n    half = chat.ask_stream('half'); next(half)\n", path).communicate(timeout=60)

    last = nbchat.load_chat("main", store=path).messages()[-1]

    assert last.status in ("complete", "stopped")
    assert last.content.startswith("one ")
