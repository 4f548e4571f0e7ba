"""The panel as its reader sees it: found by roles and names, never by classes."""

from playwright.sync_api import Locator, expect

from browser.notebook import Notebook
from browser.scripted import Told

SETUP = """
import nbchat
from browser.scripted import told

talk = nbchat.create_chat("function/told", respond=told(), store="k.duckdb", name="talk")
"""
TOOLS = """
@nbchat.tool(policy="confirm")
def cancel(order: int) -> str:
    '''Cancel an order.'''
    return f"order {order} is cancelled"

talk.with_tool(cancel)
"""


class PanelView:
    """One view of a panel."""

    def __init__(self, root: Locator) -> None:
        self.root = root
        self.input = root.get_by_role("textbox", name="Message", exact=True)
        self.messages = root.get_by_role("article")
        self.log = root.get_by_role("log")

    def send(self, text: str) -> None:
        """Type a text and press Enter."""
        self.input.fill(text)
        self.input.press("Enter")

    def button(self, name: str) -> Locator:
        """A button of the panel."""
        return self.root.get_by_role("button", name=name, exact=True)

    def act(self, message: int, name: str) -> None:
        """Press a button of a message; they show themselves when it is pointed at."""
        row = self.messages.nth(message)
        row.hover()
        row.get_by_role("button", name=name, exact=True).click()

    def says(self, *texts: str) -> None:
        """Wait until the transcript has these messages, each with its text in it."""
        expect(self.messages).to_have_count(len(texts))
        expect(self.messages).to_contain_text(list(texts))

    def is_idle(self) -> None:
        """Wait until the last message has ended, and nothing runs."""
        copy = self.messages.last.get_by_role("button", name="Copy message", exact=True)
        expect(copy).to_be_attached()
        expect(self.button("Stop")).to_be_hidden()


def ask_to_cancel(panel: PanelView, model: Told, order: int) -> None:
    """Have the model call the tool that needs a yes."""
    reply = model.reply()
    reply.think("Let me see.")
    reply.call("cancel", order=order)
    reply.end()
    panel.send(f"Cancel order {order}")


def panel_in(notebook: Notebook, cell: int = 1) -> PanelView:
    """The panel that a cell shows, once it is alive."""
    view = PanelView(notebook.output(cell).get_by_role("region", name="nbchat", exact=True))
    expect(view.input).to_be_visible()
    return view
