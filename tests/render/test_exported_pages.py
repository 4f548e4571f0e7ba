"""An exported chat is inert in every format, whatever mouth the hostile text comes from."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import nbformat
import pytest
from attacks import ATTACKS
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from page import ATTRIBUTES, CLASS, PICTURE, Page
from test_hostile_text import FORBIDDEN, hostile_messages

from nbchat.export.content import Content, without_secrets
from nbchat.export.inert import inert_line, inert_markdown, is_inert
from nbchat.export.lines import lines_of
from nbchat.export.markdown import markdown_of
from nbchat.export.notebook import notebook_of
from nbchat.export.page import POLICY, page_of
from nbchat.render.markdown import destination
from nbchat.store.chats import ChatRow

NOW = datetime(2026, 1, 2, tzinfo=UTC)
META = {
    "charset": re.compile("utf-8"),
    "http-equiv": re.compile("Content-Security-Policy"),
    "content": re.compile(
        f"{re.escape(POLICY)}|width=device-width, initial-scale=1|light dark|no-referrer"
    ),
    "name": re.compile("viewport|color-scheme|referrer"),
}
# the page around the messages, in addition to what a message may have
AROUND = {
    **{tag: {} for tag in ("head", "title", "style", "body", "main", "footer", "time")},
    **{tag: {} for tag in ("dl", "dt", "dd")},
    "html": {"lang": re.compile("en")},
    "header": {"class": CLASS},
    "article": {"class": CLASS},
    "h2": {"class": CLASS},
    "meta": META,
}
ANYTHING = st.text(st.characters(exclude_categories=()))


class WholePage(Page):
    """A whole page, whose only declaration is the first."""

    def handle_starttag(self, tag, attrs):
        if tag not in AROUND:
            super().handle_starttag(tag, attrs)
            return
        self.tags.append(tag)
        if tag != "meta":
            self._open.append(tag)
        for name, value in attrs:
            allowed = AROUND[tag].get(name)
            if allowed is None or not allowed.fullmatch(value or ""):
                self.faults.append(f"<{tag} {name}={value!r}>")

    def handle_decl(self, decl):
        if decl != "doctype html" or self.tags:
            super().handle_decl(decl)


def hostile_content(text: str) -> Content:
    """A chat that carries the text in every place there is."""
    chat = ChatRow(
        "c", text, text, text, text, {"params": {text: text}}, {text: [text]}, None, NOW, NOW
    )
    first, second, third = hostile_messages(text)
    question = replace(third, id="0", status="complete", error=None)
    messages = [question, replace(first, parent_id="0"), third, replace(second, parent_id="3")]
    content: Content = without_secrets(
        Content(
            chat, tuple(replace(m, created_at=NOW, turn=1, raw=({text: text},)) for m in messages)
        )
    )
    return content


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_page_consists_of_harmless_tags_only(attack):
    assert WholePage(page_of(hostile_content(attack))).faults == []


def test_the_check_of_pages_sees_what_is_wrong():
    html = page_of(hostile_content("x")).replace("<main>", '<main onclick="x"><script></script>')

    assert WholePage(html).faults == ["<main onclick='x'>", "<script>"]


def faults_of(markdown: str) -> list[str]:
    """What careless viewers, with tables and without, would run, load or link to."""
    faults = []
    for extra in ([], ["table", "strikethrough"]):
        reader = MarkdownIt("commonmark", {"html": True}).enable(extra)
        reader.validateLink = lambda url: True
        for token in reader.parse(markdown):
            for each in [token, *(token.children or [])]:
                href, src = str(each.attrGet("href")), str(each.attrGet("src"))
                if (
                    each.type.startswith("html")
                    or (each.type == "image" and not PICTURE.fullmatch(src))
                    or (each.type == "link_open" and destination(href) is None)
                ):
                    faults.append(f"{each.type} {each.content} {href} {src}")
    return faults


def outline_of(markdown: str) -> list[str]:
    """The headings of the file's own levels."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(markdown)
    return [
        "title" if token.tag == "h1" else tokens[at + 1].content
        for at, token in enumerate(tokens)
        if token.type == "heading_open" and token.tag in ("h1", "h2") and token.level == 0
    ]


