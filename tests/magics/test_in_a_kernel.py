"""The magics in a real kernel: the messages a front end gets, one by one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import KernelManager

from nbchat.magics.show import INTERVAL_S

SETUP = """
import threading, nbchat
%load_ext nbchat

def slowly(request):
    for number in range(200):
        threading.Event().wait(0.005)
        yield f"word{number} "

def endlessly(request):
    yield "Once upon a time"
    print("begun", flush=True)
    threading.Event().wait()

def pausing(request):
    yield "first "
    yield "second"
    threading.Event().wait()

talk = nbchat.create_chat("function/x", respond=lambda request: respond(request), store="k.duckdb")
%chat -c talk
"""


class Kernel:
    """A kernel and what its last cell sent."""

    def __init__(self, folder: Path) -> None:
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(cwd=str(folder))
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)
        self.sent: list[dict[str, Any]] = []

    def run(self, source: str) -> str:
        """Execute a cell to its end; "ok" or the name of its error."""
        for _ in self.messages(source):
            pass
        return self.outcome

    def messages(self, source: str, *, has_input: bool = False) -> Iterator[dict[str, Any]]:
        """Execute a cell; its messages as they come."""
        self.sent = []
        self.asked = self.client.execute(source, allow_stdin=has_input)
        while True:
            message = self.client.get_iopub_msg(timeout=60)
            if message["parent_header"].get("msg_id") != self.asked:
                continue
            if message["content"].get("execution_state") == "idle":
                break
            self.sent.append(message)
            yield message
        reply = self.client.get_shell_msg(timeout=60)["content"]
        self.outcome = reply["status"] if reply["status"] == "ok" else reply["ename"]

    def kinds(self) -> list[str]:
        return [
            m["msg_type"] for m in self.sent if m["msg_type"] not in ("status", "execute_input")
        ]

    def shown(self) -> list[dict[str, Any]]:
        """Every display and update, in order."""
        return [m for m in self.sent if m["msg_type"] in ("display_data", "update_display_data")]

    def text(self) -> str:
        """The last thing shown, as plain text."""
        return str(self.shown()[-1]["content"]["data"]["text/plain"])

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    running = Kernel(tmp_path_factory.mktemp("kernel"))
    assert running.run(SETUP) == "ok"
    yield running
    running.close()


def test_loading_sends_nothing(kernel):
    assert kernel.run("%reload_ext nbchat") == "ok"
    assert kernel.kinds() == []
    kernel.run("%chat -c talk")


def test_a_stream_is_repainted_in_place_at_most_15_times_a_second(kernel):
    kernel.run("respond = slowly")

    assert kernel.run("%%chat\ncount") == "ok"

    assert kernel.kinds()[0] == "display_data"
    assert set(kernel.kinds()[1:]) == {"update_display_data"}
    assert len({m["content"]["transient"]["display_id"] for m in kernel.shown()}) == 1
    assert {tuple(sorted(m["content"]["data"])) for m in kernel.shown()} == {
        ("text/html", "text/plain")
    }
    times = [m["header"]["date"] for m in kernel.shown()]
    elapsed_s = (times[-1] - times[0]).total_seconds()
    assert elapsed_s > 0.9
    assert 3 <= len(times) - 1 <= elapsed_s / INTERVAL_S + 2
    assert "word0 " in kernel.text()
    assert "word199 " in kernel.text()
    assert "turn " in kernel.text()


def test_the_end_of_a_cell_is_what_the_stored_message_shows(kernel):
    kernel.run("respond = lambda request: '# Title'")
    kernel.run("%%chat\nhello")
    streamed = kernel.shown()[-1]["content"]["data"]

    kernel.run("_")

    (again,) = [m for m in kernel.sent if m["msg_type"] == "execute_result"]
    assert again["content"]["data"] == streamed
    assert "<h1>Title</h1>" in streamed["text/html"]


def test_an_answer_that_pauses_is_shown_up_to_the_pause(kernel):
    kernel.run("respond = pausing")
    seen = []

    for message in kernel.messages("%%chat\nhello"):
        seen.append(message["content"].get("data", {}).get("text/plain"))
        if seen[-1] == "first second":
            kernel.manager.interrupt_kernel()  # nothing else ends the pause

    assert "first second" in seen
    assert kernel.outcome == "KeyboardInterrupt"


def test_an_interrupt_shows_the_partial_answer_and_raises(kernel):
    kernel.run("respond = endlessly")

    for message in kernel.messages("%%chat\nhello"):
        if "begun" in message["content"].get("text", ""):
            kernel.manager.interrupt_kernel()

    assert kernel.outcome == "KeyboardInterrupt"
    assert "Once upon a time" in kernel.text()
    assert "[stopped" in kernel.text()
    kernel.run("respond = lambda request: 'still here'")
    assert kernel.run("%chat and now?") == "ok"
    assert "still here" in kernel.text()


def test_an_error_fails_the_cell_in_one_line(kernel):
    assert kernel.run("%chat -m nowhere/x hi") == "UsageError"

    assert set(kernel.kinds()) == {"stream"}  # a slow machine sends a line in pieces
    line = "".join(m["content"]["text"] for m in kernel.sent if m["msg_type"] == "stream")
    assert line.startswith("UsageError: No provider is named 'nowhere'.")
    assert line.count("\n") == 1


def test_a_chat_as_a_cells_last_line_is_its_card(kernel):
    kernel.run(
        "respond = lambda request: 'yes'\nfresh = nbchat.create_chat('function/x', "
        "respond=respond, store='k.duckdb', name='<b>new</b>')\nfresh.ask('x')\nfresh"
    )

    (result,) = [m for m in kernel.sent if m["msg_type"] == "execute_result"]
    data = result["content"]["data"]
    assert sorted(data) == ["text/html", "text/plain"]
    assert data["text/plain"].startswith("<b>new</b> · function/x · 1 turn · ")
    assert data["text/plain"].endswith(" · k.duckdb")
    assert "&lt;b&gt;new&lt;/b&gt; · function/x · 1 turn" in data["text/html"]


def test_a_message_shows_itself_without_the_extension(tmp_path):
    kernel = Kernel(tmp_path)
    try:
        kernel.run(
            "from nbchat import create_chat\n"
            "create_chat('function/x', respond=lambda r: '*hi* <img src=x onerror=y>', "
            "store='own.duckdb').ask('hello')"
        )
        (result,) = [m for m in kernel.sent if m["msg_type"] == "execute_result"]
    finally:
        kernel.close()

    data = result["content"]["data"]
    assert sorted(data) == ["text/html", "text/plain"]
    assert "<em>hi</em> &lt;img src=x onerror=y&gt;" in data["text/html"]
    assert data["text/plain"].startswith("*hi* <img src=x onerror=y>\nfunction/x · ")


APPROVED = """
from nbchat.messages import ToolCall

