"""A tool that needs approval asks the person at the notebook, and nobody else."""

import builtins
from typing import Any

import pandas as pd
import pytest
from conftest import Notebook

import nbchat
from nbchat.messages import ToolCall


@pytest.fixture
def ran() -> list[str]:
    return []


@pytest.fixture
def remove(ran: list[str]) -> Any:
    @nbchat.tool(policy="confirm")
    def remove(path: str) -> str:
        """Remove a file."""
        ran.append(path)
        return "removed"

    return remove


Talking = tuple[Notebook, Any, list[str]]


@pytest.fixture
def talking(notebook: Notebook, remove: Any, ran: list[str]) -> Talking:
    return notebook, remove, ran


def person(monkeypatch: pytest.MonkeyPatch, *answers: str) -> list[str]:
    """Somebody who answers; what was asked."""
    given, asked = iter(answers), list[str]()

    def read(prompt: str = "") -> str:
        asked.append(prompt)
        try:
            return next(given)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr(builtins, "input", read)
    return asked


CALL = ToolCall("remove", {"path": "a.txt"}, "c1")


@pytest.mark.parametrize("answer", ["y", "n", ""])
def test_the_person_is_asked_before_the_tool_runs(
    talking: Talking, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    notebook, remove, ran = talking
    status = "ok" if answer == "y" else "denied"
    asked = person(monkeypatch, answer)
    chat = notebook.talk([CALL], "done", tools=[remove])
    notebook.run("%chat go")
    assert not notebook.failed
    assert asked == ['remove(path="a.txt")\n[y]es, [a]lways in this chat, or no: ']
    assert ran == (["a.txt"] if status == "ok" else [])
    rows = nbchat.sql("select status from tool_calls", store=chat.store)
    assert rows["status"].tolist() == [status]


def test_always_is_asked_once(
    notebook: Notebook, remove: Any, ran: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = person(monkeypatch, "a")
    notebook.talk([CALL], "one", [CALL], "two", tools=[remove])
    notebook.run("%chat go")
    notebook.run("%chat again")
    assert len(asked) == 1
    assert ran == ["a.txt", "a.txt"]


def test_without_anybody_to_ask_nothing_runs(
    notebook: Notebook, remove: Any, ran: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    person(monkeypatch)
    notebook.talk([CALL], "done", tools=[remove])
    notebook.run("%chat go")
    assert not notebook.failed
    assert ran == []
    assert "done" in notebook.html()


def test_a_chat_with_an_approver_of_its_own_asks_that_one(
    notebook: Notebook, remove: Any, ran: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = person(monkeypatch, "n")
    notebook.talk([CALL], "done", tools=[remove], confirm=lambda call: True)
    notebook.run("%chat go")
    assert (asked, ran) == ([], ["a.txt"])


def frame() -> Any:
    """A table with hostile words in it."""
    return pd.DataFrame({"city": ["Oslo", "<script>alert(1)</script>"], "pairs": [3, 4]})


def test_a_frame_is_shown_as_a_table_and_told_as_text(notebook: Notebook) -> None:
    notebook.talk([ToolCall("frame", {}, "c1")], "done", tools=[frame])
    notebook.run("%chat go")
    html = notebook.html()
    assert "<td>Oslo</td>" in html
    assert "<script" not in html
    results = [
        part
        for part in notebook.script.requests[1].messages[-1].parts
        if part.kind == "tool_result"
    ]
    assert results[0].content == "city,pairs\nOslo,3\n<script>alert(1)</script>,4\n"


PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360000002000001e221bc330000000049454e44ae426082"
)


def pixel() -> bytes:
    """A picture."""
    return PIXEL


def test_a_picture_is_shown_as_one(notebook: Notebook) -> None:
    notebook.talk([ToolCall("pixel", {}, "c1")], "done", tools=[pixel])
    notebook.run("%chat go")
    assert 'src="data:image/png;base64,iVBORw0KGgo' in notebook.html()
