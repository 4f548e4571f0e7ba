"""One file, many programs: nobody fails, nothing is lost, and a holder is named."""

import os
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from sharing import answers_of, lost_and_doubled, share

import nbchat
from nbchat.store import file as store_file

TURNS = 50
PROCESSES = 4
MIXED = ("write", "write", "write", "write_by_a_bad_clock", "write", "read", "read", "question")
# what doctor tells of clocks that jump and of models without a price
EXPECTED = {"unpriced_requests", "times_ahead", "times_backwards", "times_out_of_order"}

TALK = """
    import sys, nbchat
    path, name, turns = sys.argv[1], sys.argv[2], int(sys.argv[3])
    chat = nbchat.load_chat(name, store=path, respond=lambda request: "yes")
    chat = chat or nbchat.create_chat(
        "function/x", store=path, name=name, respond=lambda request: request.messages[-1].content
    )
    print("ready", flush=True)
    input()
    for number in range(turns):
        chat.ask(f"{name} {number}")
"""


def started_talk(start, path, name, turns):
    process = start(TALK, path, name, turns)
    assert process.stdout.readline() == "ready\n"
    return process


def finished(process):
    out, err = process.communicate("go\n", timeout=120)
    return process.returncode, out, err


def test_processes_that_write_at_once_lose_nothing(path, start):
    processes = [started_talk(start, path, f"p{n}", TURNS) for n in range(PROCESSES)]

    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    ends = [finished(process) for process in processes]

    assert ends == [(0, "", "")] * PROCESSES
    store = nbchat.open_store(path)
    for number in range(PROCESSES):
        messages = nbchat.load_chat(f"p{number}", store=store).messages()
        said = [message.content for message in messages]
        assert said == [f"p{number} {turn}" for turn in range(TURNS) for _ in "qa"]
        assert [message.seq for message in messages] == list(range(1, 2 * TURNS + 1))
    whole = nbchat.stats(store=store)
    assert whole[["turns", "requests"]].values.tolist() == [[PROCESSES * TURNS] * 2]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX kills")
def test_writers_readers_kills_and_bad_clocks_at_once_lose_and_double_nothing(path):
    nbchat.open_store(path).close()

    workers = share(path, MIXED, seconds=7, kill_every_s=1.5)

    assert sum(worker.kills for worker in workers) >= 1
    assert [worker.errors() for worker in workers] == [""] * len(MIXED)
    assert [worker.exit_codes for worker in workers] == [[0]] * len(MIXED)
    assert answers_of(workers)
    assert lost_and_doubled(path, workers) == (0, 0)
    found = nbchat.open_store(path).doctor()
    wrong = found[found["rows"].ne(0) & ~found["check"].isin(EXPECTED)]
    assert wrong[["check", "rows"]].values.tolist() == []


def test_two_processes_share_one_chat_turn_by_turn(path, start, store):
    nbchat.create_chat("function/x", store=store, name="ours")
    store.close()
    processes = [started_talk(start, path, "ours", 10) for _ in range(2)]

    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    ends = [finished(process) for process in processes]

    assert ends == [(0, "", "")] * 2
    messages = nbchat.load_chat("ours", store=store).messages()
    assert [message.turn for message in messages] == [turn for turn in range(1, 21) for _ in "qa"]
    assert [message.role for message in messages] == ["user", "assistant"] * 20
    assert {message.status for message in messages} == {"complete"}


def test_threads_share_a_store(store):
    errors = []

    def talk(name):
        try:
            chat = nbchat.create_chat(
                "function/x", store=store, name=name, respond=lambda request: name
            )
            for number in range(20):
                chat.ask(str(number))
                assert {message.content for message in chat.messages()[1::2]} == {name}
                assert chat.stats()["turns"].tolist() == [number + 1]
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=talk, args=[name]) for name in ("left", "right")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert nbchat.list_chats(store=store)["turns"].tolist() == [20, 20]


def test_an_idle_store_lets_other_programs_in(store, start):
    chat = nbchat.create_chat("function/x", store=store, respond=lambda request: "hi")
    chat.ask("hello")
    code = """
        import sys, time, duckdb
        deadline = time.monotonic() + 2
        while True:
            try:
                database = duckdb.connect(sys.argv[1])
                break
            except duckdb.IOException:
                assert time.monotonic() < deadline, "still locked after 2 s"
                time.sleep(0.02)
        database.execute("update chats set name = 'from outside'")
        database.close()
    """

    end = start(code, store.path).communicate(timeout=30)

    assert end == ("", "")
    assert nbchat.list_chats(store=store)["name"].tolist() == ["from outside"]


