"""A `%%chat` cell in both hosts: it streams into its output, and what stays is static."""

import pytest
from playwright.sync_api import expect

from browser.notebook import HOSTS
from browser.scripted import Told

SETUP = """
import nbchat
from browser.scripted import told
%load_ext nbchat
talk = nbchat.create_chat("function/told", respond=told(), store="k.duckdb", name="talk")
%chat -c talk
"""


@pytest.mark.parametrize("host", HOSTS)
def test_a_chat_cell_streams_and_leaves_a_static_transcript(host, open_notebook, snap):
    notebook = open_notebook(SETUP, "%%chat\nHow are you?", host=host)
    model = Told(notebook.folder)
    notebook.run(0)

    notebook.start(1)
    reply = model.reply("I am **well**")
    expect(notebook.output(1).locator("strong")).to_have_text("well")
    expect(notebook.output(1)).not_to_contain_text("and you?")
    reply.say(", and you?")
    reply.end()
    notebook.finish()

    expect(notebook.output(1)).to_contain_text("I am well, and you?")
    [output] = notebook.outputs(1)
    assert set(output["data"]) == {"text/html", "text/plain"}
    snap(f"chat-cell-{host}")


@pytest.mark.parametrize("host", HOSTS)
def test_interrupting_the_kernel_keeps_the_partial_answer(host, open_notebook):
    notebook = open_notebook(SETUP, "%%chat\nGo on and on.", host=host)
    model = Told(notebook.folder)
    notebook.run(0)

    notebook.start(1)
    model.reply("Once upon a time")
    expect(notebook.output(1)).to_contain_text("Once upon a time")
    notebook.interrupt()
    notebook.finish()

    expect(notebook.output(1)).to_contain_text("stopped")
    expect(notebook.output(1)).to_contain_text("Once upon a time")
