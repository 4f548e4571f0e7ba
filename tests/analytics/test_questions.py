"""Every question's file says what it asks, what it takes, what it gives and in which order."""

import ast
import re
from pathlib import Path

import pytest

import nbchat
from nbchat.analytics import run

FILES = sorted(run.QUESTIONS.glob("*.sql"))
PARAMETER = re.compile(r"\$[a-z_]+")


def header_and_body(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    header = [line for line in lines if line.startswith("--")]
    assert lines[: len(header)] == header, "comments come first"
    return header, "\n".join(lines[len(header) :])


def asked():
    """The question of each call of answer() in the package."""
    package = Path(run.__file__).parent
    for path in package.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "answer":
                yield node.args[1].value


def test_every_question_is_asked_by_a_function():
    assert {path.stem for path in FILES} == set(asked())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_question_opens_with_what_a_reader_needs(path):
    header, body = header_and_body(path)
    text = "\n".join(header)

    assert header[0].endswith("?")
    assert re.search(r"^-- columns  \S", text, re.MULTILINE)
    assert re.search(r"^-- order    \S", text, re.MULTILINE)
    assert set(PARAMETER.findall(text)) == set(PARAMETER.findall(body))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_question_is_one_select_without_stars_of_tables(path):
    _, body = header_and_body(path)

    assert re.match(r"(select|with)\b", body)
    assert ";" not in body
    assert re.search(r"\border by\b", body)
    assert not re.search(r"select\s+\*", body)


def test_functions_pass_exactly_the_parameters_of_their_questions(mixed):
    chat = nbchat.load_chat(nbchat.list_chats(store=mixed)["id"][0], store=mixed)
    told = {path.stem: set(PARAMETER.findall(header_and_body(path)[1])) for path in FILES}

    rated = chat.rate(next(m.id for m in chat.messages() if m.role == "assistant"), 1)

    # DuckDB itself refuses a parameter too few and one too many
    answered = {
        "chats": nbchat.list_chats(store=mixed),
        "messages": chat.messages(as_frame=True),
        "feedback": rated.feedback(),
        "search": nbchat.search("first", store=mixed),
        "usage": nbchat.stats("metadata.user_id", store=mixed),
        "usage_in_all": nbchat.stats(store=mixed),
        "usage_of_nothing": nbchat.stats(until="2000-01-01", store=mixed),
        "usage_by_tool": nbchat.stats("tool", store=mixed),
    }

    assert set(answered) == set(told)
    assert not any(frame.empty for frame in answered.values())
    with pytest.raises(nbchat.StoreError):
        run.answer(mixed, "messages", chat_id=chat.id, more=1)
    with pytest.raises(nbchat.StoreError):
        run.answer(mixed, "messages")
