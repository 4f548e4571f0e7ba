"""What happens inside turns and between them: tools, approvals, branches, failures."""

import pytest
from playwright.sync_api import expect

from browser.notebook import HOSTS
from browser.panel import SETUP, TOOLS, ask_to_cancel, panel_in
from browser.scripted import Told


@pytest.mark.parametrize("host", HOSTS)
def test_a_call_runs_only_when_it_is_approved(host, open_notebook, snap):
    notebook = open_notebook(SETUP + TOOLS, "talk.panel()", host=host)
    notebook.run(0, 1)
    panel, model = panel_in(notebook), Told(notebook.folder)

    ask_to_cancel(panel, model, 7)
    expect(panel.button("Approve")).to_be_visible()
    expect(panel.root.get_by_role("status")).to_contain_text("needs your approval")
    snap(f"panel-approval-{host}")
    model.reply("It is cancelled.", ended=True)
    panel.button("Approve").click()
    panel.is_idle()
    panel.says("Cancel order 7", "It is cancelled.")
    expect(panel.messages.nth(1)).to_contain_text("order 7 is cancelled")

    ask_to_cancel(panel, model, 8)
    model.reply("Then it stays.", ended=True)
    panel.button("Deny").click()
    panel.is_idle()
    expect(panel.messages.last).to_contain_text("Then it stays.")
    expect(panel.messages.last).to_contain_text("denied")
    expect(panel.messages.last).not_to_contain_text("order 8 is cancelled")


@pytest.mark.parametrize("host", HOSTS)
def test_an_edit_and_a_retry_are_branches_that_can_be_walked(host, open_notebook, snap):
    notebook = open_notebook(SETUP, "talk.panel()", host=host)
    notebook.run(0, 1)
    panel, model = panel_in(notebook), Told(notebook.folder)
    model.reply("One.", ended=True)
    panel.send("Count")
    panel.is_idle()
    panel.says("Count", "One.")

    panel.act(0, "Edit message")
    model.reply("Zwei.", ended=True)
    edit = panel.root.get_by_role("textbox", name="Edit message")
    edit.fill("Zähle")
    edit.press("Enter")
    panel.says("Zähle", "Zwei.")
    expect(panel.messages.first).to_contain_text("2/2")
    snap(f"panel-branches-{host}")

    panel.act(0, "Previous version")
    panel.says("Count", "One.")
    expect(panel.messages.first).to_contain_text("1/2")

    model.reply("One, two.", ended=True)
    panel.act(1, "Regenerate")
    panel.says("Count", "One, two.")
    expect(panel.messages.first).to_contain_text("3/3")
    panel.act(0, "Previous version")
    panel.says("Zähle", "Zwei.")


@pytest.mark.parametrize("host", HOSTS)
def test_a_failure_is_told_and_can_be_tried_again(host, open_notebook):
    notebook = open_notebook(SETUP, "talk.panel()", host=host)
    notebook.run(0, 1)
    panel, model = panel_in(notebook), Told(notebook.folder)

    panel.send("Hello?")
    model.reply().fail("the line is dead")
    expect(panel.root).to_contain_text("the line is dead")
    model.reply("Here I am.", ended=True)
    panel.button("Retry").click()

    expect(panel.messages.last).to_contain_text("Here I am.")


def test_a_turn_is_deleted_and_rated(open_notebook):
    notebook = open_notebook(
        SETUP, "talk.panel()", "print([(m.role, m.content) for m in talk.messages()])"
    )
    notebook.run(0, 1)
    panel, model = panel_in(notebook), Told(notebook.folder)
    for answer in ("Keep.", "Lose."):
        model.reply(answer, ended=True)
        panel.send(f"{answer}?")
        expect(panel.messages.last).to_contain_text(answer)
        panel.is_idle()

    panel.act(1, "Good answer")
    good = panel.messages.nth(1).get_by_role("button", name="Good answer")
    expect(good).to_have_attribute("aria-pressed", "true")
    panel.act(2, "Delete this turn")
    panel.messages.nth(2).get_by_role("button", name="Delete this turn: press again").click()
    panel.says("Keep.?", "Keep.")

    notebook.run(2)
    assert "Lose" not in notebook.outputs(2)[0]["text"]


def test_a_call_that_waits_is_approved_after_a_reload_in_a_new_kernel(open_notebook):
    later = SETUP.replace('name="talk"', 'name="talk", confirm="later"') + TOOLS
    again = "import nbchat\nfrom browser.scripted import told\n" + TOOLS.replace(
        "talk.with_tool(cancel)",
        'nbchat.load_chat("talk", store="k.duckdb", respond=told(), tools=[cancel]).panel()',
    )
    notebook = open_notebook(later, "talk.ask('Cancel order 7').status", again)
    model = Told(notebook.folder)
    reply = model.reply()
    reply.call("cancel", order=7)
    reply.end()
    notebook.run(0, 1)
    notebook.save()
    notebook.end_kernel()

    notebook.load()
    notebook.run(2)
    panel = panel_in(notebook, 2)
    model.reply("It is cancelled.", ended=True)
    panel.button("Approve").click()

    expect(panel.messages.last).to_contain_text("It is cancelled.")
    expect(panel.messages.last).to_contain_text("order 7 is cancelled")
