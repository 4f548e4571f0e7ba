"""A chat as one HTML page that runs nothing, loads nothing and links only where it says.

Messages are the static transcripts that notebooks hold; the page around them adds names,
times and a stylesheet. Its policy forbids what should never have come through anyway.
"""

from functools import cache
from pathlib import Path

from nbchat.export.content import Content, facts_of, title_of, totals_of
from nbchat.messages import Message
from nbchat.render.conversation import WHO, removed_of, time_of
from nbchat.render.plain import clip, escaped, one_line
from nbchat.render.transcript import AS_TYPED, folded, render_message
from nbchat.render.values import Pictures

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'"
)
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<header class="nbchat-head">
<h1>{title}</h1>
<dl>{facts}</dl>
{instructions}
</header>
<main>
{articles}
</main>
<footer>{totals}</footer>
</body>
</html>
"""


def page_of(content: Content) -> str:
    """The chat as a page."""
    facts = "".join(
        f"<dt>{escaped(name)}</dt><dd>{escaped(one_line(value, 300))}</dd>"
        for name, value in facts_of(content).items()
        if value
    )
    return PAGE.format(
        policy=POLICY,
        style=stylesheet(),
        title=escaped(one_line(title_of(content), 300)),
        facts=facts,
        instructions=instructions_of(content.chat.instructions or ""),
        articles="\n".join(article_of(each, content.pictures) for each in content.messages),
        totals=escaped(totals_of(content)),
    )


@cache
def stylesheet() -> str:
    """The text of page.css."""
    return Path(__file__).with_name("page.css").read_text(encoding="utf-8")


def instructions_of(text: str) -> str:
    """The instructions, folded; '' when there are none."""
    body = f"<div {AS_TYPED}>{escaped(clip(text, 100_000))}</div>"
    return folded("instructions", "Instructions", body) if text.strip() else ""


def article_of(message: Message, pictures: Pictures) -> str:
    """A message with who said it and when."""
    who = f'<h2 class="nbchat-who">{WHO[message.role]}</h2>'
    when = f"<time>{time_of(message.created_at)}</time>"
    removed = removed_of(message)
    note = f'<div class="nbchat-removed">{escaped(removed)}</div>' if removed else ""
    is_answer = message.role == "assistant"
    body = render_message(message, footer=is_answer, pictures=pictures, math=True)
    kind = "failed" if message.status == "failed" else "turn"
    return f'<article class="nbchat-{kind}"><header>{who}{when}</header>{note}{body}</article>'
