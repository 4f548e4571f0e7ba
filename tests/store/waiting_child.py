"""A process in the middle of a turn: its tool waits until it is told to go on."""

CODE = """
import sys, nbchat
from nbchat.messages import ToolCall

def wait() -> str:
    "Wait."
    print("waiting", flush=True)
    sys.stdin.readline()
    return "done"

answers = [["Let me see.", ToolCall("wait")], ["It is done."]]
chat = nbchat.create_chat("function/x", store=sys.argv[1], name="child", tools=[wait],
                          respond=lambda request: answers.pop(0))
chat.ask("Wait for it.")
print("answered", flush=True)
"""


def waiting(start, path):
    """The process, while its tool waits; the chat's name is child."""
    child = start(CODE, path)
    assert child.stdout.readline() == "waiting\n"
    return child


def let_end(child):
    """Have it end its turn."""
    said, errors = child.communicate("go on\n", timeout=60)
    assert (said, child.returncode) == ("answered\n", 0), errors
