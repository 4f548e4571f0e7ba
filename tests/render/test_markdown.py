"""What a reader sees of the model's Markdown."""

import re

import pytest
from page import Page

from nbchat.render.highlight import COLORS, LANGUAGES, LIMIT, highlight
from nbchat.render.markdown import render_markdown

PAGE_COLORS = ["#ffffff", "#111111", "#212121"]  # JupyterLab's light and dark pages


def test_an_empty_text_is_empty() -> None:
    assert render_markdown("") == ""


def test_headings_lists_and_emphasis_render() -> None:
    text = "# Title\n\n1. one\n2. *two*\n   - **three**\n\n> said\n\n~~gone~~ `x`\n\n---"

    tags = Page(render_markdown(text)).tags

    assert tags == [
        *("h1", "ol", "li", "li", "em", "ul", "li", "strong"),
        *("blockquote", "p", "p", "s", "code", "hr"),
    ]


def test_a_table_renders_with_its_alignment() -> None:
    html = render_markdown("| city | n |\n|:--|--:|\n| Oslo | 3 |")

    assert '<td style="text-align:left">Oslo</td>' in html
    assert '<td style="text-align:right">3</td>' in html


def test_a_list_starts_where_the_model_says() -> None:
    assert '<ol start="3">' in render_markdown("3. x")


def test_currency_stays_text() -> None:
    assert render_markdown("It costs $5 and $10.") == "<p>It costs $5 and $10.</p>\n"


def test_html_in_the_text_is_shown_as_it_was_written() -> None:
    assert Page(render_markdown("a <b>c</b> &amp; d")).text.strip() == "a <b>c</b> & d"


def test_a_bare_address_is_not_made_a_link() -> None:
    assert Page(render_markdown("see https://example.org")).links == []


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_highlighting_keeps_every_character(language: str) -> None:
    code = "\n\ndef f(x):  # <b> & ü\n    return 'x' + 1\n\n\tend\n"

    page = Page(f"<pre>{highlight(code, language)}</pre>")

    assert page.text == code
    assert page.faults == []


def test_highlighted_code_has_colours_that_survive_the_sanitizer() -> None:
    html = render_markdown("```python\nreturn 1\n```")

    assert html.startswith('<pre><code class="language-python"><span style="color: #')


@pytest.mark.parametrize("fence", ["```\nx = 1\n```", "```klingon\nx = 1\n```"])
def test_code_of_no_known_language_is_plain(fence: str) -> None:
    assert render_markdown(fence) == "<pre><code>x = 1\n</code></pre>\n"


def test_a_very_long_code_block_is_not_highlighted() -> None:
    code = "x = 1\n" * (LIMIT // 6 + 1)

    assert render_markdown(f"```python\n{code}```") == (
        f'<pre><code class="language-python">{code}</code></pre>\n'
    )


@pytest.mark.parametrize("page", PAGE_COLORS)
def test_code_reads_on_light_and_dark_pages(page: str) -> None:
    colors = set(re.findall(r"#[0-9a-f]{6}", " ".join(COLORS.values())))

    low = {color: contrast(color, page) for color in colors if contrast(color, page) < 3.5}

    assert low == {}


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours as WCAG 2 defines it."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def luminance(color: str) -> float:
    channels = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
