"""One chat as a file: Markdown, a page, JSON lines, a notebook; whole, private, the same twice."""

import errno
import json
import os
from datetime import datetime
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import nbchat
from nbchat.exchange import Usage
from nbchat.export.inert import fenced, inert_line, inert_markdown
from nbchat.export.notebook import source_of
from nbchat.messages import Message, Text, Thinking, ToolCall, part_from_json
from nbchat.store.values import hide
from nbchat.testing import scripted

ENDINGS = [".md", ".html", ".jsonl", ".ipynb"]
ANSWER = (
    "# Rain\n\nUse `<b>` and:\n\n```python\nprint('<i>')\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |"
)
# what IPython could take for something else than text
QUESTIONS = [
    "hello",
    "%time 1 + 1",
    "%%bash\nrm -rf x",
    "!ls",
    "?print",
    "print?",
    "\n\n  indented after blank lines\n\n\nend",
    "    a\n      b",
    ">>> 1 + 1\n2\n>>> exit()",
    "first\n>>> 1 + 1",
    "... and so on",
    "In [1]: x = 1",
    "first\n   ...: x",
    "{{ 1 + 1 }} and @name and $HOME",
    "--new -m evil/model",
    "'''\"\"\"\\'; import os  # \\",
    "a\\\nb",
    "tab\tand\rreturn\r\nand\x0bvertical\x85next\u2028line",
    "\x1b[31mred\x00",
    "שלום 🙂",
    "%load_ext evil\nget_ipython().system('x')",
    '{"cells": []}',
]


def weather(city: str) -> str:
    """What it is like there."""
    if city == "Atlantis":
        raise ValueError("it sank")
    return f"{city}: rain"


def talk(folder: Path, **options: object) -> nbchat.Chat:
    """A chat with everything in it: tools, thinking, a failed turn, a removed one."""
    replies = [
        iter([
            Thinking("They ask\nabout rain.", "sig"), Text("Let me see. "),
            ToolCall("weather", {"city": "Oslo"}, "c1"),
            ToolCall("weather", {"city": "Atlantis"}, "c2"), Usage(1000, 20, 5, 0),
        ]),
        iter([Text(ANSWER), Usage(1100, 30)]),
        iter([Text("half"), nbchat.BrokenStream("cut off", status=200)]),
        "gone soon",
    ]  # fmt: skip
    chat = nbchat.create_chat(
        "function/x", store=folder / "chats.duckdb", name="Rain & sun", tools=[weather],
        instructions="Be **brief**.\nBe kind.", metadata={"user": {"id": 7}}, temperature=0.5,
        respond=scripted(replies), **options,
    )  # fmt: skip
    chat.ask("Will it rain?")
    with pytest.raises(nbchat.BrokenStream):
        chat.ask("And tomorrow?")
    chat.ask("forget this")
    chat.store.sql(
        "update messages set content = '', parts = '[]', raw = '[]', "
        "content_removed_at = timestamp '2026-01-02 03:04:05' where turn = 3",
        write=True,
    )
    return chat


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    return talk(tmp_path_factory.mktemp("store"))


def exported(chat: nbchat.Chat, place: Path) -> str:
    return chat.export(place).read_text(encoding="utf-8")


@pytest.mark.parametrize("ending", ENDINGS)
def test_two_exports_of_one_chat_are_equal(ending, chat, tmp_path):
    first, second = tmp_path / f"a{ending}", tmp_path / f"b{ending}"

    assert chat.export(first) == first
    nbchat.load_chat(chat.id, store=chat.store).export(str(second))

    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_export_is_for_its_owner_only_and_leaves_nothing_else(ending, chat, tmp_path):
    mask = os.umask(0)
    try:
        place = chat.export(tmp_path / f"chat{ending}")
    finally:
        os.umask(mask)

    assert place.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == [place.name]


def test_the_ending_is_the_format_whatever_its_case(chat, tmp_path):
    assert exported(chat, tmp_path / "a.MD") == exported(chat, tmp_path / "a.md")


@pytest.mark.parametrize("name", ["chat.pdf", "chat", ".md", "chat.md.bak"])
def test_another_ending_is_refused_and_the_four_are_named(name, chat, tmp_path):
    with pytest.raises(nbchat.ConfigError, match=r"\.md, \.html, \.jsonl, \.ipynb"):
        chat.export(tmp_path / name)

    assert os.listdir(tmp_path) == []


def test_what_is_there_already_is_replaced_only_when_asked(chat, tmp_path):
    place = tmp_path / "chat.md"
    place.write_text("mine")
    place.chmod(0o644)

    with pytest.raises(nbchat.ConfigError, match=r"is there already.*overwrite=True"):
        chat.export(place)
    assert place.read_text() == "mine"

    chat.export(place, overwrite=True)
    assert place.read_text().startswith("# Rain")
    assert place.stat().st_mode & 0o777 == 0o600


