"""Markdown to HTML that is safe to show.

Three fences: HTML in the text is off, links and images are decided here, and nh3 passes
only what this file lists; `formulas` writes MathML of its own beside them. Styles are inline
and of the kinds JupyterLab's own sanitizer keeps (colours in hex, no background, no
variables), so that a saved, untrusted notebook looks the same. Importing this module loads
its libraries: import it where text is shown.
"""

import re
from collections.abc import MutableMapping, Sequence
from functools import lru_cache
from html import escape
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

from nbchat.render.formulas import Formulas, add_rules
from nbchat.render.highlight import LANGUAGES, highlight
from nbchat.render.plain import clean

Env = MutableMapping[str, Any]

# No user name before the host and no odd characters in it: what is shown is where it leads
WEB = re.compile(
    r"https?://(?P<host>([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]+)?)([/?#].*)?", re.I | re.A
)
MAIL = re.compile(r"mailto:(?P<host>[a-z0-9._%+-]+@[a-z0-9.-]+)(\?.*)?", re.I | re.A)
PICTURE = re.compile(r"data:image/(png|jpeg|gif|webp);base64,[a-z0-9+/=]*", re.I | re.A)
STYLE = r"(color: #[0-9a-f]{6}|font-(weight: bold|style: italic)|text-align:(left|center|right))"
STYLES = re.compile(rf"{STYLE}(; {STYLE})*", re.I | re.A)

TAGS = """a blockquote br code del em h1 h2 h3 h4 h5 h6 hr img li ol p pre s span strong
    table tbody td th thead tr ul"""
UNWANTED = "script style iframe object embed svg math template noscript form textarea select"


def render_markdown(text: str, *, math: bool = False) -> str:
    """Safe HTML of the text, its formulas as MathML if `math`."""
    return "".join(markdown_blocks(text, math=math))


def markdown_blocks(text: str, *, math: bool = False) -> list[str]:
    """Safe HTML of the text, one string per top-level block.

    Formulas are MathML if `math`, else their source: JupyterLab strips MathML from untrusted
    outputs and would leave its letters without their places.
    """
    return html_blocks(clean(text), {"math": math})


def html_blocks(text: str, env: Env) -> list[str]:
    """Safe HTML per block of cleaned text, its formulas as MathML if `env["math"]`.

    Link definitions are looked up in `env` and added to it.
    """
    blocks: list[str] = []
    group: list[Token] = []
    for token in parser().parse(text, env):
        group.append(token)
        if token.level == 0 and token.nesting <= 0:
            blocks.append(block_html(group, env))
            group = []
    return blocks


def block_html(tokens: Sequence[Token], env: Env) -> str:
    """Safe HTML of one block. Formulas come in behind the last fence, which knows no MathML."""
    formulas = Formulas()
    html = parser().renderer.render(tokens, parser().options, {**env, "formulas": formulas})
    return formulas.put_into(cleaner().clean(html))


def block_starts(text: str) -> list[int]:
    """Where in the cleaned text its top-level blocks start."""
    tokens: list[Token] = []
    parser().block.parse(text, parser(), {}, tokens)
    lines = {token.map[0] for token in tokens if token.level == 0 and token.map}
    offsets, offset = [], 0
    for number, line in enumerate(text.split("\n")):
        if number in lines:
            offsets.append(offset)
        offset += len(line) + 1
    return offsets


def destination(href: str) -> str | None:
    """The host or mail address a link leads to, None when it may not be a link."""
    found = WEB.fullmatch(href) or MAIL.fullmatch(href)
    return found["host"] if found else None


class Renderer(RendererHTML):
    """Links that say where they lead, and images that load nothing."""

    def link_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Env) -> str:
        """The opening tag, nothing for a link that may not be one."""
        href = str(tokens[idx].attrGet("href"))
        return f'<a href="{escape(href)}">' if destination(href) else ""

    def link_close(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Env) -> str:
        """The closing tag, and the real host unless the link's text is its address."""
        start = max(i for i in range(idx) if tokens[i].type == "link_open")
        href = str(tokens[start].attrGet("href"))
        host = destination(href)
        if host is None:
            return ""
        inside = tokens[start + 1 : idx]
        plain = all(token.type == "text" for token in inside)
        text = "".join(token.content for token in inside)
        return "</a>" if plain and text in (href, host) else f"</a> ({escape(host)})"

    def image(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Env) -> str:
        """A picture that came with the text, else a word on where one would be."""
        src = str(tokens[idx].attrGet("src"))
        alt = escape(tokens[idx].content)
        if PICTURE.fullmatch(src):
            return f'<img src="{escape(src)}" alt="{alt}">'
        host = destination(src)
        name = f"[image: {escape(host) if host else 'not shown'}]"
        nesting = sum(token.nesting for token in tokens[:idx] if token.type.startswith("link_"))
        # a link inside a link would end the outer one
        linked = f'<a href="{escape(src)}">{name}</a>' if host and not nesting else name
        return f"{alt} {linked}".strip()

    def math_inline(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Env) -> str:
        """A formula as MathML or as its source."""
        return self.formula(tokens[idx], env)

    def math_block(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: Env) -> str:
        """A formula on lines of its own."""
        return f"<p>{self.formula(tokens[idx], env)}</p>\n"

    def formula(self, token: Token, env: Env) -> str:
        """The name under which the block keeps the formula, else its source."""
        made = None
        if token.content and env.get("math"):
            made = env["formulas"].placeholder(token.content, is_block=token.meta["is_block"])
        return made or f"<code>{escape(token.markup)}</code>"


@lru_cache(maxsize=1)
def parser() -> MarkdownIt:
    """The parser of everything: CommonMark without HTML, with tables and strikethrough."""
    options = {"html": False, "linkify": False, "highlight": highlight}
    parser = MarkdownIt("commonmark", options, renderer_cls=Renderer)
    return add_rules(parser.enable(["table", "strikethrough"]))


@lru_cache(maxsize=1)
def cleaner() -> nh3.Cleaner:
    """The last fence: the tags, attributes and addresses that may pass."""
    return nh3.Cleaner(
        tags=set(TAGS.split()),
        clean_content_tags=set(UNWANTED.split()),
        attributes={
            "a": {"href"},
            "img": {"src", "alt"},
            "ol": {"start"},
            **{tag: {"style"} for tag in ("span", "th", "td")},
        },
        attribute_filter=allowed_value,
        tag_attribute_values={"code": {"class": {f"language-{name}" for name in LANGUAGES}}},
        set_tag_attribute_values={"a": {"target": "_blank"}},
        link_rel="noopener noreferrer nofollow",
        generic_attribute_prefixes=set(),
        url_schemes={"http", "https", "mailto", "data"},
        url_relative="deny",
    )


def allowed_value(tag: str, attribute: str, value: str) -> str | None:
    """The value if it may stand in that attribute, else None."""
    if attribute == "href":
        return value if destination(value) else None
    if attribute == "src":
        return value if PICTURE.fullmatch(value) else None
    if attribute == "style":
        return value if STYLES.fullmatch(value) else None
    return value
