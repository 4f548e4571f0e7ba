"""One server and one browser for this folder, one context for each test; all by hand.

Playwright keeps an event loop in the main thread while it runs, so both end with the
package: tests elsewhere start loops of their own.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from browser.notebook import WITHIN_MS, Notebook
from browser.server import JupyterServer
from browser.tripwires import Tripwires

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = """--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync
    --disable-background-networking --disable-component-update --disable-dev-shm-usage"""
# nothing is found outside this machine, whoever asks
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"


def chromium() -> str | None:
    """The Chromium to use: NBCHAT_CHROMIUM, or what is installed."""
    return os.environ.get("NBCHAT_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    path = chromium()
    if path is None:
        missing = f"no browser: install one of {', '.join(NAMES)}, or set NBCHAT_CHROMIUM"
        if os.environ.get("NBCHAT_REQUIRE_BROWSER") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    expect.set_options(timeout=WITHIN_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=[*FLAGS.split(), OFFLINE], chromium_sandbox=False
        )
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def server(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    server = JupyterServer(tmp_path_factory.mktemp("jupyter"))
    yield server
    server.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(WITHIN_MS)
    yield context
    context.close()


@pytest.fixture
def wires(context: BrowserContext) -> Iterator[Tripwires]:
    """Fails the test whose page ran, loaded or threw what it should not have."""
    wires = Tripwires(context)
    yield wires
    assert wires.touched() == {}


@pytest.fixture
def page(context: BrowserContext, wires: Tripwires) -> Page:
    return context.new_page()


@pytest.fixture
def open_notebook(
    page: Page, server: JupyterServer, wires: Tripwires
) -> Iterator[Callable[..., Notebook]]:
    """Opens a new notebook of the given cells, or one that exists by its path."""

    def opened(*cells: str, host: str = "lab", path: Path | None = None) -> Notebook:
        place = path or server.write("talk", list(cells))
        return Notebook(page, server, wires, place, host)

    yield opened
    page.goto("about:blank")
    server.end_kernels()


@pytest.fixture
def snap(page: Page, tmp_path: Path) -> Callable[[str], None]:
    """Keeps a picture of the page, in the folder NBCHAT_SCREENSHOTS if it is set."""
    folder = Path(os.environ.get("NBCHAT_SCREENSHOTS") or tmp_path)

    def keep(name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=folder / f"{name}.png")

    return keep
