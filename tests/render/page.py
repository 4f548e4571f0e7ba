"""Reads rendered HTML as a page would, and lists what should not be in it."""

import re
from html.parser import HTMLParser

LINK = re.compile(r"https?://[\w.\-\[\]:]+([/?#][^\s<>\"]*)?|mailto:[\w.%+-]+@[\w.-]+(\?.*)?", re.A)
PICTURE = re.compile(r"data:image/(png|jpeg|gif|webp);base64,[\w+/=]*", re.A)
STYLE = re.compile(
    r"opacity: 0\.7|white-space: pre-wrap|text-align:(left|center|right)"
    r"|color: #[0-9a-f]{6}(; font-(weight: bold|style: italic))?|font-weight: bold"
)
CLASS = re.compile(r"(nbchat-[a-z]+|tex2jax_ignore|mathjax_ignore|language-[a-z0-9+]+| )+")
VOID = {"br", "hr", "img"}
MATH = """math mrow mi mn mo mtext mspace mfrac msqrt mroot msub msup msubsup munder mover
    munderover mmultiscripts mprescripts none mtable mtr mtd mstyle mpadded mphantom"""
WORDS = re.compile(r"[a-z0-9 .-]{1,40}")
MATH_NAMES = """accent accentunder columnalign display displaystyle fence form largeop
    linethickness mathvariant maxsize minsize movablelimits scriptlevel separator stretchy
    symmetric width"""
BARE = """blockquote br del em h1 h2 h3 h4 h5 h6 hr li p pre s strong summary table tbody thead
    tr ul"""
ATTRIBUTES = {
    **{tag: {} for tag in BARE.split()},
    **{tag: dict.fromkeys(MATH_NAMES.split(), WORDS) for tag in MATH.split()},
    "a": {
        "href": LINK,
        "target": re.compile("_blank"),
        "rel": re.compile("noopener noreferrer nofollow"),
    },
    "code": {"class": CLASS},
    "details": {"class": CLASS},
    "div": {"class": CLASS, "style": STYLE},
    "img": {"class": CLASS, "src": PICTURE, "alt": re.compile(".*", re.S)},
    "ol": {"start": re.compile("[0-9]+")},
    "span": {"style": STYLE},
    "td": {"style": STYLE},
    "th": {"style": STYLE},
}


class Page(HTMLParser):
    """What a page consists of: its visible text, its tags, its links, and its faults."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""
        self.tags: list[str] = []
        self.links: list[str] = []
        self.faults: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        self.faults += [f"<{tag}> left open" for tag in self._open]

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in VOID:
            self._open.append(tag)
        if tag not in ATTRIBUTES:
            self.faults.append(f"<{tag}>")
            return
        for name, value in attrs:
            allowed = ATTRIBUTES[tag].get(name)
            if allowed is None or not allowed.fullmatch(value or ""):
                self.faults.append(f"<{tag} {name}={value!r}>")
        if tag == "a":
            self.links.append(dict(attrs).get("href", ""))
            if set(dict(attrs)) != {"href", "target", "rel"}:
                self.faults.append(f"<a> with {sorted(dict(attrs))}")

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.faults.append(f"<{tag}/>")

    def handle_endtag(self, tag):
        if not self._open or self._open.pop() != tag:
            self.faults.append(f"</{tag}> out of order")

    def handle_data(self, data):
        self.text += data
        if re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", data):
            self.faults.append(f"control characters in {data!r}")

    def handle_comment(self, data):
        self.faults.append(f"comment {data!r}")

    def handle_decl(self, decl):
        self.faults.append(f"declaration {decl!r}")

    unknown_decl = handle_decl
    handle_pi = handle_decl
