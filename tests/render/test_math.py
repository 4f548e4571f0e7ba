"""Math is drawn, money is not math, and TeX that wants more than letters is shown as TeX."""

import re

import pytest
from attacks import ATTACKS
from page import Page

from nbchat.messages import Message, Text
from nbchat.render.formulas import LIMIT, mathml
from nbchat.render.markdown import render_markdown
from nbchat.render.transcript import render_message

MONEY = [
    "$5 and $10",
    "US$ 3 or US$ 4",
    "costs $5-$10",
    "$5/$6",
    "from $5 to 10$",
    "$5, or 5 dollars, or 6$",
    "$1,000.50 and $2,000.50",
    "$HOME and $PATH",
    "$HOME/$USER",
    "$HOME or US$",
    "A$ and B$",
    "a $ b $ c",
    "a $b $ c",
    "$",
    "$$",
    "$$$$",
    "$ x$",
    "$x $",
    "one $\n\ntwo$",
    "$`a$ b`",
    r"\$x$",
    r"\\(x\\)",
    "`$x$`",
    "```\n$$\nx\n$$\n```",
    "    $$\n    x\n    $$",
    r"an open \(x",
    r"an open \[x",
    "$5M in 2020, $6M in 2021",
]
FORMULAS = [
    "$x$",
    "$x$.",
    "($x$)",
    "the $n$th and $n$-th",
    "$5$",
    "$2x + 3$",
    "$10^5$",
    "$a_1$, $a_2$",
    "$5 is $x$",
    r"\(x\)",
    r"\(a +" "\n" r"b\)",
    r"\[x\]",
    "$$x$$",
    "text $$x$$ text",
    "$$\nx\n$$",
    "\\[\nx\n\\]",
    "para\n$$\nx\n$$\nmore",
    "- item\n  $$\n  x\n  $$",
    "> $$\n> x\n> $$",
    "| a |\n|---|\n| $x$ |",
    "**$x$**",
    r"$\$5$",
    r"$\text{if } x$",
]


@pytest.mark.parametrize("text", MONEY)
def test_what_is_not_math_stays_as_it_is(text: str) -> None:
    assert "math" not in Page(render_markdown(text, math=True)).tags


@pytest.mark.parametrize("text", FORMULAS)
def test_math_becomes_mathml(text: str) -> None:
    page = Page(render_markdown(text, math=True))

    assert "math" in page.tags
    assert page.faults == []


@pytest.mark.parametrize("text", FORMULAS)
def test_without_mathml_a_formula_is_its_source(text: str) -> None:
    page = Page(render_markdown(text))

    assert "math" not in page.tags
    assert "code" in page.tags


def test_a_formula_s_letters_are_no_markdown() -> None:
    assert render_markdown("$a_1 * b_2 * c$") == "<p><code>$a_1 * b_2 * c$</code></p>\n"


def test_a_fraction_has_two_rows() -> None:
    made = mathml(r"\frac{a}{b} \le \pi", False)

    assert made == (
        '<math display="inline"><mrow><mfrac><mrow><mi>a</mi></mrow><mrow><mi>b</mi></mrow></mfrac>'
        "<mo>≤</mo><mi>π</mi></mrow></math>"
    )


@pytest.mark.parametrize("name", ["align", "align*", "aligned", "split", "gathered", "pmatrix"])
def test_lines_of_an_environment_are_rows(name: str) -> None:
    made = mathml(rf"\begin{{{name}}}a &= b \\ c &= d\end{{{name}}}", True)

    assert made is not None
    assert Page(made).tags.count("mtr") == 2


def test_an_unknown_environment_is_its_source() -> None:
    assert mathml(r"\begin{foo}a & b \\ c & d\end{foo}", True) is None
    assert mathml(r"a \\ b", True) is None


@pytest.mark.parametrize("text", ["$$\nx", "$$\nx\n\nmore\n\n$$", "\\[\nx\n\n", "$$\n"])
def test_an_unfinished_block_is_its_source(text: str) -> None:
    html = render_markdown(text, math=True)

    assert html.startswith(f"<p><code>{text[:2]}")
    assert "<math" not in html


