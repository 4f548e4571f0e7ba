"""A chat as a notebook: each question a %%chat cell, its answer the cell's output.

Opening it runs nothing; running it asks the same questions again. A question stays text,
whatever it says, and no Markdown cell or output holds what was said unescaped.
"""

import json
import re
from typing import Any

from nbchat.export.content import Content
from nbchat.export.markdown import heading_of
from nbchat.messages import Message
from nbchat.render.conversation import removed_of
from nbchat.render.plain import clean
from nbchat.render.transcript import plain_message, render_message
from nbchat.render.values import Pictures

# lines that IPython may take for a pasted prompt, and strip
PROMPT = re.compile(r"^\s*(>>>|\.\.\.|In ?\[|\[(nav|ins)\])", re.MULTILINE)


def notebook_of(content: Content) -> str:
    """The chat as a notebook's JSON, nbformat 4.5."""
    answers = {
        message.parent_id: message for message in content.messages if message.role == "assistant"
    }
    cells = [
        _cell("markdown", "title", heading_of(content)),
        _code("load", "%load_ext nbchat"),
        *(
            _question(message, answers.get(message.id), content.pictures)
            for message in content.messages
            if message.role == "user"
        ),
    ]
    notebook = {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(notebook, ensure_ascii=False, indent=1) + "\n"


def _question(message: Message, answer: Message | None, pictures: Pictures) -> dict[str, Any]:
    outputs = [_output(message, pictures)] if message.status == "failed" else []
    outputs += [_output(answer, pictures)] if answer else []
    return _code(message.id, source_of(message), outputs)


def source_of(message: Message) -> str:
    """Code that asks exactly this; a comment where the question was removed."""
    text = message.content
    if not text.strip():
        return f"# {removed_of(message)}".rstrip()
    if clean(text) == text and not PROMPT.search(text):
        # --raw: what was typed had been filled in before it was asked
        return f"%%chat --raw\n{text}"
    return f"get_ipython().run_cell_magic('chat', '--raw', {text!r})"


def _output(message: Message, pictures: Pictures) -> dict[str, Any]:
    data = {
        "text/html": render_message(message, footer=message.role == "assistant", pictures=pictures),
        "text/plain": plain_message(message, footer=message.role == "assistant"),
    }
    return {"output_type": "display_data", "data": data, "metadata": {}}


def _code(id_: str, source: str, outputs: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {**_cell("code", id_, source), "execution_count": None, "outputs": outputs or []}


def _cell(kind: str, id_: str, source: str) -> dict[str, Any]:
    return {"cell_type": kind, "id": id_, "metadata": {}, "source": source}
