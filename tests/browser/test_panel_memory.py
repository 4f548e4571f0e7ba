"""One conversation, wherever it is looked at: views, panels, cells, reloads, no kernel."""

import subprocess
import sys

import pytest
from playwright.sync_api import expect

from browser.notebook import HOSTS
from browser.panel import SETUP, panel_in
from browser.scripted import Told
from browser.server import environment

SAME = """
other = nbchat.load_chat("talk", store="k.duckdb", respond=told())
other.panel()
"""


@pytest.mark.parametrize("host", HOSTS)
def test_every_view_shows_the_same_live(host, open_notebook):
    notebook = open_notebook(
        *(SETUP + "panel = talk.panel()", "panel", "panel"),
        *(SAME, "talk.ask('From a cell')"),
        host=host,
    )
    notebook.run(0, 1, 2, 3)
    views, model = [panel_in(notebook, cell) for cell in (1, 2, 3)], Told(notebook.folder)

    views[0].send("Hello")
    reply = model.reply("Good")
    for view in views:
        view.says("Hello", "Good")
    reply.say(" morning")
    reply.end()
    for view in views:
        view.is_idle()
        view.says("Hello", "Good morning")

    notebook.start(4)
    model.reply("For all to see.", ended=True)
    notebook.finish()
    for view in views:
        view.says("Hello", "Good morning", "From a cell", "For all to see.")


@pytest.mark.parametrize("host", HOSTS)
def test_a_reload_in_the_middle_of_an_answer_goes_on(host, open_notebook):
    notebook = open_notebook(SETUP, "talk.panel()", host=host)
    notebook.run(0, 1)
    panel, model = panel_in(notebook), Told(notebook.folder)
    panel.send("Hello")
    reply = model.reply("Good")
    panel.says("Hello", "Good")
    notebook.save()

    notebook.load()
    panel = panel_in(notebook)
    panel.says("Hello", "Good")
    reply.say(" morning")
    reply.end()

    panel.says("Hello", "Good morning")
    panel.is_idle()
    panel.says("Hello", "Good morning")


def test_a_new_kernel_goes_on_where_the_last_one_stopped(open_notebook):
    notebook = open_notebook(
        SETUP, "talk.panel()", 'import nbchat\nnbchat.open_panel("talk", store="k.duckdb")'
    )
    notebook.run(0, 1)
    panel, model = panel_in(notebook), Told(notebook.folder)
    model.reply("Good morning", ended=True)
    panel.send("Hello")
    panel.says("Hello", "Good morning")
    panel.is_idle()
    notebook.save()
    notebook.end_kernel()

    notebook.load()
    notebook.run(2)

    panel_in(notebook, 2).says("Hello", "Good morning")


@pytest.mark.parametrize("host", HOSTS)
def test_without_a_kernel_the_conversation_is_still_there(
    host, open_notebook, page, snap, tmp_path
):
    notebook = open_notebook(SETUP, "talk.panel()", host=host)
    notebook.run(0, 1)
    panel, model = panel_in(notebook), Told(notebook.folder)
    model.reply("Good **morning**", ended=True)
    panel.send("Hello")
    panel.is_idle()
    panel.says("Hello", "Good morning")
    transcript = notebook.output(1).locator(".nbchat-static")
    expect(transcript.filter(has_text="Good morning").first).to_be_attached()
    expect(transcript.first).to_be_hidden()
    notebook.save()
    notebook.end_kernel()

    notebook.load()
    expect(transcript.first).to_be_visible()
    expect(transcript.first).to_contain_text("Good morning")
    # what the host says of a widget that nobody revives is there, and takes no room
    broken = notebook.output(1).get_by_text("Error displaying widget")
    expect(broken).to_be_attached()
    expect(broken).to_be_hidden()
    snap(f"panel-without-kernel-{host}")

    run = subprocess.run(
        [sys.executable, "-m", "jupyter", "nbconvert", "--to", "html", str(notebook.path)],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    html = notebook.path.with_suffix(".html").read_text(encoding="utf-8")
    assert "<strong>morning</strong>" in html
    kept = [set(o.get("data", {})) for o in notebook.outputs(1)]
    assert {"text/html", "text/plain"} in kept
    assert not any("text/markdown" in kinds for kinds in kept)


@pytest.mark.parametrize("host", HOSTS)
def test_the_drawer_finds_and_opens_other_chats(host, open_notebook, snap):
    more = """
for name, text in (("harbour", "ships"), ("forest", "trees")):
    nbchat.create_chat("function/x", respond=lambda r: f"About {text}", store="k.duckdb",
                       name=name).ask(f"Tell me of {text}")
"""
    notebook = open_notebook(SETUP + more, "talk.panel()", host=host)
    notebook.run(0, 1)
    panel = panel_in(notebook)

    panel.button("Chats").click()
    rows = panel.root.get_by_role("complementary", name="Chats").get_by_role("listitem")
    expect(rows).to_have_count(3)
    panel.root.get_by_role("searchbox", name="Search chats").fill("trees")
    expect(rows).to_have_count(1)
    snap(f"panel-drawer-{host}")
    rows.first.get_by_role("button").first.click()

    panel.says("Tell me of trees", "About trees")
    expect(panel.button("Rename: forest")).to_be_visible()


@pytest.mark.parametrize("host", HOSTS)
def test_a_dropped_file_is_shown_before_it_is_sent_and_kept(host, open_notebook, snap):
    notebook = open_notebook(SETUP, "talk.panel()", host=host)
    notebook.run(0, 1)
    panel, model = panel_in(notebook), Told(notebook.folder)

    panel.root.evaluate(
        """(root) => {
          const data = new DataTransfer();
          data.items.add(new File(['a,b\\n1,2\\n'], 'orders.csv', {type: 'text/csv'}));
          for (const kind of ['dragenter', 'dragover', 'drop'])
            root.dispatchEvent(new DragEvent(kind, {dataTransfer: data, bubbles: true}));
        }"""
    )
    chips = panel.root.get_by_role("list", name="To be sent")
    expect(chips).to_contain_text("orders.csv")
    model.reply("Two columns.", ended=True)
    panel.send("What is in it?")
    panel.is_idle()

    panel.says("What is in it?", "Two columns.")
    expect(panel.messages.first).to_contain_text("orders.csv")
    expect(chips).to_be_hidden()
    snap(f"panel-attached-{host}")
