"""A chat as Markdown that is as harmless as the other formats, whoever shows it.

Names, arguments, results and instructions stand as they are, escaped or in code blocks;
what was said and thought is still Markdown where that is safe.
"""

import json

from nbchat.export.content import Content, facts_of, title_of, totals_of
from nbchat.export.inert import fenced, inert_line, inert_markdown
from nbchat.messages import File, Image, Message, Text, Thinking
from nbchat.render.conversation import WHO, removed_of, time_of
from nbchat.render.transcript import (
    Segment,
    ToolRow,
    attachment_line,
    footer_of,
    partial_of,
    segments_of,
    status_of,
)


def markdown_of(content: Content) -> str:
    """The chat as a Markdown file."""
    blocks = [heading_of(content), "---"]
    for message in content.messages:
        blocks += [block for block in blocks_of(message) if block]
    return "\n\n".join([*blocks, "---", _faint(totals_of(content))]) + "\n"


def heading_of(content: Content) -> str:
    """What stands above the messages: title, facts, instructions."""
    facts = "\n".join(
        f"- **{name}:** {inert_line(value)}" for name, value in facts_of(content).items() if value
    )
    blocks = [f"# {inert_line(title_of(content))}", facts]
    if content.chat.instructions:
        blocks += ["**Instructions**", fenced(content.chat.instructions)]
    return "\n\n".join(blocks)


def blocks_of(message: Message) -> list[str]:
    """A message in blocks, some of them empty."""
    return [
        f"## {WHO[message.role]}",
        _faint(time_of(message.created_at)),
        *map(_block_of, segments_of(message)),
        _strong(status_of(message)),
        inert_markdown(partial_of(message)),
        _strong(removed_of(message)),
        _faint(footer_of(message)) if message.role == "assistant" else "",
    ]


def _block_of(segment: Segment) -> str:
    if isinstance(segment, Text):
        return inert_markdown(segment.text)
    if isinstance(segment, Thinking):
        return _quoted(f"**Thinking**\n\n{inert_markdown(segment.text)}")
    if isinstance(segment, Image | File):
        return _faint(attachment_line(segment))
    return _tool_block(segment)


def _tool_block(row: ToolRow) -> str:
    is_text = isinstance(row.arguments, str)
    arguments = json.dumps(row.arguments, ensure_ascii=False, indent=2, default=str)
    blocks = [
        f"**Tool call:** {inert_line(row.name)} ({inert_line(row.status)})",
        fenced(str(row.arguments)) if is_text else fenced(arguments, "json"),
    ]
    if row.result is not None:
        blocks += ["**Result:**", fenced(row.result)]
    return "\n\n".join(blocks)


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.split("\n"))


def _faint(text: str) -> str:
    return f"*{inert_line(text)}*" if text else ""


def _strong(text: str) -> str:
    return f"**{inert_line(text)}**" if text else ""
