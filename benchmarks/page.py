"""What a panel costs the page that shows it, beside a panel of ipywidgets in the same run.

    python benchmarks/page.py [TOKENS] [TOKENS_PER_S] [TURNS]

In a real JupyterLab and Chromium: an answer that streams while keys are typed below it, ten
panels in a notebook, a chat of 1,000 messages that is opened, and what memory is held after TURNS
answers of 1,200 tokens: 600 of them are an hour at 200 a second. The naive panel is an HTML widget
that gets the whole answer for every piece, and a Textarea.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from browser.conftest import FLAGS, OFFLINE, chromium
from browser.notebook import WITHIN_MS, Notebook
from browser.panel import PanelView
from browser.server import JupyterServer
from browser.tripwires import Tripwires
from panel import pieces
from playwright.sync_api import Browser, BrowserContext, Locator, expect, sync_playwright

LAST_WORDS = "\n\nThat is all."
KEY_EVERY_MS = 150
SETTLE_MS = 1_000  # what an answer's end causes is done by then
TURN = 1_200  # tokens of an answer of the hour
LIMIT_S = 3_600
LOG, WIDGET = "[role=log]", ".widget-html-content"

SETUP = f"""
import os, sys, threading
sys.path.append({str(Path(__file__).parent)!r})
import nbchat
from ipywidgets import HTML, Textarea, VBox
from panel import PARAGRAPH, paced, pieces, rendered

def answer(count, per_s):
    yield from paced(count, per_s)
    yield {LAST_WORDS!r}

def chats(how_many, count, per_s):
    return [
        nbchat.create_chat(
            "function/x", store="k.duckdb", respond=lambda request: answer(count, per_s)
        )
        for _ in range(how_many)
    ]

def naive():
    return VBox([HTML(), Textarea(continuous_update=False)])

def stream(box, count, per_s):
    text = ""
    for piece in answer(count, per_s):
        text += piece
        box.children[0].value = rendered(text)

print(os.getpid())
"""
PANELS = "many = chats({many}, {count}, {per_s})\nfor chat in many: display(chat.panel())"
ALL_ASK = "for chat in many: threading.Thread(target=chat.ask, args=['Go on.']).start()"
NAIVE = "many = [naive() for _ in range({many})]\nfor box in many: display(box)"
NAIVE_STREAM = "stream(many[-1], {count}, {per_s})"
LONG = """
chat = nbchat.create_chat("function/x", store="k.duckdb", respond=lambda request: PARAGRAPH)
for number in range(500):
    chat.ask(f"Question {number}")
"""
LONG_PANEL = "nbchat.load_chat(chat.id, store='k.duckdb').panel()"
LONG_NAIVE = """
VBox([HTML(rendered(text)) for n in range(500) for text in (f"Question {n}", PARAGRAPH)])
"""
HOUR_PANEL = """
said = "".join(pieces({count}))
parts = [said[at : at + 200] for at in range(0, len(said), 200)]
chat = nbchat.create_chat("function/x", store="k.duckdb", respond=lambda request: iter(parts))
chat.panel()
"""
HOUR_NAIVE = "box = VBox()\nbox"
HOUR_NAIVE_ASK = """
for number in range({turns}):
    said = "".join(pieces({count}))
    box.children += (HTML(rendered(f"Question {{number}}")), HTML(rendered(said)))