def test_a_program_that_knows_no_gate_and_holds_the_file_is_named(store, start, monkeypatch):
    store.close()
    monkeypatch.setattr(store_file, "BUSY_TIMEOUT_S", 0.3)
    process = start(
        """
        import sys, duckdb
        database = duckdb.connect(sys.argv[1])
        print("held", flush=True)
        input()
        """,
        store.path,
    )
    assert process.stdout.readline() == "held\n"

    with pytest.raises(nbchat.StoreBusy, match=rf"PID {process.pid}\b"):
        nbchat.list_chats(store=store)

    process.communicate("go\n", timeout=30)
    assert nbchat.list_chats(store=store).empty


def test_a_notebook_that_holds_the_file_is_named(store, start, monkeypatch):
    store.close()
    monkeypatch.setattr(store_file, "BUSY_TIMEOUT_S", 0.3)
    process = start(
        """
        import os, sys, nbchat
        os.environ["JPY_SESSION_NAME"] = "/home/ada/orders.ipynb"

        def hold(cursor):
            print("held", flush=True)
            input()

        nbchat.open_store(sys.argv[1]).transact(hold)
        """,
        store.path,
    )
    assert process.stdout.readline() == "held\n"

    with pytest.raises(
        nbchat.StoreBusy, match=rf"held by process {process.pid} \(orders.ipynb\) for over 0.3 s"
    ):
        nbchat.list_chats(store=store)

    process.communicate("go\n", timeout=30)
    assert nbchat.list_chats(store=store).empty


def test_a_foreign_holder_is_waited_for(store, start):
    store.close()
    process = start(
        """
        import sys, duckdb
        with duckdb.connect(sys.argv[1]) as database:
            print("held", flush=True)
            input()
        """,
        store.path,
    )
    assert process.stdout.readline() == "held\n"
    found = []
    waiting = threading.Thread(target=lambda: found.append(nbchat.list_chats(store=store)))
    waiting.start()

    process.communicate("go\n", timeout=30)
    waiting.join()

    assert [len(frame) for frame in found] == [0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("leave", ["os._exit(0)", "sys.exit()"])
def test_a_fork_within_the_lease_harms_neither_side(path, start, leave):
    code = f"""
        import os, sys, nbchat
        store = nbchat.open_store(sys.argv[1])
        chat = nbchat.create_chat("function/x", store=store, respond=lambda request: "hi")
        chat.ask("before")
        child = os.fork()
        if child == 0:
            chat.ask("child")
            assert store.sql("select count(*) as n from messages")["n"][0] >= 4
            {leave}
        chat.ask("parent")
        _, status = os.waitpid(child, 0)
        chat.ask("after")
        print(status, sorted(message.content for message in chat.messages()[::2]))
    """

    out, err = start(code, path).communicate(timeout=60)

    assert err == ""
    assert out == "0 ['after', 'before', 'child', 'parent']\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_waits_for_a_transaction_of_another_thread(path, start):
    code = """
        import os, sys, threading, nbchat
        store = nbchat.open_store(sys.argv[1])
        chats = [
            nbchat.create_chat("function/x", store=store, respond=lambda request: "hi")
            for _ in range(2)
        ]
        stop = threading.Event()

        def talk():
            while not stop.is_set():
                chats[0].ask("on and on")

        talking = threading.Thread(target=talk)
        talking.start()
        ends = []
        for _ in range(5):
            child = os.fork()
            if child == 0:
                chats[1].ask("child")
                os._exit(0)
            ends.append(os.waitpid(child, 0)[1])
        stop.set()
        talking.join()
        print(ends, len(chats[1].messages()), {message.status for message in chats[0].messages()})
    """

    out, err = start(code, path).communicate(timeout=60)

    assert (out, err) == ("[0, 0, 0, 0, 0] 10 {'complete'}\n", "")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_a_folder_that_cannot_be_written_is_said_so(start):
    code = """
        import os, sys, nbchat
        nbchat.open_store(":memory:")  # loads all that a stranger may not read
        if os.getuid() == 0:
            os.setuid(65534)
        try:
            nbchat.open_store(sys.argv[1])
        except nbchat.StoreError as error:
            print(type(error).__name__, error)
    """
    # pytest's own folders are closed to others
    with tempfile.TemporaryDirectory(prefix="theirs-") as folder:
        Path(folder).chmod(0o555)
        out, err = start(code, Path(folder) / "chats.duckdb").communicate(timeout=60)
        Path(folder).chmod(0o755)

    assert err == ""
    assert out.startswith("StoreError ")
    assert "cannot be written" in out
