"""Hostile text through every channel of the panel, in a real page, live and saved."""

import json

import pytest
from playwright.sync_api import expect

from browser.notebook import HOSTS
from browser.panel import PanelView
from browser.payloads import PAYLOADS, PROVOKE, SUSPECTS
from nbchat.widget.saved import HIDE_ERROR

HOSTILE = """
import json, warnings
from pathlib import Path
import nbchat
from nbchat.messages import Text, Thinking, ToolCall

payloads = json.loads(Path("payloads.json").read_text())

def echo(text: str) -> str:
    return text

def failing(text: str) -> str:
    raise RuntimeError(text)

def respond(request):
    text = payload
    if failure:
        raise RuntimeError(text)
    if request.messages[-1].role == "user":
        return [Thinking(text), Text(text), ToolCall(text, {text: text}, "1"),
                ToolCall("echo", {"text": text}, "2"), ToolCall("failing", {"text": text}, text)]
    return text

chats = []
for start in range(0, len(payloads), 40):
    failure = False
    chat = nbchat.create_chat("function/" + payloads[start], respond=respond, store=":memory:",
                              name="\\n".join(payloads[start:start + 40]), tools=[echo, failing])
    for payload in payloads[start:start + 40]:
        chat.ask(payload, nbchat_file(payload))
    chats.append(chat)
    failure = True
    for payload in payloads[start:start + 40:8]:
        try:
            chat.ask("fail")
        except Exception:
            pass
"""
FILE = """
from nbchat.messages import Attachment

def nbchat_file(name):
    return Attachment(name[:200], "text/plain", b"x")

"""
# the one rule that every saved transcript brings along, to the letter
TAKE_OUT_OURS = """(node, ours) => {
  for (const each of node.querySelectorAll('style')) if (each.outerHTML === ours) each.remove();
}"""
SHOW = """
from IPython.display import display
for chat in chats:
    display(chat.panel())
"""


@pytest.fixture
def hostile(open_notebook):
    """A notebook that shows every payload, through every channel, in live panels."""
    notebook = open_notebook(FILE + HOSTILE, SHOW, "for c in chats: c.export(f'{c.id}.html')")
    (notebook.folder / "payloads.json").write_text(json.dumps(PAYLOADS))
    notebook.run(0)
    return notebook


def test_there_are_enough_payloads():
    assert len(PAYLOADS) >= 240


def look_at_live(notebook):
    """Show every message of every panel, provoke it, and look for what could run or load."""
    notebook.wires.watch_commands(notebook.page)
    panels = notebook.output(1).get_by_role("region", name="nbchat", exact=True)
    count = -(-len(PAYLOADS) // 40)
    expect(panels).to_have_count(count)
    for at in range(count):
        view = PanelView(panels.nth(at))
        older = view.button("Load older messages")
        expect(view.messages.last).to_be_attached()
        while older.is_visible():
            before = view.messages.count()
            older.evaluate("(node) => node.click()")
            expect(view.messages.nth(before)).to_be_attached()
        view.root.evaluate(PROVOKE)
        assert view.log.evaluate(SUSPECTS) == []
    ran = [name for name in notebook.wires.commands if name.startswith(("terminal", "notebook:in"))]
    assert ran == []


def look_at_saved(notebook):
    """The same for what stands in the notebook without a kernel."""
    saved = notebook.output(1)
    expect(saved.locator(".nbchat-static").first).to_be_attached()
    saved.evaluate(PROVOKE)
    saved.evaluate(TAKE_OUT_OURS, HIDE_ERROR)
    assert saved.evaluate(SUSPECTS) == []


def test_no_payload_does_anything_in_a_panel_or_in_what_is_saved(hostile, snap):
    page, notebook = hostile.page, hostile
    notebook.run(1)
    look_at_live(notebook)
    snap("panel-attacks-lab")
    notebook.save()
    notebook.open_in("notebook")
    look_at_live(notebook)
    snap("panel-attacks-notebook")

    notebook.run(2)
    notebook.end_kernel()
    for host in HOSTS:
        notebook.open_in(host)
        look_at_saved(notebook)

    for place in notebook.folder.glob("*.html"):
        page.goto(place.as_uri())
        page.locator("body").evaluate(PROVOKE)
        assert page.locator("body").evaluate(SUSPECTS) == []
    # that nothing ran, loaded or threw is seen when the tripwires are taken down