"""

# From the browser's own time of a key to the end of the frame that shows it; and how many
# frames showed something new in the cell's output.
WATCH = """(index) => {
  globalThis.nbchatSeen = {keys: [], updates: 0};
  const seen = globalThis.nbchatSeen;
  const painted = (then) => requestAnimationFrame(() => {
    const line = new MessageChannel();
    line.port1.onmessage = then;
    line.port2.postMessage(null);
  });
  addEventListener('keydown', (e) =>
    painted(() => seen.keys.push(performance.now() - e.timeStamp)), true);
  let waits = false;
  const update = () => {
    if (waits) return;
    waits = true;
    painted(() => { waits = false; seen.updates += 1; });
  };
  const cell = document.querySelectorAll('.jp-Notebook .jp-Cell')[index];
  new MutationObserver(update).observe(cell.querySelector('.jp-Cell-outputArea'),
    {childList: true, characterData: true, subtree: true});
}"""
SAY = """([index, nodes, words]) => {
  const cell = document.querySelectorAll('.jp-Notebook .jp-Cell')[index];
  return [...cell.querySelectorAll(nodes)].filter((n) => n.textContent.includes(words)).length;
}"""
# Milliseconds from running a cell until its output has that many nodes, and they are painted.
OPEN = """([index, nodes, count]) => new Promise((done) => {
  const app = globalThis.jupyterapp;
  const cell = document.querySelectorAll('.jp-Notebook .jp-Cell')[index];
  const start = performance.now();
  const look = () => {
    if (cell.querySelectorAll(nodes).length < count) return requestAnimationFrame(look);
    requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
  };
  app.shell.currentWidget.content.activeCellIndex = index;
  globalThis.nbchatCell = app.commands.execute('notebook:run-cell');
  look();
})"""
ENDED = """(words) =>
  [...document.querySelectorAll('[role=log] article')].at(-1)?.textContent.endsWith(words)"""
MARK_END = """() => {
  globalThis.nbchatEnded = false;
  globalThis.nbchatCell.then(() => { globalThis.nbchatEnded = true; });
}"""


@dataclass(frozen=True, slots=True)
class Figures:
    """What page and kernel have used until now."""

    at_s: float
    page_s: float
    kernel_s: float
    frames: int
    sent: int
    heap_mb: float
    nodes: int
    kernel_mb: float


class Case:
    """A notebook in a page of its own, whose costs are known at any time."""

    def __init__(self, context: BrowserContext, server: JupyterServer, cells: list[str]) -> None:
        self.page = context.new_page()
        self._frames = self._sent = 0
        self.page.on("websocket", lambda socket: socket.on("framereceived", self._count))
        self._cdp = context.new_cdp_session(self.page)
        self._cdp.send("Performance.enable")
        path = server.write("case", [SETUP, *cells])
        self.notebook = Notebook(self.page, server, Tripwires(context), path, "lab")
        self.notebook.run(0)
        self._kernel = psutil.Process(int(self.notebook.outputs(0)[0]["text"]))

    def _count(self, frame: str | bytes) -> None:
        self._frames += 1
        self._sent += len(frame)

    def figures(self) -> Figures:
        """Everything as of now."""
        named = self._cdp.send("Performance.getMetrics")["metrics"]
        page = {metric["name"]: metric["value"] for metric in named}
        cpu = self._kernel.cpu_times()
        return Figures(
            at_s=time.monotonic(),
            page_s=page["TaskDuration"],
            kernel_s=cpu.user + cpu.system,
            frames=self._frames,
            sent=self._sent,
            heap_mb=page["JSHeapUsedSize"] / 1e6,
            nodes=int(page["Nodes"]),
            kernel_mb=self._kernel.memory_info().rss / 1e6,
        )

    def kept(self) -> Figures:
        """The same when the page has let go of what it no longer needs."""
        self._cdp.send("HeapProfiler.collectGarbage")
        return self.figures()

    def run(self, index: int) -> None:
        """Run a cell that may take minutes."""
        self.notebook.start(index)
        self.finish()

    def finish(self) -> None:
        """Wait until the cell that runs has ended."""
        self.page.evaluate(MARK_END)
        end_s = time.monotonic() + LIMIT_S
        while not self.page.evaluate("() => globalThis.nbchatEnded"):
            assert time.monotonic() < end_s, "the cell has not ended"
            self.page.wait_for_timeout(200)


@contextmanager
def opened(browser: Browser, server: JupyterServer, *cells: str) -> Iterator[Case]:
    """A notebook of these cells, below one that has run."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(10 * WITHIN_MS)
    try:
        yield Case(context, server, list(cells))
    finally:
        context.close()
        server.end_kernels()


