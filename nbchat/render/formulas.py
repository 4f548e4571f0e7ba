"""Which text is math, and its MathML, built anew from tags and attributes listed here.

Invariant: what is made of a formula is allow-listed elements around escaped text, or None; a
price is not a formula. TeX that names links, styles, macros or characters by number is never
converted: it is shown as its source.
"""

import re
import secrets
from collections.abc import Iterator
from functools import lru_cache
from html import escape
from typing import Any
from xml.etree.ElementTree import Element

from markdown_it import MarkdownIt
from markdown_it.ruler import RuleOptionsType
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline

from nbchat.render.plain import clean

LIMIT = 2_000  # characters of one formula
BLOCK_LIMIT = 8_000  # of all formulas of one block: converting costs some 50 microseconds each
SEARCH = 10_000  # how far off a formula's end is looked for
DEPTH = 30
ELEMENTS = 3_000

TAGS = """math mrow mi mn mo mtext mspace mfrac msqrt mroot msub msup msubsup munder mover
    munderover mmultiscripts mprescripts none mtable mtr mtd mstyle mpadded mphantom"""
NAMES = frozenset(TAGS.split())
FLAG = re.compile("true|false")
LENGTH = re.compile(r"[0-3](\.[0-9]{1,6})?(em|ex)|0|1")
ALIGN = re.compile("((left|right|center) ?){1,20}")
ATTRIBUTES = {
    "accent": FLAG,
    "accentunder": FLAG,
    "columnalign": ALIGN,
    "display": re.compile("inline|block"),
    "displaystyle": FLAG,
    "fence": FLAG,
    "form": re.compile("prefix|infix|postfix"),
    "largeop": FLAG,
    "linethickness": LENGTH,
    "mathvariant": re.compile("[a-z-]{1,30}"),
    "maxsize": LENGTH,
    "minsize": LENGTH,
    "movablelimits": FLAG,
    "scriptlevel": re.compile("[0-3]"),
    "separator": FLAG,
    "stretchy": FLAG,
    "symmetric": FLAG,
    "width": LENGTH,
}
# Links, styles and characters by number; macros, whose expansion has no bound
UNWANTED = re.compile(
    r"\\(href|url|class|style|cssId|id|html\w*|data|unicode|char|symbol|require|include\w*|input"
    r"|\w*color\w*|def|[egx]def|let|futurelet|\w*command|\w*environment|Declare\w*)"
    r"(?![a-z])",
    re.I,
)
# Environments the library does not know, which its `split` draws as they are meant
ALIGNED = re.compile(r"\\(begin|end)\{(?:aligned|gathered|gather\*?|align\*?)\}")
NUMBERED = re.compile("&#x([0-9A-F]{1,5});", re.I)  # how the library writes what is not ASCII

WORD = re.compile("[a-z]{2,}", re.I)
NAMED = re.compile(r"\\[a-z]+|\\?\{[^{}]*\}", re.I)
SIGN = re.compile(r"[\\^_=+*/<>(){}|-]")
ENDING = re.compile(r"(th|st|nd|rd|s)\b")
CLOSERS = {"$$": "$$", r"\[": r"\]", r"\(": r"\)"}


class Formulas:
    """The MathML of one block, kept out of the sanitizer's way under names nobody can guess."""

    def __init__(self) -> None:
        self._name = secrets.token_hex(16)
        self._made: list[str] = []
        self._length = 0

    def placeholder(self, tex: str, *, is_block: bool) -> str | None:
        """A name for the formula, None if it is to be shown as its source."""
        self._length += len(tex)
        made = mathml(tex, is_block) if self._length <= BLOCK_LIMIT else None
        if made is None:
            return None
        self._made.append(made)
        return f"{self._name}x{len(self._made) - 1}x"

    def put_into(self, html: str) -> str:
        """The HTML with the formulas in place of their names."""
        if not self._made:
            return html
        return re.sub(f"{self._name}x([0-9]+)x", lambda name: self._made[int(name[1])], html)


@lru_cache(maxsize=2_000)
def mathml(tex: str, is_block: bool) -> str | None:
    """The formula as MathML, None if it cannot or may not be made."""
    if len(tex) > LIMIT or UNWANTED.search(tex) or depth_of(tex) > DEPTH:
        return None
    from latex2mathml.converter import convert_to_element

    try:
        root = convert_to_element(
            ALIGNED.sub(r"\\\1{split}", tex), display="block" if is_block else "inline"
        )
        elements = sum(1 for _ in root.iter())
        return "".join(written(root)) if elements <= ELEMENTS else None
    except Exception:
        return None  # whatever the library cannot read, its reader can