def test_a_link_that_is_there_is_not_followed(chat, tmp_path):
    target, link = tmp_path / "target.md", tmp_path / "link.md"
    link.symlink_to(target)

    with pytest.raises(nbchat.ConfigError, match="is there already"):
        chat.export(link)
    chat.export(link, overwrite=True)

    assert not target.exists()
    assert not link.is_symlink()


def test_a_missing_folder_and_a_folder_of_that_name_are_explained(chat, tmp_path):
    (tmp_path / "folder.md").mkdir()

    with pytest.raises(nbchat.ConfigError, match=r"no folder .*nowhere.*Create it"):
        chat.export(tmp_path / "nowhere" / "chat.md")
    with pytest.raises(nbchat.ConfigError, match="is there already"):
        chat.export(tmp_path / "folder.md", overwrite=True)


def test_a_file_that_cannot_be_written_leaves_nothing_behind(chat, tmp_path):
    with pytest.raises(nbchat.ConfigError, match=f"could not be written.*{errno.ENAMETOOLONG}"):
        chat.export(tmp_path / ("x" * 250 + ".md"))

    assert os.listdir(tmp_path) == []


def test_a_deleted_chat_is_said_to_be_gone(tmp_path):
    gone = nbchat.create_chat("function/x", store=tmp_path / "chats.duckdb")
    nbchat.delete_chat(gone.id, store=gone.store)

    with pytest.raises(nbchat.StoreError, match="no longer in the store"):
        gone.export(tmp_path / "chat.md")

    assert not (tmp_path / "chat.md").exists()


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_chat_without_a_turn_is_a_file_too(ending, tmp_path):
    empty = nbchat.create_chat("function/x", store=":memory:")

    assert "function/x" in exported(empty, tmp_path / f"chat{ending}")


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_key_that_was_stored_before_it_was_known_does_not_leave(ending, tmp_path, monkeypatch):
    key = 'sk-"s3cret"&<key>-0123456789'
    told = nbchat.create_chat(
        "function/x", store=":memory:", name=f"n {key}", instructions=f"i {key}",
        metadata={key: [key]}, tools=[weather],
        respond=scripted([[Text(key), ToolCall("weather", {"city": key})], f"yes {key}"]),
    )  # fmt: skip
    told.ask(f"is it {key}?")
    monkeypatch.setenv("OPENAI_API_KEY", key)

    text = exported(told, tmp_path / f"chat{ending}")

    assert "s3cret" not in text
    assert "[key]" in text or "\\[key\\]" in text


# Markdown ---------------------------------------------------------------------------------


def test_markdown_tells_everything_in_order(chat, tmp_path):
    text = exported(chat, tmp_path / "chat.md")

    pieces = [
        "# Rain &amp; sun\n", "- **Model:** function/x\n", "- **Started:** 20", chat.id,
        "**Instructions**\n\n```text\nBe **brief**.\nBe kind.\n```\n", "---\n",
        "## User\n", "UTC*\n", "Will it rain?\n",
        "## Assistant\n", "> **Thinking**\n>\n> They ask\n> about rain.\n", "Let me see.",
        '**Tool call:** weather (ok)\n\n```json\n{\n  "city": "Oslo"\n}\n```\n',
        "**Result:**\n\n```text\nOslo: rain\n```\n",
        "**Tool call:** weather (failed)\n", '"Atlantis"', "it sank",
        "### Rain\n\nUse `<b>` and:\n\n```python\nprint('<i>')\n```\n\n| a | b |\n|---|---|\n",
        "*function/x · 2,100 in (5 cached) / 50 out · ", " turn 1*\n",
        "And tomorrow?", "**failed: BrokenStream: cut off**\n", "half",
        "**What was said was removed, or not kept (2026-01-02 03:04:05 UTC).**",
        "---\n\n*3 turns · 2,100 in / 50 out · cost unknown*\n",
    ]  # fmt: skip
    at = 0
    for piece in pieces:
        assert piece in text[at:], piece
        at = text.index(piece, at) + len(piece)
    assert at == len(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("**bold** and `List<int>` and a < b", "**bold** and `List<int>` and a < b"),
        ("see [x](https://example.org)", "see [x](https://example.org)"),
        ("1. a\n\n   ```html\n   <b>\n   ```", "1. a\n\n   ```html\n   <b>\n   ```"),
        ("a <b>b</b> `<i>`", "a &lt;b>b&lt;/b> `<i>`"),
        ("![x](https://evil.test/p.png)", "!&#91;x]&#40;https://evil.test/p.png)"),
        ("[x](javascript:alert(1))", "[x]&#40;javascript:alert(1))"),
        ("[x](/api) and $\\href{a}{b}$", "[x]&#40;/api) and $&#92;href{a}{b}$"),
        ("[a]: https://example.org", "[a]&#58; https://example.org"),
        ("# One\n\nTwo\n===\n\n###### Six", "### One\n\n### Two\n\n\n###### Six"),
        ("stopped in\n```python\nx = '<b>'", "stopped in\n```python\nx = '<b>'\n```"),
        ("a\n\n- b\n\n      <b>", "a\n\n- b\n\n      <b>"),
        ("\x1b[31mred\x07", "red"),
    ],
)
def test_markdown_stands_as_written_where_it_is_harmless(text, expected):
    assert inert_markdown(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "> " * 20 + "<b>",  # deeper than is looked
        "- " * 20 + "<b>",
        "    x = '<b>'\n\ntext",  # would go on a list that stands before it
        "a `\n`<b>` c",  # what looks like code on its line is none
        "\t<b>",
    ],
)
def test_text_that_is_not_surely_harmless_becomes_a_code_block(text):
    assert inert_markdown(text) == f"```text\n{text}\n```"


