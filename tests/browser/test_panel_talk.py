"""A conversation in the panel: asking, streaming, stopping, keys, in both hosts."""

import pytest
from playwright.sync_api import expect

from browser.notebook import HOSTS
from browser.panel import SETUP, panel_in
from browser.scripted import Told

BUSY = "import pathlib\nwhile not pathlib.Path('free').exists(): pass"


@pytest.mark.parametrize("host", HOSTS)
def test_enter_asks_and_the_answer_streams_in(host, open_notebook, snap):
    notebook = open_notebook(SETUP, "talk.panel()", host=host)
    notebook.run(0, 1)
    panel, model = panel_in(notebook), Told(notebook.folder)

    panel.send("How are you?")
    panel.says("How are you?", "")
    reply = model.reply("I am **well**")
    expect(panel.messages.last.locator("strong")).to_have_text("well")
    expect(panel.input).to_have_value("")
    reply.say(", thanks.\n\n```python\nprint(1)\n```\n")
    reply.end()

    panel.is_idle()
    panel.says("How are you?", "I am well, thanks.")
    expect(panel.messages.last).to_contain_text("12 in")
    snap(f"panel-light-{host}")


@pytest.mark.parametrize("host", HOSTS)
def test_stop_keeps_the_partial_answer_and_the_next_question_works(host, open_notebook):
    notebook = open_notebook(SETUP, "talk.panel()", host=host)
    notebook.run(0, 1)
    panel, model = panel_in(notebook), Told(notebook.folder)

    panel.send("Go on and on.")
    model.reply("Once upon a time")
    panel.says("Go on and on.", "Once upon a time")
    panel.button("Stop").click()
    panel.is_idle()
    expect(panel.messages.last).to_contain_text("stopped")
    model.reply("The end.", ended=True)
    panel.send("And?")

    panel.says("Go on and on.", "Once upon a time", "And?", "The end.")


@pytest.mark.parametrize("host", HOSTS)
def test_stop_works_while_another_cell_computes(host, open_notebook):
    notebook = open_notebook(SETUP, "talk.panel()", BUSY, host=host)
    notebook.run(0, 1)
    panel, model = panel_in(notebook), Told(notebook.folder)

    notebook.start(2)
    panel.send("Go on.")
    model.reply("On and on")
    panel.says("Go on.", "On and on")
    panel.button("Stop").click()
    panel.is_idle()
    expect(panel.messages.last).to_contain_text("stopped")

    assert notebook.outputs(2) == []
    (notebook.folder / "free").touch()
    notebook.finish()


def test_without_subshells_stop_waits_for_the_cell_and_says_so(server, open_notebook):
    kernels = "@jupyterlab/apputils-extension/kernels-settings"
    with server.setting(kernels, commsOverSubshells="disabled"):
        notebook = open_notebook(SETUP, "talk.panel()", BUSY)
    notebook.run(0, 1)
    panel, model = panel_in(notebook), Told(notebook.folder)
    panel.send("Go on.")
    reply = model.reply("On and on")
    panel.says("Go on.", "On and on")

    notebook.start(2)
    notebook.is_busy()
    panel.button("Stop").click()
    expect(panel.root.get_by_text("Stopping when the kernel is free.").first).to_be_visible()
    reply.say(" and on")
    panel.says("Go on.", "On and on and on")
    (notebook.folder / "free").touch()
    notebook.finish()

    panel.is_idle()
    expect(panel.messages.last).to_contain_text("stopped")


@pytest.mark.parametrize("host", HOSTS)
def test_typing_reaches_no_shortcut_of_the_notebook(host, open_notebook):
    notebook = open_notebook(SETUP, "talk.panel()", "x = 1", host=host)
    notebook.run(0, 1)
    panel = panel_in(notebook)
    before = notebook.sources()

    panel.input.press_sequentially("dd aa bb 00 ii xx")
    for key in ("Shift+Enter", "Escape", "ArrowUp", "ArrowDown"):
        panel.input.press(key)
    panel.log.focus()
    for key in ("d", "d", "a", "b", "x"):
        panel.log.press(key)

    expect(panel.input).to_have_value("dd aa bb 00 ii xx\n")
    expect(panel.messages).to_have_count(0)
    assert notebook.sources() == before


@pytest.mark.parametrize("host", HOSTS)
def test_everything_can_be_done_by_keys(host, open_notebook):
    notebook = open_notebook(SETUP, "talk.panel()", host=host)
    notebook.run(0, 1)
    panel, model = panel_in(notebook), Told(notebook.folder)
    model.reply("First answer.", ended=True)

    panel.send("First question")
    panel.is_idle()
    panel.says("First question", "First answer.")
    panel.input.press("ArrowUp")
    expect(panel.input).to_have_value("First question")
    panel.input.fill("Second question")
    panel.input.press("Enter")
    model.reply("Half an answer")
    panel.says("First question", "First answer.", "Second question", "Half an answer")
    panel.input.press("Escape")
    panel.is_idle()
    expect(panel.messages.last).to_contain_text("stopped")

    panel.button("Chats").focus()
    panel.button("Chats").press("Enter")
    search = panel.root.get_by_role("searchbox", name="Search chats")
    expect(search).to_be_focused()
    search.press("Escape")
    expect(search).to_be_hidden()
    expect(panel.button("Chats")).to_be_focused()