HOSTILE = [
    r"\href{javascript:alert(1)}{x}",
    r"\text{<img src=x onerror=alert(1)>}",
    r"\text{&lt;img src=x onerror=alert(1)&gt;}",
    r"\text{&#x3c;img src=x onerror=alert(1)&#x3e;}",
    r"\mbox{</mtext></math><script>alert(1)</script>}",
    r"\class{jp-Dialog}{x}",
    r"\style{position:fixed}{x}",
    r"\cssId{main}{x}",
    r"\unicode{<img src=x onerror=alert(1)>}",
    r"\color{red;background:url(//evil.test)}{x}",
    r"\textcolor{red}{x}",
    r"\hspace{9999em}x",
    r"\hspace{-9999em}x",
    r"\kern-99em x",
    r"\rule{9999em}{9999em}",
    r"\operatorname{<script>}",
    r"\begin{<script>}x\end{<script>}",
    r"\begin{array}{<script>}x\end{array}",
    r"\tag{<script>}x",
    r"\left<img src=x\right>",
    r"\bra{\<script>}",
    "\u202ex\x00",
    r"\xrightarrow[<b>]{<i>}",
    r"\char60 img",
]


@pytest.mark.parametrize("tex", HOSTILE)
@pytest.mark.parametrize("around", ["${}$", "$${}$$", "\\({}\\)", "\\[\n{}\n\\]", "[$x${}](x)"])
def test_hostile_math_draws_letters_at_most(tex: str, around: str) -> None:
    assert Page(render_markdown(around.replace("{}", tex), math=True)).faults == []
    assert Page(mathml(tex, True) or "").faults == []


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_attack_comes_through_math(attack: str) -> None:
    for text in (attack, f"$x{attack}$", f"$$\n{attack}\n$$", f"\\(\\text{{{attack}}}\\)"):
        assert Page(render_markdown(text, math=True)).faults == []
    message = Message("m", "c", "assistant", attack, parts=(Text(f"\\[{attack}\\]"),))
    assert Page(render_message(message, math=True)).faults == []


@pytest.mark.parametrize("tex", [r"\href{x}{y}", r"\style{a}{y}", r"\newcommand{\a}{x}\a", "x^{"])
def test_what_may_not_or_cannot_be_drawn_is_its_source(tex: str) -> None:
    assert mathml(tex, False) is None
    assert Page(render_markdown(f"\\({tex}\\)", math=True)).text.strip() == f"\\({tex}\\)"


HUGE = {
    "braces": "{" * 900 + "}" * 900,
    "roots": r"\sqrt" * 400 + "x",
    "roots in braces": r"\sqrt{" * 250 + "x" + "}" * 250,
    "fractions": r"\frac{" * 300,
    "scripts": "x^{" * 400 + "}" * 400,
    "carets": "^" * 2000,
    "lines": "_" * 2000,
    "pairs": r"\left(" * 200 + r"\right)" * 200,
    "matrices": r"\begin{pmatrix}" * 100,
    "macros": "".join(
        rf"\def\{a}{{\{b}\{b}}}" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    ),
}


@pytest.mark.parametrize("tex", HUGE.values(), ids=HUGE)
def test_huge_nesting_ends_in_bounded_html(tex: str) -> None:
    html = render_markdown(f"$$\n{tex}\n$$\n\n\\({tex}\\)", math=True)

    assert Page(html).faults == []
    assert deepest(html) < 120


def deepest(html: str) -> int:
    depths, depth = [0], 0
    for close in re.findall("<(/?)[a-z]", html):
        depth += -1 if close else 1
        depths.append(depth)
    return max(depths)


def test_a_formula_over_the_limit_is_its_source() -> None:
    assert mathml("x" * LIMIT, False) is not None
    assert mathml("x" * (LIMIT + 1), False) is None


@pytest.mark.parametrize("piece", ["$x^2$ ", "$", "$$", "\\(", "\\[", "$x", "x$", "\\", "\\\\$"])
def test_a_hundred_kilobytes_of_delimiters_are_all_there(piece: str) -> None:
    text = piece * (100_000 // len(piece))

    assert Page(render_markdown(text, math=True)).faults == []


def test_a_name_that_stands_for_a_formula_is_new_each_time() -> None:
    from nbchat.render.formulas import Formulas

    first, second = Formulas(), Formulas()
    name = first.placeholder("x", is_block=False)

    assert name is not None
    assert second.placeholder("y", is_block=False) != name
    assert second.put_into(name) == name
    assert "<math" in first.put_into(name)