def test_nothing_in_a_code_block_ends_it():
    assert fenced("a\n```\nb") == "````text\na\n```\nb\n````"


def test_a_name_stands_for_itself_on_one_line():
    assert inert_line("a\n# b <i> [x](y) `c` $d$ \\(e") == (
        "a \\# b &lt;i&gt; \\[x\\](y) \\`c\\` \\$d\\$ &#92;(e"
    )


# The page ---------------------------------------------------------------------------------


def squeezed(text: str) -> str:
    """The text without its spaces, which a page's tags put anywhere."""
    return "".join(text.split())


class Words(HTMLParser):
    """The visible text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text = ""
        self.feed(html[html.index("<body>") :])

    def handle_data(self, data: str) -> None:
        self.text += squeezed(data)


def test_the_page_tells_everything_in_order(chat, tmp_path):
    html = exported(chat, tmp_path / "chat.html")

    words = Words(html).text
    at = 0
    for piece in [
        "Rain & sun", "Model function/x", chat.id, "Instructions Be **brief**. Be kind.",
        "User", "Will it rain?", "Assistant", "Thinking They ask about rain.", "Let me see.",
        'weather(city="Oslo") ok', "Oslo: rain", 'weather(city="Atlantis") failed', "it sank",
        "Rain Use <b> and:", "print('<i>')", "2,100 in (5 cached) / 50 out",
        "And tomorrow?", "failed: BrokenStream: cut off", "half", "User",
        "What was said was removed", "Assistant", "What was said was removed",
        "3 turns · 2,100 in / 50 out · cost unknown",
    ]:  # fmt: skip
        assert squeezed(piece) in words[at:], piece
        at = words.index(squeezed(piece), at) + len(squeezed(piece))
    assert at == len(words)


def test_the_page_allows_itself_nothing_but_its_own_style(chat, tmp_path):
    html = exported(chat, tmp_path / "chat.html")

    policy = html.index('http-equiv="Content-Security-Policy" content="default-src \'none\';')
    assert policy < html.index("<title>") < html.index("<style>")
    assert "url(" not in html
    assert "@import" not in html


# JSON lines -------------------------------------------------------------------------------


def message_from(line: dict[str, object]) -> Message:
    """The message as it was."""
    held = {key: value for key, value in line.items() if key != "kind"}
    held["parts"] = tuple(map(part_from_json, held["parts"]))
    held["raw"] = tuple(held["raw"])
    held["cost_usd"] = held["cost_usd"] and Decimal(held["cost_usd"])
    for name in ("created_at", "finished_at", "content_removed_at"):
        held[name] = held[name] and datetime.fromisoformat(held[name])
    return Message(**held)


def test_json_lines_lose_nothing(chat, tmp_path):
    first, *rest = map(json.loads, exported(chat, tmp_path / "chat.jsonl").splitlines())

    assert first["kind"] == "chat"
    kinds = [line["kind"] for line in rest]
    assert list(dict.fromkeys(kinds)) == ["message", "tool_call", "request"]
    assert [message_from(line) for line in rest if line["kind"] == "message"] == chat.messages()
    assert {key: first[key] for key in ("id", "name", "model", "instructions", "metadata")} == {
        "id": chat.id,
        "name": "Rain & sun",
        "model": "function/x",
        "instructions": "Be **brief**.\nBe kind.",
        "metadata": {"user": {"id": 7}},
    }
    assert first["settings"]["temperature"] == 0.5
    assert datetime.fromisoformat(first["created_at"]).utcoffset().total_seconds() == 0


@pytest.mark.parametrize(
    ("kind", "table", "order"),
    [
        ("tool_call", "tools used", "turn, round, seq, attempt"),
        ("request", "requests", "turn, round, attempt"),
    ],
)
def test_json_lines_have_every_column_of_tool_calls_and_requests(kind, table, order, tmp_path):
    chat = talk(tmp_path, table_names={"tool_call": "tools used"})
    chat.store.sql(f'alter table "{table}" add column tenant integer default 5', write=True)
    chat.store.sql("update requests set usage = json_object('raw', [1])", write=True)
    frame = chat.store.sql(f'from "{table}" order by {order}').astype(object)
    stored = [
        {name: None if pd.isna(held) else as_written(name, held) for name, held in row.items()}
        for row in frame.to_dict("records")
    ]

    lines = map(json.loads, exported(chat, tmp_path / "chat.jsonl").splitlines())
    rows = [line for line in lines if line.pop("kind") == kind]

    assert rows == stored
    assert {row["tenant"] for row in rows} == {5}


def as_written(name, value):
    """A frame's value as a line has it."""
    if name in ("arguments", "usage", "price", "dropped"):
        return json.loads(value)
    return value.isoformat() if name.endswith("_at") else value


