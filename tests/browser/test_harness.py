"""The tripwires themselves: an unsafe page sets them off, so that silence means safety."""

import pytest

from browser.tripwires import Tripwires

UNSAFE = """
from IPython.display import HTML
HTML('''<img src=x onerror="alert('image')"><script>alert('script')</script>
<img src="https://evil.test/p.png"><iframe srcdoc="<script>alert('frame')</script>"></iframe>
<a id="hook" href="#" data-commandlinker-command="notebook:insert-cell-below">x</a>''')
"""


@pytest.fixture
def wires(context):
    """Without the check at the end, which is what these tests set off."""
    return Tripwires(context)


def test_a_page_that_runs_and_loads_what_it_is_given_is_noticed(open_notebook):
    notebook = open_notebook(UNSAFE)
    notebook.wires.watch_commands(notebook.page)

    notebook.run(0)
    with notebook.page.expect_request("https://evil.test/p.png"):
        notebook.run(0)
    notebook.page.locator("#hook").click()
    notebook.page.wait_for_function("() => document.querySelectorAll('.jp-Cell').length > 1")

    assert set(notebook.wires.ran) == {"image", "script", "frame"}
    assert set(notebook.wires.left) == {"https://evil.test/p.png"}
    assert "notebook:insert-cell-below" in notebook.wires.commands


def test_an_error_in_the_page_is_noticed(page, wires):
    page.goto("about:blank")

    with page.expect_event("pageerror"):
        page.evaluate("() => { setTimeout(() => { throw new Error('lost') }) }")

    assert [error for error in wires.errors if error.endswith("lost")] == wires.errors


def test_a_dialog_is_noticed(page, wires):
    page.goto("about:blank")

    page.evaluate("() => alert('hello')")

    assert wires.ran == ["hello"]
