"""The panel over a real model, on this machine."""

from importlib.util import find_spec

import pytest
from playwright.sync_api import expect

from browser.panel import panel_in
from nbchat.local.weights import DEFAULT_MODEL, is_pulled

TALK = f"""
import nbchat
nbchat.create_chat("local/{DEFAULT_MODEL}", store="k.duckdb", max_tokens=40).panel()
"""


@pytest.mark.skipif(
    find_spec("xllamacpp") is None or not is_pulled(DEFAULT_MODEL),
    reason="needs the embedded model: nbchat pull",
)
def test_a_real_model_answers_in_the_panel(open_notebook, snap):
    notebook = open_notebook(TALK)
    notebook.run(0)
    panel = panel_in(notebook, 0)

    panel.send("Say hello.")
    panel.says("Say hello.", "")
    expect(panel.messages.last.get_by_role("button", name="Copy message")).to_be_attached()
    panel.is_idle()

    expect(panel.messages.last).to_contain_text(DEFAULT_MODEL)
    expect(panel.messages.last.locator("p").first).not_to_be_empty()
    snap("panel-local-model")