@pytest.mark.parametrize("attack", ATTACKS)
def test_markdown_has_no_html_no_image_no_odd_link_and_its_own_outline(attack):
    text = markdown_of(hostile_content(attack))

    assert faults_of(text) == []
    assert outline_of(text) == ["title", "User", "Assistant", "User", "Assistant"]
    assert FORBIDDEN.findall(text) == []


def test_the_check_of_markdown_sees_what_is_wrong():
    wrong = "<b>x</b>\n\n![x](http://x.test)\n\n[x](javascript:x)\n\n<script>\n</script>"

    assert {fault.partition(" ")[0] for fault in faults_of(wrong)} == {
        "html_inline", "html_block", "image", "link_open",
    }  # fmt: skip


ATTRIBUTES_OF_MARKDOWN = {
    ("a", "href"), ("a", "title"), ("img", "src"), ("img", "alt"), ("code", "class"),
    ("ol", "start"), ("td", "style"), ("th", "style"),
}  # fmt: skip


class Tags(HTMLParser):
    """The tags and addresses of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: set[tuple[str, ...]] = set()
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found |= {(tag,), *((tag, *attr) for attr in attrs)}


@pytest.mark.parametrize("attack", ATTACKS)
def test_another_reader_of_markdown_finds_nothing_either(attack):
    mistune = pytest.importorskip("mistune")
    reader = mistune.create_markdown(escape=False, plugins=["table", "strikethrough"])

    found = Tags(reader(markdown_of(hostile_content(attack)))).found

    assert {each[0] for each in found} <= set(ATTRIBUTES)
    for tag, name, value in (each for each in found if len(each) == 3):
        assert (tag, name) in ATTRIBUTES_OF_MARKDOWN
        assert name != "href" or destination(value)
        assert name != "src" or PICTURE.fullmatch(value)


PIECES = [
    *ATTACKS, "\n", "\n\n", "\n    ", "[", "](", ")", "`", "``", "```", "\n```\n", "~~~\n", "\\",
    "> ", "- ", "1. ", "|", "\n|-|-|\n", "# ", "\n===\n", "<!--", "-->", "<b", ">", "$", "&",
]  # fmt: skip


@settings(deadline=None)
@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=8).map("".join), max_size=4))
def test_no_message_reaches_into_another(texts):
    markdown = "\n\n".join(["# own", *map(inert_markdown, texts), "# own"])

    assert faults_of(markdown) == []
    assert outline_of(markdown) == ["title", "title"]
    assert all(is_inert(inert_markdown(text)) for text in texts)


@settings(deadline=None)
@given(ANYTHING)
def test_any_string_at_all_gives_harmless_files(text):
    content = hostile_content(text)

    assert WholePage(page_of(content)).faults == []
    markdown = markdown_of(content)
    assert faults_of(markdown) == []
    assert outline_of(markdown) == ["title", "User", "Assistant", "User", "Assistant"]
    assert is_inert(f"*{inert_line(text)}*")


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_notebook_is_valid_and_shows_only_harmless_html(attack):
    text = notebook_of(hostile_content(attack))

    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    title, _, *questions = notebook.cells
    assert faults_of(title.source) == []
    outputs = [output for cell in questions for output in cell.outputs]
    assert len(outputs) == 3
    for output in outputs:
        assert set(output.data) == {"text/html", "text/plain"}
        assert Page(output.data["text/html"]).faults == []
        assert FORBIDDEN.findall(output.data["text/plain"]) == []
    assert FORBIDDEN.findall("".join(cell.source for cell in notebook.cells)) == []


@pytest.mark.parametrize("attack", ATTACKS)
def test_lines_drive_no_terminal(attack):
    text = lines_of(hostile_content(attack))

    assert FORBIDDEN.findall(text) == []
    assert [json.loads(line)["kind"] for line in text.splitlines()] == ["chat", *["message"] * 4]
