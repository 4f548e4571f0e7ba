"""The panel for every hand and eye: input methods, themes, contrast, and its smaller controls."""

import ast

import pytest
from playwright.sync_api import expect

from browser.panel import SETUP, TOOLS, ask_to_cancel, panel_in
from browser.scripted import Told

ANSWER = (
    "# Title\n\nSome `code`, a [link](https://example.org) and a *word*.\n\n"
    "| a | b |\n|---|---|\n| 1 | 2 |\n\n```python\n# note\nx = len('text') + 1\n```\n"
)
THEMES = ["JupyterLab Light", "JupyterLab Dark", "JupyterLab Dark High Contrast"]
WEAK = """(root) => {
  // the faintest words: contrast as WCAG defines it, colours as the browser paints them
  const paint = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const painted = (colours) => {
    paint.clearRect(0, 0, 1, 1);
    for (const colour of colours) { paint.fillStyle = colour; paint.fillRect(0, 0, 1, 1); }
    return [...paint.getImageData(0, 0, 1, 1).data.slice(0, 3)];
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((n) => n / 255)
      .map((n) => (n <= 0.03928 ? n / 12.92 : ((n + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  for (const node of root.querySelectorAll('*')) {
    const words = [...node.childNodes].filter((kid) => kid.nodeType === 3 && kid.data.trim());
    if (!words.length || !node.checkVisibility({opacityProperty: true})) continue;
    const behind = [];
    for (let at = node; at; at = at.parentElement)
      behind.unshift(getComputedStyle(at).backgroundColor);
    const back = ['white', ...behind];
    const [one, two] = [painted(back), painted([...back, getComputedStyle(node).color])]
      .map(light).sort();
    const contrast = (two + 0.05) / (one + 0.05);
    found.push([Math.round(contrast * 10) / 10, words[0].data.trim().slice(0, 40)]);
  }
  return found.sort((a, b) => a[0] - b[0]);
}"""


@pytest.fixture
def talk(open_notebook):
    """A panel over a new chat, its scripted model, and its notebook."""
    notebook = open_notebook(SETUP, "talk.panel()", "talk.feedback()[['rating', 'note']].values")
    notebook.run(0, 1)
    return panel_in(notebook), Told(notebook.folder), notebook


@pytest.mark.parametrize(
    ("host", "theme"), [*(("lab", theme) for theme in THEMES), ("notebook", THEMES[1])]
)
def test_every_word_stands_out_from_what_is_behind_it(host, theme, open_notebook, snap):
    notebook = open_notebook(SETUP + TOOLS, "talk.panel()", host=host)
    change = "(theme) => globalThis.jupyterapp.commands.execute('apputils:change-theme', {theme})"
    notebook.page.evaluate(change, theme)
    notebook.run(0, 1)
    panel, model = panel_in(notebook), Told(notebook.folder)
    for order, word in enumerate(("Approve", "Deny"), 1):
        ask_to_cancel(panel, model, order)
        model.reply("Done.", ended=True)
        panel.button(word).click()
        panel.is_idle()
    model.reply(ANSWER, ended=True)
    panel.send("Show me")
    panel.is_idle()
    expect(panel.messages.last.locator("td").first).to_be_visible()
    name = theme.removeprefix("JupyterLab ").lower().replace(" ", "-")
    snap(f"panel-{name}-{host}")
    ask_to_cancel(panel, model, 3)
    expect(panel.button("Approve")).to_be_visible()

    try:
        contrasts = panel.root.evaluate(WEAK)
    finally:
        notebook.page.evaluate(change, THEMES[0])

    assert {"ok", "denied", "needs approval"} <= {word for _, word in contrasts}
    assert [words for words in contrasts if words[0] < 4.5] == []


def test_forced_colours_keep_every_control_visible(talk, snap):
    panel, model, notebook = talk
    notebook.page.emulate_media(forced_colors="active")
    model.reply(ANSWER, ended=True)
    panel.send("Show me")
    panel.is_idle()
    panel.messages.last.hover()
    snap("panel-forced-colours")

    drawn = "(node) => getComputedStyle(node.querySelector('svg')).stroke"
    behind = panel.root.evaluate("(node) => getComputedStyle(node).backgroundColor")
    buttons = panel.root.locator("button:visible:has(svg)")
    assert buttons.count() > 5
    assert behind not in [button.evaluate(drawn) for button in buttons.all()]
    assert min(contrast for contrast, _ in panel.root.evaluate(WEAK)) >= 4.5