def depth_of(tex: str) -> int:
    """How deep braces, environments and pairs of brackets nest."""
    depth = deepest = 0
    for found in re.finditer(r"\\[{}]|[{}]|\\(begin|end|left|right)(?![a-z])", tex, re.I):
        step = {"{": 1, r"\begin": 1, r"\left": 1, "}": -1, r"\end": -1, r"\right": -1}
        depth += step.get(found[0], 0)
        deepest = max(deepest, depth)
    return deepest


def written(element: Element, depth: int = 0) -> Iterator[str]:
    """The element's HTML in pieces.

    Raises ValueError for a tag that is not listed or too deep, and for what is left of a table
    that was not understood: its cells would run into one line that says something else.
    """
    is_lost = element.get("linebreak") or (element.tag == "mi" and element.text == "&")
    if element.tag not in NAMES or depth > 3 * DEPTH or is_lost:
        raise ValueError(element.tag)
    attributes = "".join(
        f' {name}="{escape(value)}"'
        for name, value in element.attrib.items()
        if name in ATTRIBUTES and ATTRIBUTES[name].fullmatch(value)
    )
    yield f"<{element.tag}{attributes}>{text_of(element.text)}"
    for child in element:
        yield from written(child, depth + 1)
        yield text_of(child.tail)
    yield f"</{element.tag}>"


def text_of(text: str | None) -> str:
    """An element's text, escaped."""
    return escape(clean(NUMBERED.sub(lambda found: character(int(found[1], 16)), text or "")))


def character(number: int) -> str:
    """The character, unless it is one of half a pair."""
    return "\ufffd" if 0xD800 <= number <= 0xDFFF else chr(number)


def is_formula(tex: str, before: str, after: str) -> bool:
    """Whether the text between two dollars, and the text around them, is math, not money."""
    if not tex or tex[0].isspace() or tex[-1].isspace() or "`" in tex or "\n" in tex:
        return False
    if before.isalnum() or (after[:1].isalnum() and not ENDING.match(after)):
        return False
    words = WORD.search(NAMED.sub("", tex))
    if tex[0].isdigit():
        return not words and bool(SIGN.search(tex) or not re.search(r"\s", tex))
    return not (words and re.search(r"\s", tex) and not SIGN.search(tex))


def closing(source: str, closer: str, start: int, end: int) -> int:
    """Where the closer stands that no backslash escapes, -1 if nowhere."""
    end = min(end, start + SEARCH)
    while (found := source.find(closer, start, end)) >= 0:
        first = found
        while first > start and source[first - 1] == "\\":
            first -= 1
        if (found - first) % 2 == 0:
            return found
        start = found + 1
    return -1


def inline_rule(state: StateInline, silent: bool) -> bool:
    """A formula between dollars or in `\\(…\\)`, `\\[…\\]`."""
    source, start = state.src, state.pos
    opener = source[start : start + 2]
    if opener in CLOSERS:
        closer = CLOSERS[opener]
    elif opener[:1] == "$":
        opener = closer = "$"
    else:
        return False
    end = closing(source, closer, start + len(opener), state.posMax)
    tex = source[start + len(opener) : end] if end >= 0 else ""
    stop = end + len(closer)
    if not tex.strip():
        return False
    if opener == "$" and not is_formula(
        tex, source[max(start - 1, 0) : start], source[stop : stop + 3]
    ):
        return False
    if not silent:
        push(state, "math_inline", tex, source[start:stop], opener in ("$$", r"\["))
    state.pos = stop
    return True


def block_rule(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A formula whose delimiters stand on lines of their own; a blank line ends it too.

    One not closed is shown as its source, so that no later line turns finished blocks into math.
    """
    opener = line_of(state, start)
    if opener not in ("$$", r"\[") or state.is_code_block(start):
        return False
    if silent:
        return True
    line, is_closed = start + 1, False
    while line < end and line_of(state, line) and state.sCount[line] >= state.blkIndent:
        is_closed = line_of(state, line) == CLOSERS[opener]
        line += 1
        if is_closed:
            break
    source = state.getLines(start, line, state.blkIndent, False)
    tex = "\n".join(source.split("\n")[1:-1]) if is_closed else ""
    state.line = line
    push(state, "math_block", tex, source, True).map = [start, line]
    return True


def line_of(state: StateBlock, line: int) -> str:
    """The line without the space around it."""
    return state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]].strip()


def push(state: Any, kind: str, tex: str, source: str, is_block: bool) -> Any:
    """A formula's token: its TeX, and how it stands in the text."""
    token = state.push(kind, "math", 0)
    token.content, token.markup, token.block = tex.strip(), source, kind == "math_block"
    token.meta = {"is_block": is_block}
    return token


def add_rules(parser: MarkdownIt) -> MarkdownIt:
    """The parser, which knows formulas now."""
    parser.inline.ruler.before("escape", "math_inline", inline_rule)
    interrupts: RuleOptionsType = {"alt": ["paragraph", "reference", "blockquote", "list"]}
    parser.block.ruler.before("fence", "math_block", block_rule, interrupts)
    return parser
