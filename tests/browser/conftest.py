"""A real browser on a real server with demo content: Debian's Chromium, driven by Playwright.

Each page is watched: a test fails when its page logs a warning or an error, or asks another host for anything."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import HOME
from tests.test_server import Server, environment, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PHONE = {"width": 360, "height": 740}


@contextmanager
def serving_demo(folder: Path, users: int = 20, articles: int = 100) -> Iterator[Server]:
    """A server in study mode, with so many people and articles."""
    database = folder / "data" / "rowboat.db"
    seed = ["seed", "--users", str(users), "--articles", str(articles), "--database", str(database)]
    subprocess.run(
        [sys.executable, str(HOME / "app.py"), *seed], cwd=folder, env=environment(), check=True, capture_output=True
    )
    with serving(folder, "--workers", "1") as running:
        yield running


@contextmanager
def chromium(program: str) -> "Iterator[Browser]":
    """The browser. It knows no host but this machine."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program,
            args=["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--disable-gpu"],
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all the tests of a module."""
    with serving_demo(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """The browser, where there is one. For one module: what else uses asyncio would find Playwright's loop."""
    program = shutil.which("chromium")
    if not program:
        pytest.skip("the program chromium is missing (Debian's package chromium)")
    with chromium(program) as started:
        yield started


def watched(page: "Page", here: str) -> list[str]:
    """A list that grows by what the page logs as a warning or an error, and by what it asks others than `here`."""
    problems: list[str] = []

    def hear(message: Any) -> None:
        if message.type in ("error", "warning"):
            problems.append(f"{message.type} in the console: {message.text}")

    def see(request: Any) -> None:
        if not request.url.startswith((here, "data:")):
            problems.append(f"a request to {request.url}")

    page.on("console", hear)
    page.on("pageerror", lambda error: problems.append(f"an exception: {error}"))
    page.on("request", see)
    return problems


@pytest.fixture
def page(browser: "Browser", server: Server) -> "Iterator[Page]":
    """A new page, whose paths are those of the server."""
    here = f"http://127.0.0.1:{server.port}/"
    context = browser.new_context(base_url=here)
    page = context.new_page()
    problems = watched(page, here)
    yield page
    context.close()
    assert problems == []


# Two frames later the page has heard of it, and colours that change slowly are what they shall be.
_COLOURS_HAVE_CHANGED = """async () => {
    for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame);
    await Promise.allSettled(document.getAnimations().map((each) => each.finished));
}"""


def require_accessible(page: "Page", include: str = "html", without: dict[str, str] | None = None) -> None:
    """Fail where axe-core finds a serious or critical problem, in light colours, or a lack of contrast in dark ones.

    `include` is what is looked at. `without` maps the rules that are left out to the reason."""
    from axe_playwright_python.sync_playwright import Axe

    without = {rule: {"enabled": False} for rule in without or {}}
    for scheme, options in ("light", {"rules": without}), ("dark", {"runOnly": ["color-contrast"], "rules": without}):
        page.emulate_media(color_scheme=scheme)
        page.evaluate(_COLOURS_HAVE_CHANGED)
        found = Axe().run(page, context={"include": [[include]]}, options=options).response
        assert found["passes"], "axe-core has looked at nothing"
        problems = [
            f"{scheme}: {problem['help']} ({problem['id']}): {node['html'][:200]}"
            for problem in found["violations"]
            if problem["impact"] in ("serious", "critical")
            for node in problem["nodes"]
        ]
        assert not problems, "\n".join(problems)


def require_no_horizontal_scrolling(page: "Page") -> None:
    """Fail where the page is wider than the window."""
    width, window = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert width <= window, f"{page.url} is {width} pixels wide in a window of {window}"


def colours(page: "Page", selector: str) -> tuple[str, str]:
    """The colours of an element's text and of what lies behind it."""
    return tuple(
        page.locator(selector).first.evaluate(
            "element => { const style = getComputedStyle(element); return [style.color, style.backgroundColor] }"
        )
    )
