"""What the panel does with its host: code into cells, drafts across redrawing, pictures."""

import base64
import io

import pytest
from PIL import Image as Picture
from playwright.sync_api import expect

from browser.notebook import HOSTS
from browser.panel import SETUP, panel_in
from browser.scripted import Told

CODE = "for row in rows:\n    if row:\n        print(f'{row}: (\"one\")')"
ANSWER = f"Run this:\n\n```python\n{CODE}\n```\n"
DRAWING = """
import nbchat, pandas as pd
from browser.scripted import told
from matplotlib.figure import Figure

def orders() -> pd.DataFrame:
    "The orders."
    return pd.DataFrame({"city": ["Oslo", "Rome"], "pairs": [3, 6]})

def chart() -> Figure:
    "The orders, drawn."
    figure = Figure(figsize=(4, 2))
    figure.subplots().bar(["Oslo", "Rome"], [3, 6])
    return figure

talk = nbchat.create_chat("function/told", respond=told(), store="k.duckdb", tools=[orders, chart])
"""
# what a picture shows: its own size once it is there, 0 before
WIDTH = "(img) => img.naturalWidth"


@pytest.mark.parametrize("host", HOSTS)
def test_code_goes_into_a_new_cell_below_and_does_not_run(host, open_notebook, snap):
    notebook = open_notebook(SETUP, "talk.panel()", "'below'", host=host)
    notebook.run(0, 1)
    panel, model = panel_in(notebook), Told(notebook.folder)
    model.reply(ANSWER, ended=True)
    panel.send("How?")
    panel.is_idle()

    panel.messages.nth(1).locator("pre").hover()
    panel.button("Insert as a cell").click()

    editor = notebook.page.locator(".jp-Cell").nth(2).locator(".cm-content")
    expect(editor).to_contain_text("for row in rows:")
    assert notebook.sources()[2:] == [CODE, "'below'"]
    assert notebook.outputs(2) == []
    snap(f"panel-inserted-{host}")


def test_a_draft_outlives_the_view_it_was_typed_in(open_notebook):
    notebook = open_notebook(SETUP + "\npanel = talk.panel()", "panel")
    notebook.run(0, 1)
    view = panel_in(notebook)
    view.input.fill("Half a thou")

    notebook.run(1)

    expect(panel_in(notebook).input).to_have_value("Half a thou")


def test_a_panel_lives_inside_another_widget(open_notebook):
    box = "import ipywidgets as w; w.VBox([w.Label('above'), talk.panel()])"
    notebook = open_notebook(SETUP, box)
    notebook.run(0, 1)
    panel, model = panel_in(notebook), Told(notebook.folder)
    model.reply("Inside.", ended=True)

    panel.send("Where are you?")

    panel.says("Where are you?", "Inside.")
    expect(notebook.output(1)).to_contain_text("above")


def test_what_tools_returned_and_people_sent_is_seen_as_it_is_also_after_a_reload(
    open_notebook, snap
):
    notebook = open_notebook(DRAWING, "talk.panel()")
    notebook.run(0, 1)
    panel, model = panel_in(notebook), Told(notebook.folder)
    held = io.BytesIO()
    Picture.new("RGB", (40, 20), "teal").save(held, format="PNG")
    first = model.reply()
    first.call("orders")
    first.call("chart")
    first.end()
    model.reply("Six in Rome.", ended=True)

    panel.root.evaluate(
        """(root, data) => {
          const bytes = Uint8Array.from(atob(data), (one) => one.charCodeAt(0));
          const clipboardData = new DataTransfer();
          clipboardData.items.add(new File([bytes], 'teal.png', {type: 'image/png'}));
          root.querySelector('textarea').dispatchEvent(
            new ClipboardEvent('paste', {clipboardData, bubbles: true, cancelable: true}));
        }""",
        base64.b64encode(held.getvalue()).decode(),
    )
    expect(panel.root.get_by_role("list", name="To be sent")).to_contain_text("teal.png")
    panel.send("Draw the orders")
    panel.is_idle()
    is_seen(panel, snap, "panel-pictures")

    notebook.save()
    notebook.load()
    is_seen(panel_in(notebook), snap, "panel-pictures-again")


def is_seen(panel, snap, name):
    """The picture that was sent, the table and the figure are in the transcript."""
    sent = panel.messages.first.get_by_role("img", name="teal.png")
    wait_for_width(sent, 40)
    for tool in ("orders", "chart"):
        panel.root.get_by_role("group", name=f"Tool {tool}: ok").locator("summary").first.click()
    expect(panel.root.get_by_role("cell", name="Rome")).to_be_visible()
    drawn = panel.root.get_by_role("group", name="Tool chart: ok").get_by_role("img")
    wait_for_width(drawn, 100)
    snap(name)


def wait_for_width(picture, least):
    """Wait until the picture is loaded, at least so wide."""
    expect(picture).to_have_js_property("complete", True)
    expect(picture).to_be_visible()
    for _ in range(100):
        if picture.evaluate(WIDTH) >= least:
            return
        picture.page.wait_for_timeout(50)
    raise AssertionError(f"The picture is {picture.evaluate(WIDTH)} wide.")
