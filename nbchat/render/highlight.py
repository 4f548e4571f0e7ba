"""Code to coloured spans, with colours that read on light and dark pages alike.

Only languages named here are highlighted: a model that could name any would choose which
of some 600 lexers, and of every plug-in, runs over its text.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from html import escape

from pygments.lexers import get_lexer_by_name  # type: ignore[import-untyped]

Lexer = Callable[[str], Iterable[tuple[object, str]]]

LIMIT = 20_000  # characters; beyond it a repaint would wait for colours

LANGUAGE_NAMES = """bash c cpp c++ cs csharp css diff docker dockerfile go graphql haskell hcl
    html http ini java javascript js json julia kotlin latex lua make makefile matlab md markdown
    nginx objc ocaml perl php powershell ps1 py py3 pycon python python3 r rb rs ruby rust scala
    sh shell sql swift terraform tex toml ts tsx typescript xml yaml yml zig zsh"""
LANGUAGES = frozenset(LANGUAGE_NAMES.split())

# Of middling lightness: each at least 3.5:1 against white, #111111 and #212121
COLORS = {
    "Comment": "color: #7a7f87; font-style: italic",
    "Generic.Deleted": "color: #d34a4a",
    "Generic.Heading": "font-weight: bold",
    "Generic.Inserted": "color: #3f8f3f",
    "Generic.Prompt": "color: #7a7f87",
    "Keyword": "color: #a05bd6; font-weight: bold",
    "Literal": "color: #b4701f",
    "Literal.String": "color: #3f8f3f",
    "Name.Attribute": "color: #b4701f",
    "Name.Builtin": "color: #2f83c5",
    "Name.Class": "color: #2f83c5; font-weight: bold",
    "Name.Decorator": "color: #b4701f",
    "Name.Function": "color: #2f83c5",
    "Name.Tag": "color: #c9542f",
    "Operator.Word": "color: #a05bd6; font-weight: bold",
}


def highlight(code: str, language: str, attributes: str = "") -> str:
    """Spans for the code, '' when it is to be shown without colours."""
    if len(code) > LIMIT or language not in LANGUAGES:
        return ""
    tokens = lexer_of(language)(code)
    return "".join(span(text, style_of(str(kind))) for kind, text in tokens)


def span(text: str, style: str) -> str:
    """The text escaped, coloured if there is a style for it."""
    return f'<span style="{style}">{escape(text)}</span>' if style else escape(text)


@lru_cache(maxsize=len(LANGUAGES))
def lexer_of(language: str) -> Lexer:
    """How to read a listed language; making a lexer costs more than most code blocks."""
    read: Lexer = get_lexer_by_name(language, stripnl=False).get_tokens
    return read


@lru_cache(maxsize=500)
def style_of(kind: str) -> str:
    """The style of a kind of token, or of the nearest kind above it."""
    kind = kind.removeprefix("Token.")
    while kind and kind not in COLORS:
        kind = kind.rpartition(".")[0]
    return COLORS.get(kind, "")
