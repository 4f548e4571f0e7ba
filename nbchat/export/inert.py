"""Untrusted text for a Markdown file: in any viewer it runs nothing and loads nothing.

A text in which CommonMark, with tables and without, finds no HTML, no image, no link but to
the web and no end that is open stands as it was written. In any other, what begins a tag, a
link, an image or a formula outside code becomes plain words; if even then something is
found, the whole text becomes a code block. Terminal sequences are removed always.
"""

import re
from functools import lru_cache
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

from nbchat.render.markdown import PICTURE, destination
from nbchat.render.plain import clean, one_line

END = "# end"
# levels of headings that are the file's own
DEEPER = 2
# the parser passes over what is nested deeper than this allows, other viewers do not
NESTING = 20
DEEPEST = NESTING - 4
# what some viewer may take for HTML, a link, an image, or mathematics with links in it
SUSPECT = re.compile(
    r"<[a-z/!?]|\]\(|!\[|\\(href|url|html\w*|class|cssid|style|unicode|require|data|includegraphics)",
    re.IGNORECASE,
)
WORDS = {"<": "&lt;", "](": "]&#40;", "]:": "]&#58;", "![": "!&#91;", "\\": "&#92;"}
SPECIAL = re.compile(r"<(?=[A-Za-z/!?])|\]\(|\]:|!\[|\\(?=[A-Za-z])")
SPAN = re.compile(r"((?<![\\`])(`+)(?!`)[^\n]*?[^`\n]\2(?!`))")
# blank lines, and an indentation that means nothing
START = re.compile(r"\A([ \t]*\n)*( {1,3}(?![ \t]))?")
MARKS = re.compile(r"[&<>\\$`*_\[\]#|~!]")
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\\": "&#92;"}


def inert_line(text: str) -> str:
    """The text on one line, each of its characters standing for itself."""
    return MARKS.sub(lambda found: ENTITIES.get(found[0], f"\\{found[0]}"), one_line(text, 300))


def inert_markdown(text: str) -> str:
    """The text, still as Markdown if it can be, its headings below those of the file."""
    text = START.sub("", clean(text)).rstrip("\n")
    for attempt in (text, _in_words(text)):
        written = _below(_closed(attempt))
        if is_inert(written):
            return written
    return fenced(text)


def fenced(text: str, language: str = "text") -> str:
    """The text as a code block that nothing in it can end."""
    text = clean(text)
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def is_inert(text: str) -> bool:
    """Whether the text does nothing by itself, and nothing to what stands around it."""
    # an indented start would belong to a list that came before
    indented = text.startswith((" ", "\t"))
    return not indented and all(_is_inert_to(reader, text) for reader in readers())


@lru_cache(maxsize=1)
def readers() -> tuple[MarkdownIt, ...]:
    """Markdown as careless viewers read it: with HTML, and links to anywhere."""
    plain, tables = (
        MarkdownIt("commonmark", {"html": True, "maxNesting": NESTING}) for _ in range(2)
    )
    tables.enable(["table", "strikethrough"])
    for reader in (plain, tables):
        reader.disable("text_join")  # what an escape stands for is no suspect
        reader.validateLink = lambda url: True  # type: ignore[method-assign]
        # as written: other viewers show the host of a link in whatever letters it has
        reader.normalizeLink = lambda url: url  # type: ignore[method-assign]
    return plain, tables


def _is_inert_to(reader: MarkdownIt, text: str) -> bool:
    env: dict[str, Any] = {}
    tokens = reader.parse(f"{text}\n\n{END}\n", env)
    own, last = tokens[:-3], tokens[-3:]
    ends = [(token.level, token.content) for token in last] == [(0, ""), (1, "end"), (0, "")]
    # a definition would give links and images to other messages
    defines = env.get("references") or env.get("duplicate_refs")
    return ends and not defines and all(map(_is_inert_token, own))


def _is_inert_token(token: Token) -> bool:
    if token.level > DEEPEST or token.type in ("html_block", "html_inline"):
        return False
    if token.type == "image":
        return bool(PICTURE.fullmatch(str(token.attrGet("src"))))
    if token.type == "link_open":
        return destination(str(token.attrGet("href"))) is not None
    if token.type == "text":
        return not SUSPECT.search(token.content)
    if token.type == "heading_open":
        return token.level > 0 or int(token.tag[1]) > DEEPER
    return all(map(_is_inert_token, token.children or []))


def _closed(text: str) -> str:
    """The text with its last code block ended, as when an answer was stopped inside one."""
    last = readers()[1].parse(f"{text}\n\n{END}\n")[-1]
    return f"{text}\n{last.markup}" if last.type == "fence" else text


def _below(text: str) -> str:
    """The text with its headings on levels that the file does not use itself."""
    lines = text.split("\n")
    tokens = readers()[1].parse(text)
    for at, token in enumerate(tokens):
        if token.type == "heading_open" and token.level == 0 and token.map:
            start, end = token.map
            marks = "#" * min(int(token.tag[1]) + DEEPER, 6)
            words = " ".join(tokens[at + 1].content.split("\n"))
            lines[start:end] = [f"{marks} {words}", *[""] * (end - start - 1)]
    return "\n".join(lines)


def _in_words(text: str) -> str:
    """The text with words for what is special outside code."""
    lines = text.split("\n")
    code = {
        number
        for token in readers()[1].parse(text)
        if token.type in ("fence", "code_block") and token.map
        for number in range(*token.map)
    }
    return "\n".join(
        line if number in code else _line_in_words(line) for number, line in enumerate(lines)
    )


def _line_in_words(line: str) -> str:
    # the pattern has two groups: text, span, its backticks, text, span ...
    pieces = SPAN.split(line)
    pieces[::3] = [SPECIAL.sub(lambda found: WORDS[found[0]], text) for text in pieces[::3]]
    del pieces[2::3]
    return "".join(pieces)