def test_json_lines_hide_keys_in_what_was_recorded(chat, tmp_path):
    key = "a-key-of-thirty-characters-long"
    chat.store.sql(
        "update requests set error_message = ? where error_message is not null", [key], write=True
    )
    hide(key)

    assert "[key]" in exported(chat, tmp_path / "chat.jsonl")
    assert key not in exported(chat, tmp_path / "again.jsonl")


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_line_is_one_line_and_its_text_comes_back(question, tmp_path):
    asked = nbchat.create_chat("function/x", store=":memory:", respond=lambda request: "ok")
    asked.ask(question)

    text = exported(asked, tmp_path / "chat.jsonl")

    assert len(text.splitlines()) == 4
    assert [message_from(json.loads(line)) for line in text.splitlines()[1:3]] == asked.messages()
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in text.replace("\n", ""))


# A notebook -------------------------------------------------------------------------------


def test_the_notebook_is_valid_and_tells_everything(chat, tmp_path):
    place = chat.export(tmp_path / "chat.ipynb")

    notebook = nbformat.read(place, as_version=4)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    title, load, *questions = notebook.cells
    assert title.source.startswith("# Rain &amp; sun\n\n- **Model:** function/x")
    assert load.source == "%load_ext nbchat"
    assert [cell.source for cell in questions] == [
        "%%chat --raw\nWill it rain?",
        "%%chat --raw\nAnd tomorrow?",
        "# What was said was removed, or not kept (2026-01-02 03:04:05 UTC).",
    ]
    outputs = [[output.data for output in cell.outputs] for cell in questions]
    assert {kind for cell in outputs for data in cell for kind in data} == {
        "text/html",
        "text/plain",
    }
    assert "<code>print(" not in outputs[0][0]["text/html"]
    assert "weather(city=" in outputs[0][0]["text/plain"]
    assert "cut off" in outputs[1][0]["text/plain"]
    assert "half" in outputs[1][0]["text/html"]


@pytest.fixture
def shell(tmp_path, main_module):
    """A real shell, whose %%chat remembers what it is given."""
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell(config=config, ipython_dir=str(tmp_path / "ipython"))
    shell.given = []
    shell.register_magic_function(
        lambda line, cell: shell.given.append((line, cell)), "cell", "chat"
    )
    yield shell
    shell.reset()


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_is_text_whatever_it_says(question, shell):
    source = source_of(Message("1", "c", "user", question))

    result = shell.run_cell(source)

    assert result.success
    ((line, cell),) = shell.given
    assert line == "--raw"
    assert cell.removesuffix("\n") == question


def test_running_the_notebook_asks_the_same_questions_again(tmp_path, monkeypatch, main_module):
    monkeypatch.chdir(tmp_path)
    first = nbchat.create_chat(
        "function/x", store=tmp_path / "first.duckdb", respond=lambda request: "ok"
    )
    for question in QUESTIONS:
        first.ask(question)
    notebook = nbformat.read(first.export(tmp_path / "chat.ipynb"), as_version=4)
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell(config=config, ipython_dir=str(tmp_path / "ipython"))
    again = nbchat.create_chat(
        "function/x", store=tmp_path / "again.duckdb", respond=lambda request: "ok"
    )
    shell.user_ns["again"] = again
    shell.run_cell("%load_ext nbchat\n%chat -c again")
    try:
        for cell in notebook.cells[1:]:
            assert shell.run_cell(cell.source).success
    finally:
        shell.run_cell("%unload_ext nbchat")
        shell.reset()

    asked = [message.content for message in again.messages() if message.role == "user"]
    assert asked == [question.rstrip("\n") for question in QUESTIONS]