@nbchat.tool(policy="confirm")
def remove(path: str) -> str:
    \"\"\"Remove a file.\"\"\"
    return "removed"

def respond(request):
    answered = request.messages[-1].role == "assistant"
    return "done" if answered else ToolCall("remove", {"path": "a.txt"})

desk = nbchat.create_chat("function/x", respond=respond, store="k.duckdb", tools=[remove])
"""


def test_a_front_end_is_asked_before_a_tool_runs(kernel):
    kernel.run(APPROVED)
    asked = []
    for message in kernel.messages("%chat -c desk remove it", has_input=True):
        if not asked and "needs approval" in str(message["content"].get("data", "")):
            asked.append(kernel.client.get_stdin_msg(timeout=60)["content"]["prompt"])
            kernel.client.input("y")

    assert asked == ['remove(path="a.txt")\n[y]es, [a]lways in this chat, or no: ']
    assert kernel.outcome == "ok"
    assert kernel.text().startswith('[tool] remove(path="a.txt") -> removed\ndone')


def test_a_front_end_without_input_approves_nothing(kernel):
    kernel.run(APPROVED)

    assert kernel.run("%chat -c desk remove it") == "ok"

    assert kernel.text().startswith('[tool] remove(path="a.txt") -> failed: The user did not')
    assert "done" in kernel.text()