@dataclass(frozen=True, slots=True)
class Stream:
    """Answers that are to stream: how to begin them, where they show, and where to type."""

    name: str
    begin: Callable[[], None]
    box: Locator
    nodes: str
    text: int  # bytes of one of them
    many: int = 1


def typed_until_said(case: Case, stream: Stream) -> dict[str, Any]:
    """Type a key now and then until the answers are there; what the page saw meanwhile."""
    case.page.evaluate(WATCH, 1)
    stream.box.click()
    end_s = time.monotonic() + LIMIT_S
    while case.page.evaluate(SAY, [1, stream.nodes, LAST_WORDS.strip()]) < stream.many:
        assert time.monotonic() < end_s, "the answer has not come"
        for _ in range(5):
            case.page.keyboard.press("a")
            case.page.wait_for_timeout(KEY_EVERY_MS)
    return case.page.evaluate("() => globalThis.nbchatSeen")


def streams(case: Case, stream: Stream) -> None:
    """Have the answers stream, type meanwhile, and print what it took."""
    before = case.figures()
    stream.begin()
    seen = typed_until_said(case, stream)
    wall_s = time.monotonic() - before.at_s
    case.page.wait_for_timeout(SETTLE_MS)
    after = case.figures()
    keys, text = sorted(seen["keys"]), stream.many * stream.text
    say(
        stream.name,
        f"{wall_s:6.1f} s  {seen['updates'] / wall_s:5.1f} updates/s  "
        f"{after.frames - before.frames:6,} messages  "
        f"{(after.sent - before.sent) / text:8.1f} bytes for a byte of text  "
        f"page {after.page_s - before.page_s:6.1f} s CPU  "
        f"kernel {after.kernel_s - before.kernel_s:6.1f} s CPU",
        f"key to paint p50 {statistics.median(keys):4.0f} ms  "
        f"p95 {keys[len(keys) * 95 // 100]:4.0f} ms  worst {keys[-1]:4.0f} ms",
    )


def say(name: str, *lines: str) -> None:
    """Print a row's figures as soon as they are known."""
    for at, line in enumerate(lines):
        print(f"{'' if at else name:<24} {line}", flush=True)


class Rows:
    """The measurements, each in a notebook of its own."""

    def __init__(self, browser: Browser, server: JupyterServer, count: int, per_s: float) -> None:
        self._browser, self._server = browser, server
        self._count, self._per_s = count, per_s
        self._text = sum(map(len, pieces(count)))

    def _open(self, *cells: str, many: int = 1) -> AbstractContextManager[Case]:
        filled = [cell.format(many=many, count=self._count, per_s=self._per_s) for cell in cells]
        return opened(self._browser, self._server, *filled)

    def panels(self, many: int) -> None:
        """As many panels in a notebook, of which the last one streams."""
        with self._open(PANELS, many=many) as case:
            case.notebook.run(1)
            view = views(case, many)[-1]
            begin = partial(view.send, "Go on.")
            streams(case, Stream(f"panel, 1 of {many}", begin, view.input, LOG, self._text))

    def all_panels(self, many: int) -> None:
        """As many panels, all of which stream."""
        with self._open(PANELS, ALL_ASK, many=many) as case:
            case.notebook.run(1)
            begin, box = partial(case.notebook.run, 2), views(case, many)[-1].input
            streams(case, Stream(f"panel, all of {many}", begin, box, LOG, self._text, many))

    def naive(self, many: int) -> None:
        """As many naive panels, of which the last one streams."""
        with self._open(NAIVE, NAIVE_STREAM, many=many) as case:
            case.notebook.run(1)
            begin = partial(case.notebook.start, 2)
            box = case.notebook.output(1).locator("textarea").last
            streams(case, Stream(f"naive, 1 of {many}", begin, box, WIDGET, self._text))

    def opening(self) -> None:
        """A chat of 1,000 messages, from running the cell to its paint."""
        with opened(self._browser, self._server, LONG, LONG_PANEL, LONG_NAIVE) as case:
            case.run(1)
            opens(case, "panel, 1,000 messages", 2, f"{LOG} article", 50)
            opens(case, "naive, 1,000 messages", 3, WIDGET, 1_000)

    def memory(self, turns: int) -> None:
        """What is held after many answers, one right after the other."""
        name = f"{turns * TURN:,} tokens"
        with opened(self._browser, self._server, HOUR_PANEL.format(count=TURN)) as case:
            case.notebook.run(1)
            [view] = views(case, 1)
            holds(case, f"panel, {name}", partial(talk, case, view, turns))
        cells = [cell.format(turns=turns, count=TURN) for cell in (HOUR_NAIVE, HOUR_NAIVE_ASK)]
        with opened(self._browser, self._server, *cells) as case:
            case.notebook.run(1)
            holds(case, f"naive, {name}", partial(case.run, 2))