def test_enter_that_ends_a_composition_sends_nothing(talk):
    panel, model, notebook = talk
    hand = notebook.page.context.new_cdp_session(notebook.page)
    panel.input.focus()

    hand.send("Input.imeSetComposition", {"text": "にほん", "selectionStart": 3, "selectionEnd": 3})
    enter = {"windowsVirtualKeyCode": 229, "key": "Enter", "code": "Enter"}
    hand.send("Input.dispatchKeyEvent", {"type": "rawKeyDown", **enter})
    hand.send("Input.insertText", {"text": "日本"})
    expect(panel.input).to_have_value("日本")
    expect(panel.messages).to_have_count(0)

    model.reply("はい", ended=True)
    panel.input.press("Enter")
    panel.says("日本", "はい")


def test_a_note_on_an_answer_is_stored_beside_its_rating(talk):
    panel, model, notebook = talk
    model.reply("Oslo.", ended=True)
    panel.send("Where?")
    panel.is_idle()

    panel.act(1, "Bad answer")
    expect(panel.messages.last.get_by_role("button", name="Bad answer")).to_have_attribute(
        "aria-pressed", "true"
    )
    panel.act(1, "Note on this answer")
    note = panel.root.get_by_role("textbox", name="Note", exact=True)
    note.fill("It is Bergen")
    note.press("Enter")
    expect(note).to_be_hidden()
    expect(panel.messages.last.get_by_title("It is Bergen")).to_be_attached()

    notebook.run(2)
    assert "[-1, 'It is Bergen']" in notebook.outputs(2)[0]["data"]["text/plain"]


def test_chats_are_pinned_renamed_and_deleted_in_the_drawer(open_notebook):
    more = "\nfor name in ('harbour', 'forest'):\n    "
    more += "nbchat.create_chat('function/x', respond=str, store='k.duckdb', name=name)"
    listed = "nbchat.list_chats(store='k.duckdb')[['name', 'pinned']].values.tolist()"
    notebook = open_notebook(SETUP + more, "talk.panel()", listed)
    notebook.run(0, 1)
    panel = panel_in(notebook)
    panel.button("Chats").click()
    drawer = panel.root.get_by_role("complementary", name="Chats")
    rows = drawer.get_by_role("listitem")
    expect(rows).to_have_count(3)

    drawer.get_by_role("button", name="Pin talk").click()
    expect(rows.first).to_contain_text("talk")
    drawer.get_by_role("button", name="Rename harbour").click()
    title = drawer.get_by_role("textbox", name="New title")
    title.fill("port")
    title.press("Enter")
    expect(rows.filter(has_text="port")).to_have_count(1)
    drawer.get_by_role("button", name="Delete forest").click()
    drawer.get_by_role("button", name="Delete forest: press again").click()
    expect(rows).to_have_count(2)

    notebook.run(2)
    kept = notebook.outputs(2)[0]["data"]["text/plain"]
    assert sorted(ast.literal_eval(kept)) == [["port", False], ["talk", True]]


def copied_from(panel, page, message):
    """What is in the clipboard once a message has been copied."""
    page.evaluate("() => navigator.clipboard.writeText('before')")
    panel.act(message, "Copy message")
    for _ in range(100):
        text = page.evaluate("() => navigator.clipboard.readText()")
        if text != "before":
            return text.strip()
        page.wait_for_timeout(100)
    raise AssertionError("nothing was copied")


def test_an_answer_is_copied_as_written_and_else_as_shown(talk):
    panel, model, notebook = talk
    page = notebook.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    for number in ("one", "two"):
        model.reply(f"**{number}** here", ended=True)
        panel.send("Say it")
        panel.is_idle()
    thought = model.reply()
    thought.think("Let me see")
    thought.end()
    panel.send("Say nothing")
    panel.is_idle()

    assert copied_from(panel, page, 1) == "**one** here"
    assert copied_from(panel, page, 5) == "Thought"  # nothing was written
    notebook.end_kernel()
    assert copied_from(panel, page, 3) == "two here"