def views(case: Case, many: int) -> list[PanelView]:
    """The panels that a cell shows, once all are alive."""
    regions = case.notebook.output(1).get_by_role("region", name="nbchat", exact=True)
    expect(regions).to_have_count(many)
    found = [PanelView(regions.nth(at)) for at in range(many)]
    for view in found:
        expect(view.input).to_be_visible()
    return found


def opens(case: Case, name: str, cell: int, nodes: str, count: int) -> None:
    """Run a cell and print how long until its nodes are painted."""
    before = case.kept()
    took_ms = case.page.evaluate(OPEN, [cell, nodes, count])
    case.finish()
    case.page.wait_for_timeout(SETTLE_MS)
    after = case.kept()
    say(
        name,
        f"{took_ms / 1000:6.2f} s to paint  page {after.page_s - before.page_s:5.2f} s CPU  "
        f"kernel {after.kernel_s - before.kernel_s:5.2f} s CPU  "
        f"{(after.sent - before.sent) / 1e6:6.2f} MB sent  "
        f"heap +{after.heap_mb - before.heap_mb:.1f} MB  nodes +{after.nodes - before.nodes:,}",
    )


def talk(case: Case, view: PanelView, turns: int) -> None:
    """Ask in the panel, each time as soon as the last answer has its footer."""
    view.input.click()  # found once: a search by role costs the page more than a turn does
    for turn in range(1, turns + 1):
        case.page.keyboard.insert_text(f"Question {turn}")
        case.page.keyboard.press("Enter")
        case.page.wait_for_function(ENDED, arg=f"turn {turn}", polling=50)


def holds(case: Case, name: str, work: Callable[[], None]) -> None:
    """Do it, and print what is held before and after."""
    before = case.kept()
    work()
    took_s = time.monotonic() - before.at_s
    case.page.wait_for_timeout(SETTLE_MS)
    after = case.kept()
    say(
        name,
        f"{took_s:6.1f} s  page {after.page_s - before.page_s:6.1f} s CPU  "
        f"kernel {after.kernel_s - before.kernel_s:6.1f} s CPU  "
        f"{(after.sent - before.sent) / 1e6:.0f} MB sent",
        f"page {before.heap_mb:.0f} to {after.heap_mb:.0f} MB of heap, "
        f"{before.nodes:,} to {after.nodes:,} nodes  "
        f"kernel {before.kernel_mb:.0f} to {after.kernel_mb:.0f} MB",
    )


def main(count: int = 5_000, per_s: float = 200, turns: int = 600) -> None:
    """All of it in one run."""
    expect.set_options(timeout=WITHIN_MS)
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        sync_playwright() as playwright,
        closing(JupyterServer(Path(folder))) as server,
    ):
        browser = playwright.chromium.launch(
            executable_path=chromium(), args=[*FLAGS.split(), OFFLINE], chromium_sandbox=False
        )
        rows = Rows(browser, server, count, per_s)
        for many in (1, 10):
            rows.panels(many)
            rows.naive(many)
        rows.all_panels(10)
        rows.opening()
        rows.memory(turns)
        browser.close()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
